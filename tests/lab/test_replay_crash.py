"""A replay killed in the middle: what its journal still proves, and who can be rebuilt from it."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from engine.config import Config
from engine.domain.effects import Effect
from engine.domain.events import Event
from engine.domain.instruments import InstrumentId, Leg, Mode
from engine.domain.money import MICRO
from engine.domain.orders import OrderState
from engine.domain.settings import RiskLimits
from engine.errors import JournalCorrupt, StorageError
from engine.executor.executor import Executor, ExecutorSettings
from engine.executor.ledger import Ledger
from engine.lab.replay.run import ACCOUNT, CURRENCY
from engine.lab.replay.setup import ENGINE, ReplayOptions, prepare
from engine.risk.exposure import ExposureBook
from engine.risk.gate import Breakers, RiskGate
from engine.runtime.recovery import remember
from storage.database import connect_writer, reading
from storage.journal import Record, decode, last_seq, load
from storage.journal_writer import JournalWriter, open_journal
from storage.projected import TABLES
from storage.projection import project, register_account
from storage.schema import migrate
from tests.runtime.digests import digest_of

REPOSITORY = Path(__file__).resolve().parents[2]
RECORDS_BEFORE_KILL = 2_500
PATIENCE_S = 120.0
CASH_MICRO = 1_000 * MICRO
ASKED = frozenset({OrderState.CANCELLING, OrderState.PENDING, OrderState.SENT})
"""What the projection calls an order that was asked for something without an answer. A fresh one
ignores effects (its docstring says so) and has it where the venue's last word left it; an order of
an earlier life without any word may have left, so it is unknown."""


@pytest.fixture(scope="module")
def recording(make_recording: Callable[..., Path]) -> Path:
    return make_recording(markets=3, frames=560)


@pytest.fixture(scope="module")
def whole(
    recording: Path, quoting: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Return the journal of a run that came to its end."""
    options = ReplayOptions(
        path=recording, strategy="market_maker", parameters=quoting, limits={},
        cash_micro=CASH_MICRO, model="realistic", latency_ms=150, decisions=False,
        journal_full=True,
    )  # fmt: skip
    run = prepare(options, Config(home=tmp_path_factory.mktemp("whole")))
    run.run(lambda *_: None)
    return run.folder / "journal.db"


def _records_kept(home: Path) -> int:
    """Return the last seq of the one journal in a home; 0 while there is none."""
    for path in home.glob("runs/*/journal.db"):
        try:
            return last_seq(path)
        except StorageError:
            return 0  # it is being made
    return 0


@pytest.fixture(scope="module")
def killed(
    recording: Path, quoting: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Return the journal of a run that was killed in the middle."""
    home = tmp_path_factory.mktemp("killed")
    params = [word for key, value in quoting.items() for word in ("--param", f"{key}={value}")]
    program = subprocess.Popen(
        [sys.executable, "-m", "engine", "replay", str(recording), *params, "--decisions", "off"],
        cwd=REPOSITORY, env={**os.environ, "PITBOSS_HOME": str(home)},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    with program:
        give_up = time.monotonic() + PATIENCE_S
        while program.poll() is None and _records_kept(home) <= RECORDS_BEFORE_KILL:
            assert time.monotonic() < give_up, "the replay did not get anywhere"
            time.sleep(0.005)
        os.kill(program.pid, signal.SIGKILL)
        output = program.communicate()[0].decode()
    assert program.returncode == -signal.SIGKILL, output
    (path,) = home.glob("runs/*/journal.db")
    return path


@pytest.fixture
def copied(killed: Path, tmp_path: Path) -> Path:
    """Return a copy of the killed run's journal, all its records in the one file."""
    path = tmp_path / "journal.db"
    for suffix in ("", "-wal"):
        beside = killed.with_name(killed.name + suffix)
        if beside.exists():
            shutil.copyfile(beside, path.with_name(path.name + suffix))
    with closing(connect_writer(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    return path


# -- what the journal still proves -----------------------------------------------------------------


@pytest.mark.long
def test_journal_of_a_killed_run_is_a_proven_prefix_of_the_whole(killed: Path, whole: Path) -> None:
    records = list(load(killed))
    assert len(records) > RECORDS_BEFORE_KILL
    assert len(records) < last_seq(whole), "the run was over before it was killed"
    assert [record.seq for record in records] == list(range(1, len(records) + 1))
    assert digest_of(records) == digest_of(islice(load(whole), len(records)))


@pytest.mark.parametrize("kind", ["PlaceOrder", "OrderFilled"])
def test_flipped_bit_in_the_file_is_found_and_the_record_named(copied: Path, kind: str) -> None:
    content = bytearray(copied.read_bytes())
    of_kind = [record for record in load(copied) if record.kind == kind]
    # A page that was split keeps what moved away, too.
    record = [record for record in of_kind if content.count(record.body) == 1][-1]
    content[content.index(record.body) + len(record.body) // 2] ^= 1
    copied.write_bytes(content)
    proven: list[Record] = []
    with pytest.raises(JournalCorrupt, match=f"record {record.seq} does not match its checksum"):
        proven.extend(load(copied))
    assert len(proven) == record.seq - 1


def test_missing_record_is_found_and_named(copied: Path) -> None:
    with closing(sqlite3.connect(copied)) as connection, connection:
        connection.execute("DELETE FROM records WHERE seq = 1000")
    with pytest.raises(JournalCorrupt, match="lacks record 1000"):
        list(load(copied))


# -- the projection --------------------------------------------------------------------------------


def _state(path: Path) -> Path:
    migrate(path)
    with closing(connect_writer(path)) as connection:
        register_account(
            connection, engine_id=ENGINE, account=ACCOUNT, mode=Mode.PAPER, venue="paper",
            currency=CURRENCY,
        )  # fmt: skip
    return path


def _rows(state: Path) -> dict[str, list[tuple[Any, ...]]]:
    with reading(state) as connection:
        return {
            table: sorted(map(tuple, connection.execute(f"SELECT * FROM {table}")), key=repr)
            for table in TABLES
        }


def _grow(journal: Path, source: Path, upto: int) -> None:
    """Append the source's records up to a seq, as the writer would have."""
    connection, last = open_journal(journal, ENGINE)
    with closing(connection):
        connection.execute("ATTACH ? AS source", (str(source),))
        connection.execute(
            "INSERT INTO records SELECT * FROM source.records WHERE seq > ? AND seq <= ?",
            (last, upto),
        )


def test_projection_kept_step_by_step_equals_one_built_at_once_and_a_rebuild(
    copied: Path, tmp_path: Path
) -> None:
    last = last_seq(copied)
    at_once = _state(tmp_path / "once.db")
    done = project(copied, at_once)
    assert (done.seq, done.records, done.problems) == (last, last, ())
    rows = _rows(at_once)
    assert rows["orders"]
    assert rows["fills"]

    growing, kept = tmp_path / "growing.db", _state(tmp_path / "kept.db")
    for upto in (1, 7, last // 3, last // 2, last - 1, last):
        _grow(growing, copied, upto)
        step = project(growing, kept)
        assert (step.seq, step.rebuilt) == (upto, False)
    assert _rows(kept) == rows

    with closing(connect_writer(kept)) as connection:
        connection.execute("UPDATE projection SET version = version - 1")
        connection.execute("DELETE FROM fills")
    again = project(growing, kept)
    assert (again.rebuilt, again.records) == (True, last)
    assert _rows(kept) == rows


def test_every_fill_of_a_killed_run_has_a_value(copied: Path, tmp_path: Path) -> None:
    state = _state(tmp_path / "state.db")
    project(copied, state)
    with reading(state) as connection:
        (without,) = connection.execute(
            "SELECT count(*) FROM fills WHERE value_micro IS NULL"
        ).fetchone()
    assert without == 0


# -- the executor ----------------------------------------------------------------------------------


class Remembering(Executor):
    """An executor built from a journal the way its docstring says."""

    def __init__(self) -> None:
        limits = RiskLimits()
        super().__init__(
            account=ACCOUNT,
            mode=Mode.PAPER,
            currency=CURRENCY,
            ledger=Ledger(currency=CURRENCY),
            gate=RiskGate(limits=limits, breakers=Breakers(limits), exposure=ExposureBook()),
            settings=ExecutorSettings(),
        )

    def read(self, journal: Path) -> None:
        for record in load(journal):
            message = decode(record)
            assert isinstance(message, Effect | Event)
            remember(self, message, record.at_ns)


def _journal_changes(executor: Executor, journal: Path) -> None:
    """Journal what the killed turn could not say any more of its orders, as every start does."""
    with closing(JournalWriter(journal, engine_id=ENGINE)) as writer:
        for change in executor._table.take_changes():
            writer.append(ACCOUNT, change, 0)


def _assert_agree(executor: Executor, state: Path) -> int:
    """Compare every order, holding and the cash; return how many orders may still fill."""
    live = 0
    with reading(state) as connection:
        connection.row_factory = sqlite3.Row
        orders = connection.execute("SELECT * FROM orders ORDER BY id").fetchall()
        positions = connection.execute("SELECT * FROM positions").fetchall()
    for row in orders:
        known = executor.record(row["id"])
        assert known is not None, f"order {row['id']} is not remembered"
        seen = OrderState(row["state"])
        assert (known.identity, known.filled) == (row["identity"], row["filled"])
        if seen in ASKED:
            assert not known.state.ended, f"order {row['id']}: {known.state}, {seen} in the rows"
        else:
            assert known.state is seen, f"order {row['id']}: {known.state}, {seen} in the rows"
        live += not seen.ended
    ledger = executor.ledger
    unsettled = {entry.instrument for entry in ledger.state.fills.unsettled.values()}
    spent = 0
    for row in positions:
        leg = ledger.holding(InstrumentId(row["instrument"])).leg(Leg(row["leg"]))
        assert leg.total == row["settled"] + row["pending"]
        if row["instrument"] not in unsettled:
            assert (leg.settled, row["pending"]) == (row["settled"], 0)
        spent += row["spent_micro"] - row["received_micro"] + row["fee_micro"]
    cash = ledger.state.cash_settled_micro + ledger.state.cash_pending_micro
    assert cash == CASH_MICRO - spent
    ledger.check()
    assert executor.open_and_unknown[0] == live
    return live


def test_executor_rebuilt_from_the_journal_agrees_with_the_projection(
    copied: Path, tmp_path: Path
) -> None:
    state = _state(tmp_path / "state.db")
    executor = Remembering()
    executor.read(copied)
    _journal_changes(executor, copied)
    project(copied, state)
    _assert_agree(executor, state)
    assert executor.fills > 100


@pytest.mark.long
def test_they_agree_wherever_the_journal_is_cut(copied: Path, tmp_path: Path) -> None:
    """Every cut is a crash: between an order's name and its bytes, between a fill and its proof."""
    last = last_seq(copied)
    first: dict[str, int] = {}
    """The first record of each kind after the middle."""
    for record in load(copied, after_seq=last // 2):
        first.setdefault(record.kind, record.seq)
    assert set(first) >= {"PlaceOrder", "OrderAccepted", "OrderFilled"}
    live = 0
    for cut in first.values():
        journal, state = tmp_path / f"{cut}.db", _state(tmp_path / f"state{cut}.db")
        _grow(journal, copied, cut)
        executor = Remembering()
        executor.read(journal)
        _journal_changes(executor, journal)
        project(journal, state)
        live += _assert_agree(executor, state)
    assert live > 0, "no cut had an order on the way: nothing was shown"


def test_rebuilt_executor_begins_by_asking_and_places_nothing(copied: Path) -> None:
    executor = Remembering()
    executor.read(copied)
    live, _ = executor.open_and_unknown
    records = list(load(copied))
    effects = executor.recover((), records[-1].at_ns + 1) + executor.plan(records[-1].at_ns + 1)
    assert executor.recovering
    assert executor.open_and_unknown == (live, live)
    kinds = {type(effect).__name__ for effect in effects}
    assert kinds >= {"QueryOpenOrders", "QueryFills"}
    assert "PlaceOrder" not in kinds
