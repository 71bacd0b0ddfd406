"""What the executor made of an intent, as told: orders with their decision, the diff, the rules."""

from collections.abc import Callable
from typing import Any

import pytest

from engine.bots.core import AccountCore
from engine.bots.explain import planned
from engine.bots.slices import STARTS_SHIFT
from engine.caches.markets import MarketCache
from engine.domain.decisions import Decision, Planned, Unit, Verdict
from engine.domain.instruments import InstrumentId
from engine.domain.intents import ResidualReason
from engine.domain.settings import Limit, RiskLimits
from engine.risk.reasons import DenyReason

ONE = InstrumentId("venue:one")
SHARE = 1_000_000
R = DenyReason
Make = Callable[..., Any]


@pytest.fixture
def stage(make_stage: Make, make_bot: Make, make_script: Make, intent: Make) -> Any:
    script = make_script()
    script.say = lambda context, _: (intent(context, bid=4_800, ask=5_200),)
    return make_stage(make_bot(strategy=script))


def plans(stage: Any, effects: list[Any]) -> Planned:
    (found,) = planned(stage.executor, effects, stage.now)
    return found


def shown(stage: Any) -> list[Any]:
    """Show the instrument; return what the desk asked for once it had proof of the book."""
    before = len(stage.effects)
    stage.list()
    stage.at(stage.now + 100_000_000)
    return list(stage.effects[before:])


def verdicts(plan_made: Planned) -> dict[str, str]:
    return {rule.name: rule.verdict for rule in plan_made.rules}


def test_every_order_carries_the_number_of_the_decision_behind_its_intent(stage: Any) -> None:
    shown(stage)
    assert stage.placed
    numbers = {decision.number for decision in stage.decisions}
    assert {order.decision for order in stage.placed} <= numbers


def test_a_plan_is_told_as_places_with_every_rule_and_its_value(stage: Any) -> None:
    plan_made = plans(stage, shown(stage))
    assert [(one.price, one.size) for one in plan_made.places] == [
        (4_800, 10 * SHARE),
        (4_800, 10 * SHARE),
    ]
    assert plan_made.decision == stage.placed[0].decision
    assert (plan_made.bot, plan_made.instrument, plan_made.at_ns) == ("maker", ONE, stage.now)
    assert set(verdicts(plan_made).values()) == {Verdict.PASSED}
    assert [rule.name for rule in plan_made.rules] == list(DenyReason)
    worst = next(rule for rule in plan_made.rules if rule.name == R.EXPOSURE_INSTRUMENT)
    assert (worst.value, worst.limit, worst.unit) == (4_800_000, 100_000_000, Unit.MICRO)


def test_what_is_replaced_and_what_stays_stand_in_the_next_plan(
    stage: Any, intent: Make, make_script: Make
) -> None:
    shown(stage)
    first = list(stage.placed)
    stage.accept(*first)
    script = stage.core.bots[0].strategy
    script.say = lambda context, _: (intent(context, bid=4_600, ask=5_200),)
    stage.change(4_700, after_ms=500)
    effects = stage.effects[-2:]
    plan_made = plans(stage, [effect for effect in effects if hasattr(effect, "orders")])
    assert plan_made.cancels == (first[0].id,)
    assert [one.order for one in plan_made.rests] == [first[1].id]


def test_a_denial_names_the_rule_and_those_that_were_not_asked(stage: Any) -> None:
    stage.executor.apply(RiskLimits(exposure_market_max=Limit(absolute=0.0)))
    effects = shown(stage)
    assert not stage.placed
    left, denied = stage.executor.explain(ONE, stage.core.bots[0].name)
    assert denied is not None
    assert {one.reason for one in left} == {ResidualReason.RISK}
    assert planned(stage.executor, effects, stage.now) == []


def test_the_rule_that_left_room_for_less_is_said_to_have_shrunk_it(stage: Any) -> None:
    stage.executor.apply(RiskLimits(exposure_instrument_max=Limit(absolute=3.0)))
    plan_made = plans(stage, shown(stage))
    assert verdicts(plan_made)[R.EXPOSURE_INSTRUMENT] == Verdict.SHRANK
    assert all(one.size < 10 * SHARE for one in plan_made.places)
    assert {one.reason for one in plan_made.left} == {ResidualReason.RISK}


def test_one_side_denied_tells_both_the_order_and_the_denial(stage: Any) -> None:
    stage.executor.apply(RiskLimits(open_orders_max=1))
    plan_made = plans(stage, shown(stage))
    assert len(plan_made.places) == 1
    assert verdicts(plan_made)[R.OPEN_ORDERS] == Verdict.DENIED
    assert verdicts(plan_made)[R.EXPOSURE_TOTAL] == Verdict.NOT_ASKED
    assert dict(plan_made.denied)["open_orders_max"] == 1


def test_a_roster_desk_numbers_from_its_start_and_tells_its_plans(stage: Any) -> None:
    received: list[Decision | Planned] = []
    desk = AccountCore(
        cache=MarketCache(),
        executor=stage.executor,
        bots=(),
        decide=received.append,
        explain=received.append,
    )
    desk.begin(stage.now)
    assert desk._decisions == stage.executor.fence << STARTS_SHIFT
    assert desk.turn(stage.now) == []
    assert received == []
