"""Which plans of a moment are one turn."""

from __future__ import annotations

import msgspec

from engine.domain.decisions import Planned, Resting, Rule, Unit, Verdict
from engine.domain.effects import CancelOrders
from engine.domain.instruments import AccountId, BotId, InstrumentId, Leg, Side
from engine.domain.orders import OrderId
from engine.lab.explain.plans import LogPlan, first_turn

FIRST, SECOND = OrderId(7), OrderId(8)
PLACED = {(FIRST, 5), (SECOND, 5)}
EFFECTS = (CancelOrders(account=AccountId("one"), orders=(OrderId(1),)),)


def plan(name: str, order: OrderId, *, live: int) -> LogPlan:
    rule = Rule("open_orders", Verdict.PASSED, live, 30, Unit.COUNT)
    made = Planned(
        decision=1,
        account=AccountId("one"),
        bot=BotId("bot"),
        instrument=InstrumentId(name),
        at_ns=5,
        places=(Resting(order, Leg.YES, Side.BUY, 5_000, 10),),
        cancels=(OrderId(1),) if order == FIRST else (),
        rests=(),
        left=(),
        rules=(rule,),
    )
    return made, b""


def test_a_plan_whose_orders_died_with_the_engine_belongs_to_the_turn_it_died_in() -> None:
    both = [plan("m1", FIRST, live=2), plan("m2", SECOND, live=2)]
    # The number was used again by the next life, at another time.
    assert first_turn(both, EFFECTS, {(FIRST, 5), (SECOND, 6)}) == both


def test_a_plan_with_effects_elsewhere_or_another_count_belongs_to_another_turn() -> None:
    elsewhere = [plan("m1", FIRST, live=2), plan("m2", SECOND, live=2)]
    assert first_turn(elsewhere, EFFECTS, PLACED) == elsewhere[:1]
    counted = [plan("m1", FIRST, live=2), plan("m2", SECOND, live=3)]
    assert first_turn(counted, EFFECTS, {(FIRST, 5)}) == counted[:1]


def test_plans_say_which_turn_of_a_moment_they_are_of() -> None:
    first, (second, body) = plan("m1", FIRST, live=2), plan("m2", SECOND, live=2)
    both = [first, (msgspec.structs.replace(second, turn=1), body)]
    assert first_turn(both, (*EFFECTS, *EFFECTS), {(FIRST, 5)}) == both[:1]
