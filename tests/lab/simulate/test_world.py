from __future__ import annotations

import threading
from random import Random

import pytest

from engine.domain.events import CashKind, CashMoved
from engine.domain.instruments import AccountId
from engine.domain.orders import OrderType
from engine.lab.simulate.beside import ABROAD_AT, draws_perpetual
from engine.lab.simulate.disk import Disk
from engine.lab.simulate.faults import Fault
from engine.lab.simulate.put_back import EVERY_NS, Homes
from engine.lab.simulate.world import World, simulate
from tests.lab.simulate.test_seeds import FAILED


@pytest.mark.long
@pytest.mark.parametrize("seed", [1])
def test_a_world_without_faults_is_judged_sound(seed: int) -> None:
    outcome = simulate(seed, 1.0, faults=(), accounts=1)

    assert outcome.verdicts == ()
    assert outcome.counts["orders"] > 50
    assert outcome.counts["fills"] > 0


@pytest.mark.long
def test_no_thread_outlives_a_world_however_often_its_engines_die() -> None:
    before = set(threading.enumerate())
    assert simulate(7, 0.3, faults=(Fault.CRASH,), accounts=1).counts["starts"] > 1
    assert set(threading.enumerate()) <= before


def test_the_same_seed_gives_the_same_run_byte_for_byte() -> None:
    assert simulate(3, 0.5, accounts=1) == simulate(3, 0.5, accounts=1)


@pytest.mark.long
@pytest.mark.parametrize("seed", [1, 8])
def test_judges_are_silent_where_quotes_expire_by_themselves(seed: int) -> None:
    world = World(seed, accounts=1)
    (account,) = world.accounts
    account.settings = account.settings.model_copy(update={"quote_life_s": 240})
    outcome = world.run(6.0)
    assert outcome.verdicts == ()
    orders = account.seen.facts.orders.values()
    expiring = [order for order in orders if order.type is OrderType.GTD]
    assert expiring
    lifetimes = {(order.expires_ns or 0) - order.created_ns for order in expiring}
    assert lifetimes == {240_000_000_000}


@pytest.mark.long
def test_a_world_with_a_pair_trades_it_and_no_judge_speaks() -> None:
    outcome = simulate(3, 0.3, faults=(), accounts=1, spot=True)
    assert outcome.verdicts == ()
    assert outcome.counts["pair_fills"] > 1


def test_no_home_of_before_its_first_cash_is_put_back() -> None:
    disk = Disk(Random(1))
    homes = Homes(disk, Random(1), on=True)
    cash = CashMoved(
        account=AccountId("a"), currency="USD", amount_micro=1, kind=CashKind.DEPOSIT
    )  # fmt: skip
    for durable, copies in ((0, 0), (1, 1)):
        disk.accept([("a", cash, 0)])
        disk.durable = durable  # what a cut of the power would leave
        homes.look((durable + 1) * EVERY_NS, cash=True)
        assert len(homes.copies) == copies


@pytest.mark.long
def test_a_pair_in_another_currency_is_traded_by_no_account() -> None:
    world = World(ABROAD_AT, faults=(), accounts=1, spot=True)
    outcome = world.run(0.3)
    assert outcome.verdicts == ()
    assert "pair_fills" not in outcome.counts
    (account,) = world.accounts
    answers = account.disk.state.execute("SELECT answer FROM commands WHERE state = 'refused'")
    assert any("is quoted in EUR" in answer for (answer,) in answers)


@pytest.mark.long
def test_a_world_with_a_perpetual_trades_it_through_zero_and_a_stamp() -> None:
    outcome = simulate(1, 0.5, faults=(), accounts=1, perp=True)
    assert outcome.verdicts == ()
    assert outcome.counts["perpetual_flips"] > 1
    assert outcome.counts["fundings"] == 1


def test_a_tenth_of_the_gathering_seeds_has_a_perpetual_and_no_kept_one_does() -> None:
    drawn = [seed for seed in range(100) if draws_perpetual(seed)]
    assert len(drawn) == 10
    kept = [row.split() for row in FAILED.read_text("utf-8").splitlines() if row[0] != "#"]
    assert not [row[0] for row in kept if row[2] == "gathers" and draws_perpetual(int(row[0]))]
    assert World(drawn[0], accounts=1, gathers=True).exchange.clearing.margin.perpetuals
    for plain in (World(drawn[0], accounts=1), World(drawn[0] + 1, accounts=1, gathers=True)):
        assert not plain.exchange.clearing.margin.perpetuals


@pytest.mark.long
@pytest.mark.parametrize("crowd", [4, pytest.param(49, marks=pytest.mark.soak)])
def test_many_accounts_of_one_engine_take_turns_and_are_proven_together(crowd: int) -> None:
    outcome = simulate(1, 0.2, faults=(), accounts=1, crowd=crowd)
    assert outcome.verdicts == ()
