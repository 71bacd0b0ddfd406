"""Simulated lives told again: the faults are the simulation's, the judge is the telling."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from engine.cli.explain import words
from engine.domain.effects import KeepStart, SetTimer
from engine.domain.events import OrderFilled
from engine.domain.settings import BotSettings, SettingsDocument
from engine.lab.explain.accounts import JournalAccounts
from engine.lab.explain.plans import PlanVerification, Retelling
from engine.lab.simulate.accounts import CAPITAL_MICRO
from engine.lab.simulate.faults import Fault
from engine.lab.simulate.simulated_account import SimulatedAccount
from engine.lab.simulate.world import World
from engine.runtime.decisions import DecisionLog
from storage.journal import Record
from storage.views.decision_history import every_plan

START = KeepStart.__name__
DEATHS = (Fault.CRASH, Fault.LOST_BEFORE, Fault.LOST_AFTER)


def world_of(
    seed: int, folder: Path, *, accounts: int, minutes: float, snapshot_every: int = 200
) -> list[SimulatedAccount]:
    """Accounts whose engines die with orders nobody answered about, their decisions in logs.

    They trade several markets, with quotes, targets and baskets.
    """
    world = World(seed, faults=DEATHS, accounts=accounts)
    logs = []
    for station in world.stations:
        station.snapshot_every = snapshot_every
        logs.append(DecisionLog(log_of(station, folder), engine_id="lived", waits_when_full=True))
        station.decide = logs[-1].append
    outcome = world.run(minutes)
    for log in logs:
        log.close()
    assert outcome.verdicts == ()
    assert outcome.counts["starts"] > accounts
    return world.stations


def lived(seed: int, folder: Path, snapshot_every: int = 200) -> SimulatedAccount:
    (station,) = world_of(seed, folder, accounts=1, minutes=1.5, snapshot_every=snapshot_every)
    assert station.starts > 2
    return station


def log_of(station: SimulatedAccount, folder: Path) -> Path:
    return folder / f"{station.account}.db"


def told_again(station: SimulatedAccount, folder: Path, records: list[Record]) -> PlanVerification:
    bots = {
        name: BotSettings(
            name=name, strategy="restless", account=station.account, capital=CAPITAL_MICRO / 1e6
        )
        for name in ("bot-0", "bot-1")
    }
    document = SettingsDocument(accounts={station.account: station.settings}, bots=bots)
    accounts = JournalAccounts([(0, document)], lambda after_seq: records[after_seq:], {})
    log = log_of(station, folder)
    return Retelling(accounts, every_plan(log), log).run(records)


def without(records: list[Record], gone: Record) -> list[Record]:
    timer = msgspec.msgpack.encode(SetTimer(at_ns=0, name="none"))
    nothing = msgspec.structs.replace(gone, kind=SetTimer.__name__, body=timer)
    return [nothing if one is gone else one for one in records]


def without_starts(records: list[Record], upto: int) -> list[Record]:
    """The journal as an older version would have written it up to a record."""
    timer = msgspec.msgpack.encode(SetTimer(at_ns=0, name="none"))
    return [
        msgspec.structs.replace(one, kind=SetTimer.__name__, body=timer)
        if one.kind == START and one.seq < upto
        else one
        for one in records
    ]


LONG = [pytest.param(seed, marks=pytest.mark.soak) for seed in (9, 24)]


@pytest.mark.parametrize("seed", [3, 12, *LONG])
def test_plans_of_lives_that_crashed_are_proven_from_start_to_end(
    seed: int, tmp_path: Path
) -> None:
    for station in world_of(seed, tmp_path, accounts=2, minutes=1.0):
        found = told_again(station, tmp_path, station.disk.rows)

        assert (found.different, found.broken, found.starts_unkept) == ([], [], 0)
        assert (found.untold, found.beyond, found.unreached) == (0, 0, 0)
        assert found.same + found.cut == found.plans > 100
        assert found.cut <= 3 * station.starts  # a power cut takes at most the turn it came into


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> tuple[SimulatedAccount, Path]:
    """An account that died and came back, and where its decisions are; to be read alone."""
    folder = tmp_path_factory.mktemp("lived")
    return lived(9, folder), folder


def test_a_journal_with_a_fill_left_out_is_no_proof_of_the_plans_behind_it(
    life: tuple[SimulatedAccount, Path],
) -> None:
    station, folder = life
    rows = station.disk.rows
    fill = next(one for one in rows if one.kind == OrderFilled.__name__)

    found = told_again(station, folder, without(rows, fill))

    assert found.different or found.broken
    assert found.beyond > 0


def test_starts_that_an_older_version_did_not_keep_are_told_and_raise_no_alarm(
    life: tuple[SimulatedAccount, Path],
) -> None:
    station, folder = life
    rows = station.disk.rows

    found = told_again(station, folder, without_starts(rows, len(rows)))

    assert (found.different, found.broken) == ([], [])
    assert found.same > 0
    assert found.beyond > 0
    assert found.starts_unkept > 0
    assert "an older version did not keep them" in words(found)


def test_after_older_lives_plans_are_proven_again_from_the_first_start_that_was_kept(
    tmp_path: Path,
) -> None:
    station = lived(9, tmp_path, snapshot_every=50_000)
    rows = station.disk.rows
    fences = {msgspec.msgpack.decode(r.body)["fence"]: r for r in reversed(rows) if r.kind == START}
    last = fences[station.starts]
    later = sum(plan.at_ns > last.at_ns for plan, _ in every_plan(log_of(station, tmp_path)))

    found = told_again(station, tmp_path, without_starts(rows, last.seq))

    assert (found.different, found.broken) == ([], [])
    assert found.starts_unkept > 0
    assert found.same >= later - found.idle > 0
