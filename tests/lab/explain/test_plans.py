"""Simulated lives told again: the faults are the simulation's, the judge is the telling."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from engine.cli.explain import words
from engine.domain.effects import KeepStart, SetTimer
from engine.domain.events import CashMoved, OrderFilled
from engine.domain.settings import SettingsDocument
from engine.lab.explain.accounts import JournalAccounts
from engine.lab.explain.plans import PlanVerification, PlanVerifier, touches
from engine.lab.simulate import simulated_account
from engine.lab.simulate.faults import Fault
from engine.lab.simulate.simulated_account import SimulatedAccount
from engine.lab.simulate.world import World
from engine.runtime.decisions import DecisionLog
from storage.journal import Record
from storage.settings import latest
from storage.users import ENGINE_ID
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
    for account in world.accounts:
        account.snapshot_every = snapshot_every
        logs.append(DecisionLog(log_of(account, folder), engine_id="lived", waits_when_full=True))
        account.decide = logs[-1].append
    outcome = world.run(minutes)
    for log in logs:
        log.close()
    assert outcome.verdicts == ()
    assert outcome.counts["starts"] > accounts or minutes < 1
    return world.accounts


def simulated(seed: int, folder: Path, snapshot_every: int = 200) -> SimulatedAccount:
    (account,) = world_of(seed, folder, accounts=1, minutes=1.5, snapshot_every=snapshot_every)
    assert account.starts > 2
    return account


def log_of(account: SimulatedAccount, folder: Path) -> Path:
    return folder / f"{account.id}.db"


def verified(
    account: SimulatedAccount, folder: Path, records: list[Record], *, added_ns: int = 0
) -> PlanVerification:
    """Tell a journal again; `added_ns` is when the version with its account was in force."""
    bots = latest(account.disk.state, ENGINE_ID).document.bots
    document = SettingsDocument(accounts={account.id: account.settings}, bots=bots)
    history = [(0, SettingsDocument()), (added_ns, document)] if added_ns else [(0, document)]
    accounts = JournalAccounts(history, lambda after_seq: records[after_seq:], {})
    log = log_of(account, folder)
    return PlanVerifier(accounts, every_plan(log), log).run(records)


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


LONG = [pytest.param(seed, marks=pytest.mark.soak) for seed in (9, 12)]


@pytest.mark.long
@pytest.mark.parametrize("seed", [3, 24, *LONG])
def test_plans_of_lives_that_crashed_are_proven_from_start_to_end(
    seed: int, tmp_path: Path
) -> None:
    for account in world_of(seed, tmp_path, accounts=2, minutes=1.0):
        found = verified(account, tmp_path, account.disk.rows)

        assert (found.different, found.broken, found.starts_unkept) == ([], [], 0)
        assert (found.untold, found.beyond, found.unreached) == (0, 0, 0)
        assert found.same + found.cut == found.plans > 100
        assert found.cut <= 3 * account.starts  # a power cut takes at most the turn it came into


@pytest.fixture(scope="module")
def simulated_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[SimulatedAccount, Path]:
    """An account that died and came back, and where its decisions are; to be read alone."""
    folder = tmp_path_factory.mktemp("lived")
    return simulated(9, folder), folder


@pytest.mark.long
def test_an_account_added_while_the_engine_runs_is_open_at_its_first_record(
    simulated_run: tuple[SimulatedAccount, Path],
) -> None:
    """Its engine journals its cash, and says afterwards that the version is applied."""
    account, folder = simulated_run
    rows = account.disk.rows
    cash = next(number for number, one in enumerate(rows) if one.kind == CashMoved.__name__)

    found = verified(account, folder, rows, added_ns=rows[cash].at_ns + 1)

    assert (found.different, found.broken) == ([], [])
    assert found.same > 0


def test_a_journal_with_a_fill_left_out_is_no_proof_of_the_plans_behind_it(
    simulated_run: tuple[SimulatedAccount, Path],
) -> None:
    account, folder = simulated_run
    rows = account.disk.rows
    fill = next(one for one in rows if one.kind == OrderFilled.__name__)

    found = verified(account, folder, without(rows, fill))

    assert found.different or found.broken
    assert found.beyond > 0


def test_starts_that_an_older_version_did_not_keep_are_told_and_raise_no_alarm(
    simulated_run: tuple[SimulatedAccount, Path],
) -> None:
    account, folder = simulated_run
    rows = account.disk.rows

    found = verified(account, folder, without_starts(rows, len(rows)))

    assert (found.different, found.broken) == ([], [])
    assert found.same > 0
    assert found.beyond > 0
    assert found.starts_unkept > 0
    assert "an older version did not store them" in words(found)


@pytest.mark.long
def test_after_older_lives_plans_are_proven_again_from_the_first_start_that_was_kept(
    tmp_path: Path,
) -> None:
    account = simulated(9, tmp_path, snapshot_every=50_000)
    rows = account.disk.rows
    fences = {msgspec.msgpack.decode(r.body)["fence"]: r for r in reversed(rows) if r.kind == START}
    last = fences[account.starts]
    later = sum(plan.at_ns > last.at_ns for plan, _ in every_plan(log_of(account, tmp_path)))

    found = verified(account, tmp_path, without_starts(rows, last.seq))

    assert (found.different, found.broken) == ([], [])
    assert found.starts_unkept > 0
    assert found.same >= later - found.idle > 0


@pytest.mark.long
@pytest.mark.parametrize(
    ("seed", "minutes"), [(6, 0.4), pytest.param(9, 1.5, marks=pytest.mark.soak)]
)
def test_plans_of_several_owners_in_one_market_are_proven(
    seed: int, minutes: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simulated_account, "SHARED", 1.0)
    monkeypatch.setattr(simulated_account, "GIVES", 0.03)
    (account,) = world_of(seed, tmp_path, accounts=1, minutes=minutes)

    found = verified(account, tmp_path, account.disk.rows)

    assert (found.different, found.broken) == ([], [])
    assert (found.untold, found.beyond, found.unreached) == (0, 0, 0)
    assert found.same + found.cut == found.plans > 100
    plans = list(every_plan(log_of(account, tmp_path)))
    assert any(plan.ahead is not msgspec.UNSET and touches(plan) for plan, _ in plans)
    alone = [body for plan, body in plans if plan.ahead is msgspec.UNSET]
    assert alone
    assert not any(b"ahead" in body for body in alone)  # a single owner's record keeps its size
