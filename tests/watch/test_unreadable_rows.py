"""One row that cannot be read hides no other: it is skipped, and said."""

from __future__ import annotations

from pathlib import Path

import pytest

from storage.database import transaction, writing
from storage.live import EngineHeartbeat, put_engine
from storage.phases import INIT, EnginePhase, put_phase
from storage.users import ENGINE_ID
from tests.watch.desks import NOON_NS, Watched
from tests.watch.stated import MARKET, Stated, asked, book, failed_job, fill


def spoil(desk: Watched, query: str, *values: object) -> None:
    """Write into the state database what the engine never writes."""
    with writing(desk.state) as connection, transaction(connection):
        connection.execute(query, values)


def said(desk: Watched) -> list[str]:
    """Return what each part that failed is told to be."""
    return [text for (text,) in desk.rows("SELECT text FROM notices WHERE kind = 'watch_part'")]


@pytest.mark.parametrize(
    ("column", "value"),
    [("count", "x"), ("first_ns", "x"), ("last_ns", "x"), ("text", b"\xff"), ("acked_ns", 0.5)],
)
def test_an_alert_that_cannot_be_read_hides_no_other(
    desk: Watched, column: str, value: object
) -> None:
    desk.raise_("kill", account="one")
    desk.raise_("kill", account="two")
    spoil(desk, f"UPDATE alerts SET {column} = ? WHERE account = 'one'", value)
    desk.turn(30)
    told = [line.where["account"] for one in desk.sends.sent for line in one[1].lines
            if line.kind == "kill"]  # fmt: skip
    assert told == ["two"]
    ((text),) = said(desk)
    assert text.startswith("alert 1 cannot be read: ")
    desk.raise_("kill", account="three")
    desk.turn(5)
    assert "three" in desk.sends.sent[-1][1].lines[0].where.values()


def test_a_heartbeat_that_cannot_be_read_hides_no_alert(desk: Watched) -> None:
    beat = EngineHeartbeat(
        state="RUNNING", heartbeat_ns=NOON_NS, started_ns=1, pid=1,
        version="1", latched=False,
    )  # fmt: skip
    with writing(desk.state) as connection, transaction(connection):
        put_engine(connection, ENGINE_ID, beat)
        put_phase(connection, ENGINE_ID, EnginePhase(at_ns=NOON_NS, phase=INIT, reason="", pid=1))
    spoil(desk, "UPDATE engine_phases SET at_ns = 'x'")
    desk.turn(2)
    spoil(desk, "UPDATE engine_state SET heartbeat_ns = 'x'")
    desk.raise_("kill")
    desk.turn(5)
    assert "[CRITICAL] KILL" in desk.sends.titles()
    assert sorted(text.partition(":")[0] for text in said(desk)) == [
        "a phase of the engine cannot be read", "the engine's heartbeat cannot be read",
    ]  # fmt: skip


@pytest.mark.parametrize("body", [5, "[", '{"alerts": {"rules": {"a": {"quiet": "soon"}}}}'])
def test_settings_that_cannot_be_read_keep_no_alert_from_being_sent(
    desk: Watched, body: object
) -> None:
    desk.settle({"rules": {"critical": {"again_min": 7}}})
    desk.turn(2)
    desk.settle({"rules": {"critical": {"again_min": 8}}})
    spoil(desk, "UPDATE settings SET body = ? WHERE version = (SELECT max(version) FROM settings)",
          body)  # fmt: skip
    desk.raise_("feed", "silent", instrument="demo:a")
    desk.raise_("kill")
    desk.turn(5)
    assert sorted(desk.sends.titles()) == [
        "[CRITICAL] KILL", "[WARNING] The alert settings cannot be read",
    ]  # fmt: skip


def test_a_fill_a_job_and_a_book_that_cannot_be_read_hide_no_others(tmp_path: Path) -> None:
    stated = Stated(tmp_path / "home")
    asked(stated, above=0.6)
    stated.desk.settle({"prices": {"sun": {"instrument": "demo:sun", "above": 0.6}}})
    stated.put(
        "instruments", id="demo:sun", kind="binary", currency="pUSD", price_decimals=4,
        size_decimals=6, tick=100, lot=10_000, market="demo:sun", series="", closes_ns=None,
        payout_yes_micro=None, body="{}", updated_ns=1,
    )  # fmt: skip
    stated.turn(10)
    fill(stated, 1, 900_000_000)
    stated.run("UPDATE fills SET value_micro = 'x'")
    fill(stated, 2, 800_000_000)
    failed_job(stated)
    book(stated, 6_100, 6_102)
    stated.put("books", account="demo", instrument="demo:sun", body="{", updated_ns=1)
    stated.turn(20)
    assert {"large_fill", "job_failed", "price_reached"} <= set(stated.kinds())
    assert len(said(stated.desk)) == 2, "the fill and the price alert"
    assert MARKET in " ".join(text for _, text in stated.told())


@pytest.mark.parametrize(
    ("table", "spoiled"),
    [
        ("notices", "UPDATE notices SET count = 'x' WHERE account = 'one'"),
        ("notices", "UPDATE notices SET numbers = '{' WHERE account = 'one'"),
        ("deliveries", "UPDATE deliveries SET attempts = 'x', state = 'waiting'"),
        ("meta", "UPDATE meta SET value = 'x' WHERE name = 'alerts cursor'"),
        ("meta", "UPDATE meta SET value = '[' WHERE name IN ('memory', 'beat', 'ping')"),
    ],
)
def test_a_row_of_its_own_log_that_cannot_be_read_is_taken_out_at_the_next_start(
    desk: Watched, table: str, spoiled: str
) -> None:
    desk.raise_("kill", account="one")
    desk.turn(5)
    desk.watch._log.connection.execute(spoiled)
    desk.again(5, stopped=True)
    desk.raise_("kill", account="two")
    desk.turn(5)
    accounts = [line.where.get("account") for _, one in desk.sends.sent for line in one.lines]
    assert "two" in accounts
    assert desk.rows(f"SELECT count(*) > 0 FROM {table}") == [(1,)]
    assert any("of the delivery log cannot be read" in text for text in said(desk))
