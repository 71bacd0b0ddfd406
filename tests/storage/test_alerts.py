from __future__ import annotations

from sqlite3 import Connection
from typing import Any

import pytest

from engine.domain.alerts import described
from engine.domain.commands import AckAlert
from engine.domain.effects import RaiseAlert, Severity, caution
from engine.domain.instruments import AccountId, BotId, InstrumentId, Mode
from storage import alerts, views
from storage.alerts import raise_alert, see_alert, wording
from storage.commands import claim, leave
from storage.seen import seen_waiting
from storage.views.frame import UnseenAlerts, unseen_alerts


def stored(connection: Connection) -> list[tuple[str, int]]:
    """Return the text and the count of every alert, in the order of their rows."""
    return connection.execute("SELECT text, count FROM alerts ORDER BY id").fetchall()


def send(connection: Connection, text: str, at_ns: int = 1, **place: Any) -> None:
    alert = RaiseAlert(severity=Severity.WARNING, kind="mode", text=text, **place)
    raise_alert(connection, "e1", alert, Mode.DEMO, at_ns)


def test_an_alert_that_names_no_place_is_about_what_it_says(connection: Connection) -> None:
    send(connection, "account real is locked")
    send(connection, "bot maker is not started")
    send(connection, "account real is locked", 7)
    assert stored(connection) == [("account real is locked", 2), ("bot maker is not started", 1)]
    assert connection.execute("SELECT first_ns, last_ns FROM alerts").fetchone() == (1, 7)
    for name in ("morning-1", "morning-2"):
        send(connection, f"recording {name}: the disk is full")
    assert len(stored(connection)) == 4


def test_repeats_at_one_place_differ_by_numbers_alone(connection: Connection) -> None:
    place = {
        "account": AccountId("demo"),
        "bot": BotId("b1"),
        "instrument": InstrumentId("demo:m1"),
    }
    send(connection, "order 7 was refused: too small", **place)
    send(connection, "order 9 was refused: too small", **place)
    send(connection, "order 9 was refused: too late", **place)
    assert stored(connection) == [
        ("order 9 was refused: too small", 2),
        ("order 9 was refused: too late", 1),
    ]
    send(connection, "order 9 was refused: too small", account=AccountId("demo"))
    assert len(stored(connection)) == 3, "another place is another subject"


def test_a_text_without_spaces_is_read_once_through() -> None:
    # A pattern with two open ends takes the square of its length: minutes for a venue's answer.
    assert wording("x" * 1_000_000) == "x" * 1_000_000
    assert wording("order 7x9 was refused") == "order # was refused"


def test_what_was_seen_is_told_anew(connection: Connection) -> None:
    send(connection, "account real is locked")
    assert see_alert(connection, "e1", 1, "ann", 5)
    assert not see_alert(connection, "e1", 77, "ann", 5)
    send(connection, "account real is locked", 9)
    assert stored(connection) == [("account real is locked", 1), ("account real is locked", 1)]


def test_a_flood_of_sentences_is_counted_on_the_latest(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alerts, "UNSEEN_MAX", 2)
    for at_ns, word in enumerate(("one", "two", "three", "four")):
        send(connection, word, at_ns)
    assert stored(connection) == [("one", 1), ("four", 3)]


def test_unseen_ones_are_counted_by_severity_and_the_newest_given(
    connection: Connection,
) -> None:
    for number, kind in enumerate(("engine", "state", "bad_row", "report"), 1):
        raise_alert(connection, "e1", caution(kind, f"text {kind}"), None, number)
    found = unseen_alerts(connection, "e1")
    severities = [described(kind).severity for kind in ("engine", "state", "bad_row")]
    assert found.critical == severities.count(Severity.CRITICAL)
    assert found.warning == severities.count(Severity.WARNING)
    assert [one.kind for one in found.newest] == ["bad_row", "state", "engine"]
    for number in (1, 2, 3):
        see_alert(connection, "e1", number, "ann", 9)
    assert unseen_alerts(connection, "e1") == UnseenAlerts()


def test_an_alert_that_waits_for_the_engine_to_be_seen_counts_as_seen(
    connection: Connection,
) -> None:
    send(connection, "account real is locked")
    send(connection, "another")
    leave(connection, engine_id="e1", id="c1", command=AckAlert(alert=1), who="ann", now_ns=5)
    leave(connection, engine_id="e1", id="c2", command=AckAlert(alert=77), who="ann", now_ns=6)
    connection.execute("UPDATE commands SET body = CAST(x'ff' AS TEXT) WHERE id = 'c2'")
    assert seen_waiting(connection, "e1") == {1: ("ann", 5)}
    (left,) = views.alerts(connection, "e1", unseen_only=True)
    assert left["text"] == "another"
    send(connection, "account real is locked", 9)
    assert stored(connection) == [
        ("account real is locked", 1), ("another", 1), ("account real is locked", 1),
    ]  # fmt: skip


def test_it_is_written_down_when_an_engine_is_back_however_late(connection: Connection) -> None:
    send(connection, "account real is locked")
    leave(connection, engine_id="e1", id="c1", command=AckAlert(alert=1), who="ann", now_ns=5)
    (claimed,) = claim(connection, "e1", 5 + 90 * 86_400 * 10**9)
    assert claimed.command == AckAlert(alert=1)
    assert see_alert(connection, "e1", 1, claimed.who, 9)
