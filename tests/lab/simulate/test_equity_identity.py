"""The identity of equity over simulated hours with faults: each minute, ledger against journal.

The journal's side is folded by the same projection that feeds the pages, into a state file in
memory; crashes cut the journal, so the projection is built anew where its last record is gone.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from engine.domain.events import InstrumentListed
from engine.domain.instruments import Mode
from engine.lab.simulate.judges import EngineRuns
from engine.lab.simulate.simulated_account import SimulatedAccount
from engine.lab.simulate.world import MINUTE, World
from engine.live.lifecycle import ledger_side
from storage.equity_identity import EquityCheck, judge
from storage.journal import Record, decode
from storage.live import put_instrument
from storage.projected import TABLES, fold_into
from storage.projection import register_account
from storage.schema import migrate

ENGINE = "e1"
HOURS = 24


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("identity") / "pitboss.db"
    migrate(path)
    return path


class Watch:
    """Folds one station's journal and judges its ledger each simulated minute."""

    def __init__(self, account: SimulatedAccount, empty: Path) -> None:
        self.account = account
        self.checks = self.waited = 0
        self.alarms: list[EquityCheck] = []
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        with closing(sqlite3.connect(empty)) as source:
            source.backup(self.connection)
        settings = account.settings
        register_account(
            self.connection,
            engine_id=ENGINE,
            account=settings.name,
            mode=Mode.DEMO,
            venue="demo",
            currency="pUSD",
        )
        self._begin()

    def _begin(self) -> None:
        for table in TABLES:
            self.connection.execute(f"DELETE FROM {table}")
        modes = {str(self.account.id): Mode.DEMO}
        self._fold = fold_into(self.connection, ENGINE, modes)
        self._taken: list[Record] = []

    def _follow(self) -> None:
        rows, taken = self.account.disk.rows, self._taken
        if taken and (len(rows) < len(taken) or rows[len(taken) - 1] is not taken[-1]):
            self._begin()
            taken = self._taken
        for record in rows[len(taken) :]:
            if record.kind == "InstrumentListed":
                listed: InstrumentListed = decode(record)
                put_instrument(self.connection, ENGINE, listed.instrument, record.at_ns)
            self._fold.take(record)
            taken.append(record)
        self._fold.rows.flush()

    def check(self) -> None:
        """Judge the living engine, where it is not asking the venue just now."""
        run = self.account.engine_run
        if run is None or run.dead or run.frozen or run.executor.recovering:
            self.waited += 1
            return
        self._follow()
        side = ledger_side(run.executor, at_ns=self.account.now(), seq=len(self._taken))
        check = judge(self.connection, ENGINE, side)
        self.checks += check.judged
        if check.differs:
            self.alarms.append(check)


def watched(world: World, empty: Path) -> list[Watch]:
    """Have every station of a world judged each minute while it runs."""
    watches = [Watch(account, empty) for account in world.accounts]

    def minute() -> None:
        for watch in watches:
            watch.check()
        world.later(world.exchange.now_ns + MINUTE, minute)

    world.later(world.exchange.now_ns + MINUTE, minute)
    return watches


def watched_runs(seeds: range, minutes: float, empty: Path) -> Iterator[tuple[float, Watch]]:
    for seed in seeds:
        world = World(seed, accounts=1)
        watches = watched(world, empty)
        outcome = world.run(minutes)
        assert not outcome.verdicts
        for watch in watches:
            yield outcome.simulated_s / 3600, watch


@pytest.mark.long
def test_the_identity_holds_while_an_engine_is_crashed_and_lied_to(empty: Path) -> None:
    ((_, watch),) = watched_runs(range(7, 8), 6.0, empty)
    assert watch.checks > 3
    assert watch.alarms == []


@pytest.mark.long
def test_cash_out_of_nothing_is_found_within_a_minute(
    empty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The simulator's own judge of cash would end the world before the minute is over.
    monkeypatch.setattr(EngineRuns, "_judge_redemptions", lambda *_: None)
    world = World(7, faults=(), accounts=1)
    (watch,) = watched(world, empty)

    planted: list[int] = []

    def plant() -> None:
        planted.append(world.exchange.now_ns)
        run = watch.account.engine_run
        assert run is not None
        # A booking out of nothing that the ledger's own double entry cannot see.
        run.executor.ledger.move_cash(1)

    world.later(world.exchange.now_ns + 2 * MINUTE + MINUTE // 2, plant)
    world.run(4.0)
    first = watch.alarms[0]
    assert (first.difference_micro, first.ledger.at_ns - planted[0]) == (1, MINUTE // 2)


@pytest.mark.soak
@pytest.mark.timeout(7_200)
def test_the_identity_is_silent_over_simulated_hours(
    empty: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hours, checks, waited, alarms = 0.0, 0, 0, 0
    for simulated, watch in watched_runs(range(1, HOURS + 1), 60.0, empty):
        hours, checks = hours + simulated, checks + watch.checks
        waited, alarms = waited + watch.waited, alarms + len(watch.alarms)
        with capsys.disabled():
            print(f"{hours:.1f} simulated hours: {checks} checks, {waited} waited, {alarms} alarms")
        assert not watch.alarms, watch.alarms[0].text
    assert hours >= HOURS
    assert checks > 60 * HOURS // 2
