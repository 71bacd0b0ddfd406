"""One row that cannot be read hides no other: it is skipped, and said."""

from __future__ import annotations

from pathlib import Path

import pytest

from storage.database import dicts, insert, transaction, writing
from storage.live import EngineHeartbeat, put_engine
from storage.phases import INIT, EnginePhase, put_phase
from storage.users import ENGINE_ID
from tests.watch.desks import MINUTE, NOON_NS, Watched
from tests.watch.stated import (
    MARKET,
    Stated,
    asked,
    balance,
    book,
    failed_job,
    fill,
    holding,
    idle_bot,
    limit,
)


def spoil(desk: Watched, query: str, *values: object) -> None:
    """Write into the state database what the engine never writes."""
    with writing(desk.state) as connection, transaction(connection):
        connection.execute(query, values)


def said(desk: Watched) -> list[str]:
    """Return what each part that failed is told to be."""
    return [text for (text,) in desk.rows("SELECT text FROM notices WHERE kind = 'watch_part'")]


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("count", "x"),
        ("first_ns", "x"),
        ("last_ns", "x"),
        ("text", b"\xff"),
        ("acked_ns", 0.5),
        ("numbers", "{"),
    ],
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


def spoiled_balance(stated: Stated) -> None:
    balance(stated, 90_000_000)
    copied(stated, "capital", account="second")
    stated.run("UPDATE capital SET settled_micro = 'x' WHERE account = 'demo'")


def spoiled_limit(stated: Stated) -> None:
    limit(stated, "exposure_market_max", 90_000_000)
    limit(stated, "exposure_market_max", 90_000_000, "second")
    stated.run("UPDATE limit_use SET used = 'x' WHERE subject = ''")


def spoiled_holding(stated: Stated) -> None:
    holding(stated, payout=1_000_000)
    copied(stated, "holdings", account="second")
    stated.run("UPDATE holdings SET yes_settled = 'x' WHERE account = 'demo'")


def spoiled_bot(stated: Stated) -> None:
    idle_bot(stated)
    copied(stated, "bots", name="second")
    stated.run("UPDATE bots SET watching = '[7' WHERE name = 'b1'")


def spoiled_feed(stated: Stated) -> None:
    lost = {"trouble": "no socket", "markets": 1, "last_word_ms": 1}
    stated.detail = {"feeds": {"first": 7, "second": lost}}


def spoiled_stream(stated: Stated) -> None:
    lost = {"mode": "demo", "why": "it is cut"}
    stated.detail = {"private_lost": {"demo": 7, "second": lost}}


def spoiled_time(stated: Stated) -> None:
    stated.detail = {"turn_p99_us": "x", "answers": 9, "answer_ms_median": 2_000.0}


SPOILED = {
    "balance_low": spoiled_balance,
    "limit_near": spoiled_limit,
    "redeemable": spoiled_holding,
    "bot_idle": spoiled_bot,
    "connection_lost of a feed": spoiled_feed,
    "connection_lost of a stream": spoiled_stream,
    "latency": spoiled_time,
}
"""Kind → what makes it twice, once in a row that cannot be read."""


def copied(stated: Stated, table: str, **cells: str) -> None:
    """Put a row of a table once more, with other cells."""
    with writing(stated.desk.state) as connection, transaction(connection):
        (row,) = dicts(connection, f"SELECT * FROM {table}")
        insert(connection, table, **{**row, **cells})


@pytest.mark.sampled(2)
@pytest.mark.parametrize("name", SPOILED)
def test_a_row_of_the_engine_that_cannot_be_read_hides_no_other(name: str, tmp_path: Path) -> None:
    stated = Stated(tmp_path / "home")
    SPOILED[name](stated)
    stated.turn(33 * MINUTE, every=60)
    kinds = stated.kinds()
    assert sorted(kinds) == sorted([name.partition(" ")[0], "watch_part"]), stated.told()
    ((text),) = said(stated.desk)
    assert " cannot be read: " in text
    assert {"latency": "what the engine measured"}.get(name, "") in text


def test_what_stood_of_a_row_that_cannot_be_read_any_more_is_not_over(tmp_path: Path) -> None:
    stated = Stated(tmp_path / "home")
    balance(stated, 90_000_000)
    stated.turn(60)
    stated.run("UPDATE capital SET settled_micro = 'x'")
    stated.turn(60)
    stated.desk.again(5)
    stated.turn(60)
    over = "SELECT kind, ended_ns FROM notices WHERE kind = 'balance_low'"
    assert stated.desk.rows(over) == [("balance_low", None)]
    assert not [one for one in stated.desk.sends.titles() if "[over]" in one]
    balance(stated, 900_000_000)
    stated.turn(10)
    ((_, ended_ns),) = stated.desk.rows(over)
    assert ended_ns is not None


def test_rows_that_cannot_be_read_are_named_up_to_twenty(tmp_path: Path) -> None:
    stated = Stated(tmp_path / "home")
    for number in range(25):
        limit(stated, "exposure_market_max", 90_000_000, f"m{number}")
    stated.run("UPDATE limit_use SET used = 'x'")
    stated.turn(10)
    texts = said(stated.desk)
    assert len(texts) == 21
    assert "5 more of the limit cannot be read" in texts


def test_alerts_of_a_home_that_no_new_engine_has_opened_yet_are_sent(desk: Watched) -> None:
    spoil(desk, "ALTER TABLE alerts DROP COLUMN numbers")
    spoil(
        desk,
        "INSERT INTO alerts (engine_id, severity, kind, text, count, first_ns, last_ns) VALUES "
        "(?, 'critical', 'kill', 'by hand', 1, ?, ?)",
        ENGINE_ID, NOON_NS, NOON_NS,
    )  # fmt: skip
    desk.turn(3)
    assert desk.sends.titles() == ["[CRITICAL] KILL"]
