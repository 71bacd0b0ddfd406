from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from engine.domain.decisions import Decision, Gate, Planned, Resting, Rule, Unit, Verdict
from engine.domain.instruments import AccountId, BotId, InstrumentId, Leg, Side
from engine.domain.intents import Quotes
from engine.domain.orders import OrderId
from engine.errors import BadInput, StorageError
from engine.runtime.decisions import DecisionLog
from storage.decisions import (
    StoredDecision,
    decision_numbered,
    decisions_around,
    files,
    latest_decisions,
    plans_at,
    reading_log,
)

BINARY = InstrumentId("polymarket:0xdd")


def decision(number: int, outcome: str = "hold", **more: str) -> Decision:
    intent = None
    if outcome == "quote":
        intent = Quotes(
            bot=BotId("maker"), instrument=BINARY, bids=((number, 1),), valid_until_ns=number
        )
    return Decision(
        number=number,
        bot=BotId(more.get("bot", "maker")),
        instrument=InstrumentId(more.get("instrument", BINARY)),
        at_ns=number * 10,
        regime="calm",
        inputs=(("spread", 0.01 * number),),
        build_up=(("fair", 0.5),),
        gates=(Gate(name="edge", passed=True, value=0.2, limit=0.1),),
        outcome=outcome,
        intent=intent,
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "decisions.db"


@pytest.fixture
def log(path: Path) -> Iterator[DecisionLog]:
    made = DecisionLog(path, engine_id="e1", busy_ms=20)
    yield made
    made.close()


def around(path: Path, at_ns: int = 10**9, before: int = 1_000) -> list[StoredDecision]:
    return decisions_around(path, instrument=BINARY, at_ns=at_ns, before=before)


def test_alike_decisions_are_one_row_with_a_count(log: DecisionLog, path: Path) -> None:
    for number in (1, 2, 3):
        log.append(decision(number))
    log.append(decision(4, "quote"))
    log.append(decision(5))
    log.flush()
    rows = around(path)
    assert [(row.number, row.last_number, row.last_ns, row.count) for row in rows] == [
        (1, 3, 30, 3),
        (4, 4, 40, 1),
        (5, 5, 50, 1),
    ]
    assert [row.decision for row in rows] == [decision(1), decision(4, "quote"), decision(5)]
    assert rows[0].body == msgspec.msgpack.encode(decision(1))


def test_instruments_and_bots_are_counted_apart(log: DecisionLog, path: Path) -> None:
    for number in range(1, 9):
        log.append(decision(number, bot=f"bot{number % 2}"))
        log.append(decision(number, instrument="other"))
    log.flush()
    assert [row.count for row in around(path)] == [4, 4]
    mine = decisions_around(path, instrument=BINARY, at_ns=10**9, bot="bot1")
    assert [row.number for row in mine] == [1]


def test_a_row_that_counts_on_is_written_again(log: DecisionLog, path: Path) -> None:
    log.append(decision(1))
    log.flush()
    assert [row.count for row in around(path)] == [1]
    log.append(decision(2))
    log.flush()
    log.flush()
    assert [(row.count, row.last_ns) for row in around(path)] == [(2, 20)]


def test_what_was_decided_around_a_time(log: DecisionLog, path: Path) -> None:
    for number in range(1, 31):
        log.append(decision(number, "quote"))
    log.flush()
    rows = decisions_around(path, instrument=BINARY, at_ns=155, before=3, after=2)
    assert [row.number for row in rows] == [13, 14, 15, 16, 17]
    rows = decisions_around(path, instrument=BINARY, at_ns=155, before=0, after=1)
    assert [row.number for row in rows] == [16]


def test_a_wish_is_explained_by_its_number(log: DecisionLog, path: Path) -> None:
    for number in (1, 2, 3):
        log.append(decision(number))
    log.append(decision(4, "quote"))
    log.flush()

    def first(number: int) -> int | None:
        row = decision_numbered(path, bot="maker", instrument=BINARY, number=number, at_ns=999)
        return None if row is None else row.number

    assert [first(number) for number in (1, 3, 4, 5)] == [1, 1, 4, None]


def test_files_rotate_and_the_oldest_go(path: Path) -> None:
    log = DecisionLog(path, engine_id="e1", file_bytes_max=40_000, files_kept=2)
    log.append(decision(0, instrument="quiet"))
    for number in range(1, 1_531):
        log.append(decision(number, "quote"))
        if number % 100 == 0:
            log.append(decision(number, instrument="quiet"))
            log.flush()
    log.flush()
    assert len(files(path)) == 3
    rows = [row.number for row in around(path, before=5_000)]
    assert rows == list(range(rows[0], 1_531))
    assert rows[0] > 1
    (quiet,) = decisions_around(path, instrument="quiet", at_ns=10**9)
    assert (quiet.number, quiet.count) == (0, 16)
    log.close()
    again = DecisionLog(path, engine_id="e1")
    again.append(decision(9_999, "quote"))
    again.close()
    assert around(path)[-1].row == quiet.row + 1_531


def test_a_lock_delays_but_loses_nothing(log: DecisionLog, path: Path) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    log.append(decision(1))
    log._wake.set()
    while log.failure is None:
        log._wake.wait(0.02)
    log.append(decision(2, "quote"))
    assert "locked by another process" in str(log.failure)
    other.execute("ROLLBACK")
    other.close()
    log.flush()
    assert [row.number for row in around(path)] == [1, 2]
    assert log.failure is None


def test_a_full_queue_raises_live(path: Path) -> None:
    log = DecisionLog(path, engine_id="e1", queue_max=5, busy_ms=10)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    for number in range(1, 6):
        log.append(decision(number, "quote"))
    with pytest.raises(StorageError, match="queue is full: 5 rows wait"):
        log.append(decision(6, "quote"))
    other.execute("ROLLBACK")
    other.close()
    log.flush()
    log.append(decision(6, "quote"))
    log.close()
    assert len(around(path)) == 6


def test_a_full_queue_waits_in_replay(path: Path) -> None:
    log = DecisionLog(path, engine_id="e1", queue_max=20, waits_when_full=True)
    for number in range(1, 501):
        log.append(decision(number, "quote"))
    log.close()
    assert len(around(path)) == 500


def test_closing_on_a_refusing_disk_says_what_is_missing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.runtime.decisions.PATIENCE_TRIES", 1)
    log = DecisionLog(path, engine_id="e1", busy_ms=10)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    log.append(decision(1))
    with pytest.raises(StorageError, match="1 decisions could not be written"):
        log.close()
    other.close()


def test_foreign_files_and_unreadable_rows_are_told(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE other (x)")
    connection.close()
    with pytest.raises(StorageError, match="is not a decision file of this version"):
        DecisionLog(path, engine_id="e1")
    row = StoredDecision(
        row=3, engine_id="e1", number=1, last_number=1, last_ns=0, count=1, body=b"\x80"
    )
    with pytest.raises(BadInput, match="decision row 3 cannot be read"):
        _ = row.decision


def plan(at_ns: int, instrument: InstrumentId = BINARY) -> Planned:
    return Planned(
        decision=7,
        account=AccountId("demo"),
        bot=BotId("maker"),
        instrument=instrument,
        at_ns=at_ns,
        places=(Resting(OrderId(3), Leg.YES, Side.BUY, 4_800, 10),),
        cancels=(OrderId(1),),
        rests=(),
        left=(),
        rules=(Rule("open_orders", Verdict.PASSED, 1, 2, Unit.COUNT),),
    )


def test_a_plan_is_found_by_its_instrument_and_turn(log: DecisionLog, path: Path) -> None:
    log.append(plan(50))
    log.append(plan(60))
    log.append(plan(50, InstrumentId("other")))
    log.flush()
    assert plans_at(path, instrument=BINARY, at_ns=50) == [plan(50)]
    assert plans_at(path, instrument=BINARY, at_ns=51) == []


def test_what_counts_is_seen_after_it_was_told(log: DecisionLog, path: Path) -> None:
    log.append(decision(1))
    log.append(decision(2))
    log.tell()
    log.append(decision(3, "quote"))
    log.flush()
    found = latest_decisions(path, bot="maker", instruments=[BINARY, "other"])
    assert list(found) == [BINARY]
    assert (found[BINARY].number, found[BINARY].decision.outcome) == (3, "quote")
    assert latest_decisions(path, bot="nobody", instruments=[BINARY]) == {}
    assert [row.count for row in around(path)] == [2, 1]


def test_alike_bodies_are_kept_in_a_fraction_and_read_as_they_were(path: Path) -> None:
    log = DecisionLog(path, engine_id="e1")
    for number in range(1, 1_001):
        log.append(decision(number, f"gate {number}"))
        if number % 100 == 0:
            log.flush()
    log.close()
    with reading_log(path) as connection:
        kept, plain, rows = connection.execute(
            "SELECT sum(length(body)), sum(length(plain(body))), count(*) FROM decisions "
            "WHERE row > 500"
        ).fetchone()
    assert rows == 500
    assert kept < plain / 2
    assert [row.decision for row in around(path)] == [
        decision(number, f"gate {number}") for number in range(1, 1_001)
    ]


def test_a_file_begun_before_bodies_were_compressed_is_read_and_written_on(path: Path) -> None:
    log = DecisionLog(path, engine_id="e1")
    log.append(decision(1))
    log.close()
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE dictionary")
        connection.execute("PRAGMA user_version = 1")
    connection.close()
    assert [row.decision for row in around(path)] == [decision(1)]
    log = DecisionLog(path, engine_id="e1")
    for number in range(2, 200):
        log.append(decision(number, f"gate {number}"))
    log.close()
    assert [row.decision.number for row in around(path)] == list(range(1, 200))
