from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.domain.decisions import Decision, Gate, Planned, Resting, Rule, Unit, Verdict
from engine.domain.instruments import AccountId, BotId, InstrumentId, Leg, Side
from engine.domain.intents import Quotes
from engine.domain.orders import OrderId
from engine.errors import BadInput, StorageError
from engine.runtime.decisions import DecisionLog
from storage.decisions import (
    BLOCK,
    DecisionFiles,
    StoredDecision,
    decision_numbered,
    decisions_until,
    files,
    kept,
    latest_decisions,
    plans_at,
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
    return decisions_until(path, instrument=BINARY, at_ns=at_ns, most=before)


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
    mine = decisions_until(path, instrument=BINARY, at_ns=10**9, bot="bot1")
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
    assert [row.number for row in around(path, 155, before=3)] == [13, 14, 15]


def test_a_intent_is_explained_by_its_number(log: DecisionLog, path: Path) -> None:
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
    (quiet,) = decisions_until(path, instrument="quiet", at_ns=10**9)
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
    log = DecisionLog(path, engine_id="e1", queue_max=9, busy_ms=10)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    for number in range(1, 6):
        log.append(decision(number, "quote"))
    with pytest.raises(StorageError, match="queue is full: 9 rows wait"):
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
        row=3, engine_id="e1", number=1, last_number=1, bot="maker", instrument=BINARY, at_ns=0,
        last_ns=0, count=1, outcome="hold", body=b"\x80",
    )  # fmt: skip
    with pytest.raises(BadInput, match="decision row 3 cannot be read"):
        _ = row.decision


def garbled(path: Path) -> None:
    path.write_bytes(Random(1).randbytes(8_192))


def foreign(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE other (x)")


def a_folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize("damage", [garbled, foreign, a_folder])
def test_a_damaged_file_is_set_aside_and_begun_anew_where_that_is_asked(
    path: Path, damage: Callable[[Path], None]
) -> None:
    damage(path)
    log = DecisionLog(path, engine_id="e1", mends=True)
    log.append(decision(1))
    log.close()
    assert len(next(kept(path))) == 1
    (alert,) = log.notes.take(0)
    assert "is damaged and is now" in alert.text
    assert (path.parent / "aside" / path.name).exists()


def test_a_full_file_that_is_damaged_refuses_no_start(path: Path) -> None:
    first = DecisionLog(path, engine_id="e1")
    first.append(decision(1))
    first.close()
    garbled(path.with_name(f"{path.stem}.000001{path.suffix}"))
    log = DecisionLog(path, engine_id="e1", mends=True)
    log.append(decision(2))
    log.close()
    rows = [row.row for rows in kept(path) for row in rows]
    assert sorted(rows) == [1, 2]
    assert "cannot be read and is now" in log.notes.take(0)[0].text


def test_a_file_damaged_while_it_is_written_is_set_aside_and_the_rows_are_kept(path: Path) -> None:
    log = DecisionLog(path, engine_id="e1", mends=True)
    log.append(decision(1))
    log.flush()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE recent")
    log.append(decision(2, "quote"))
    log.flush()
    log.close()
    assert {row.row for rows in kept(path) for row in rows} >= {2}
    assert "is damaged and is now" in log.notes.take(0)[0].text


def test_rows_that_can_never_be_written_are_left_out_and_noted(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, write = DecisionLog(path, engine_id="e1", mends=True), DecisionFiles.write
    once = iter([OverflowError("beyond 64 bits")])

    def spoilt(files: DecisionFiles, *rows: Any) -> None:
        if error := next(once, None):
            raise error
        write(files, *rows)

    monkeypatch.setattr(DecisionFiles, "write", spoilt)
    log.append(decision(1))
    log.flush()
    log.append(decision(2, "quote"))
    log.flush()
    log.close()
    assert "1 rows are left out" in log.notes.take(0)[0].text
    assert {row.row for rows in kept(path) for row in rows} >= {2}


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
    log.publish()
    log.append(decision(3, "quote"))
    log.flush()
    found = latest_decisions(path, bot="maker", instruments=[BINARY, "other"])
    assert list(found) == [BINARY]
    assert (found[BINARY].number, found[BINARY].decision.outcome) == (3, "quote")
    assert latest_decisions(path, bot="nobody", instruments=[BINARY]) == {}
    assert [row.count for row in around(path)] == [2, 1]


def test_a_row_that_counts_carries_the_last_of_the_alike_and_one_that_ended_its_first(
    log: DecisionLog, path: Path
) -> None:
    for number in (1, 2, 3):
        log.append(decision(number))
    log.publish()
    log.flush()
    [row] = around(path)
    assert (row.decision, row.latest) == (decision(1), decision(3))
    log.append(decision(4, "quote"))
    log.flush()
    ended, counting = around(path)
    assert (ended.last_body, ended.latest) == (b"", decision(1))
    assert (counting.last_body, counting.latest) == (b"", decision(4, "quote"))


def test_old_rows_are_kept_in_blocks_and_read_as_they_were(path: Path) -> None:
    log = DecisionLog(path, engine_id="e1")
    log.append(decision(0, instrument="quiet"))
    for number in range(1, 4_301):
        log.append(decision(number, f"gate {number}"))
        log.append(plan(number * 10))
        if number % 100 == 0:
            log.append(decision(number, instrument="quiet"))
            log.flush()
    said = (f"gate {number}" for number in range(1, 4_301))
    assert [row.decision for row in around(path, before=9_999)] == [
        decision(number, text) for number, text in enumerate(said, 1)
    ]
    (quiet,) = decisions_until(path, instrument="quiet", at_ns=10**9)
    assert (quiet.row, quiet.number, quiet.count) == (1, 0, 44)  # it counts, and is in no block
    for number in (1, 999, 2_500, 4_300):
        found = decision_numbered(
            path, bot="maker", instrument=BINARY, number=number, at_ns=number * 10
        )
        assert found is not None
        assert found.number == number
        assert plans_at(path, instrument=BINARY, at_ns=number * 10) == [plan(number * 10)]
    assert decision_numbered(path, bot="maker", instrument=BINARY, number=7_000, at_ns=99) is None
    assert [len(rows) for rows in kept(path)][1:] == [BLOCK] * 8
    rows = [one.row for rows in kept(path) for one in rows]
    assert sorted(rows) == list(range(1, 8_602))
    log.close()
    with sqlite3.connect(path) as connection:
        (packed,) = connection.execute("SELECT sum(length(body)) FROM blocks").fetchone()
    connection.close()
    plain = sum(len(one.body) for rows in kept(path) for one in rows)
    assert packed / 8_000 < plain / 8_601 / 4


def test_a_damaged_block_is_named_and_the_rows_beside_it_are_read(path: Path) -> None:
    log = DecisionLog(path, engine_id="e1")
    for number in range(1, 2_101):
        log.append(decision(number, f"gate {number}"))
    log.close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE blocks SET body = substr(body, 1, 2000) WHERE number = 1")
    connection.close()
    assert around(path, before=1_100)[0].number == 1_001
    with pytest.raises(BadInput, match="a block of the decision log is damaged"):
        around(path, before=1_101)


def test_whoever_died_while_rows_counted_left_them_to_be_found(path: Path) -> None:
    """A kill takes what was not written yet, five seconds at most; the rest is read on."""
    first = DecisionLog(path, engine_id="e1")
    first.append(decision(1))
    first.append(decision(2))
    first.flush()
    again = DecisionLog(path, engine_id="e1")  # `first` never ended its row
    for number in range(3, 2_200):
        again.append(decision(number, f"gate {number}"))
    again.close()
    assert [(row.number, row.count) for row in around(path, 25)] == [(1, 2)]
    assert len(around(path, before=9_999)) == 2_198
    first.close()


@pytest.mark.long
@settings(max_examples=40)
@given(
    turns=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1), st.integers(0, 3)), max_size=60),
    at=st.integers(0, 60),
    most=st.integers(1, 4),
)
def test_what_was_begun_last_is_found_however_rows_lie(
    turns: list[tuple[int, int, int]], at: int, most: int
) -> None:
    """Bots begin and end in any order; blocks of three."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr("storage.decisions.BLOCK", 3)
        path = Path(folder) / "decisions.db"
        log = DecisionLog(path, engine_id="e1")
        begun: dict[tuple[int, int], int] = {}
        rows: list[tuple[int, int]] = []
        last: dict[tuple[int, int], int] = {}
        for number, (bot, instrument, outcome) in enumerate(turns, 1):
            log.append(
                decision(number, f"gate {outcome}", bot=f"bot{bot}", instrument=f"i{instrument}")
            )
            if begun.get((bot, instrument)) != outcome:
                begun[bot, instrument], last[bot, instrument] = outcome, number
                rows.append((number, instrument))
            if outcome == 3:
                log.flush()
        for end in (log.flush, log.close):
            end()
            for name in (0, 1):
                mine = [number for number, other in rows if other == name and number <= at]
                found = decisions_until(path, instrument=f"i{name}", at_ns=at * 10, most=most)
                assert [one.number for one in found] == mine[-most:]
            for (bot, name), number in last.items():
                latest = latest_decisions(path, bot=f"bot{bot}", instruments=[f"i{name}"])
                assert latest[f"i{name}"].number == number
        files = DecisionFiles(path)
        assert files.last_row() == len(rows)
        files.close()
