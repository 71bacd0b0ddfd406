"""An intent that touches no order leaves a record of why, once, and again for a new reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from engine.bots.core import AccountCore
from engine.caches.markets import MarketCache
from engine.domain.bots import BotState
from engine.domain.decisions import Decision, Planned
from engine.domain.intents import ResidualReason
from engine.domain.settings import Limit, RiskLimits

Make = Callable[..., Any]


@pytest.fixture
def received() -> list[Decision | Planned]:
    return []


@pytest.fixture
def stage(
    make_stage: Make, make_bot: Make, make_script: Make, intent: Make, received: list[Any]
) -> Any:
    script = make_script()
    script.say = lambda context, _: (intent(context, bid=4_800),)
    made = make_stage()
    made.core = AccountCore(
        cache=MarketCache(),
        executor=made.executor,
        bots=(),
        decide=received.append,
        explain=received.append,
    )
    made.core.begin(made.now)
    bot = make_bot(strategy=script)
    made.core.add(bot, made.now)
    bot.state = BotState.RUNNING
    return made


def idle(received: list[Any]) -> list[Planned]:
    return [one for one in received if isinstance(one, Planned) and not one.places]


def test_a_denied_intent_is_told_once_with_its_reason(stage: Any, received: list[Any]) -> None:
    stage.executor.apply(RiskLimits(exposure_market_max=Limit(absolute=0.0)))
    stage.list()
    for seconds in range(2, 6):
        stage.at(stage.now + seconds * 1_000_000_000)
    assert sum(isinstance(one, Decision) for one in received) > 2
    denied = [one for one in idle(received) if one.denied]
    assert len(denied) == 1
    assert {one.reason for one in denied[0].left} == {ResidualReason.RISK}
    assert denied[0].decision in {one.number for one in received if isinstance(one, Decision)}
    assert not denied[0].cancels


def test_a_intent_that_became_an_order_is_told_by_its_plan_alone(
    stage: Any, received: list[Any]
) -> None:
    stage.list()
    stage.at(stage.now + 2_000_000_000)
    assert stage.placed
    placed = next(one for one in received if isinstance(one, Planned) and one.places)
    assert [one for one in idle(received) if one.at_ns == placed.at_ns] == []
