"""A bot that is let go on states its intents anew, whatever it believes of the old ones."""

from collections.abc import Callable
from typing import Any

import pytest

from engine.bots.core import AccountCore
from engine.caches.markets import MarketCache
from engine.domain.bots import BotState

Make = Callable[..., Any]


@pytest.fixture
def desk(make_stage: Make, make_bot: Make, make_script: Make, intent: Make) -> Any:
    """A stage whose one bot says an intent once, as a sticky strategy does, until it is unwell."""
    script = make_script()
    script.stands = False

    def say(context: Any, _now_ns: int) -> tuple[Any, ...]:
        said, script.stands = script.stands, context.healthy
        if not context.healthy:
            return (intent(context),)
        return () if said else (intent(context, bid=4_800),)

    script.say = say
    stage = make_stage()
    stage.core = AccountCore(
        cache=MarketCache(), executor=stage.executor, bots=(), decide=lambda _: None
    )
    stage.core.begin(stage.now)
    stage.maker = make_bot(strategy=script)
    stage.script = script
    stage.core.add(stage.maker, stage.now)
    stage.maker.state = BotState.RUNNING
    stage.list()
    stage.at(stage.now + 2_000_000_000)
    return stage


def test_paused_and_resumed_bot_quotes_at_once(desk: Any) -> None:
    desk.accept(*desk.placed)
    desk.core.withdraw(desk.maker, desk.now)
    desk.turn()
    assert desk.executor.intent(desk.placed[0].instrument, desk.maker.name) is None
    desk.core.reevaluate(desk.maker, desk.now)
    assert [context.healthy for _, _, context in desk.script.asked[-1:]] == [False]
    desk.at(desk.now + 100_000_000)
    assert desk.script.asked[-1][2].healthy
    assert desk.executor.intent(desk.placed[0].instrument, desk.maker.name).bids


def test_strategy_that_raises_when_roused_stops_alone(desk: Any) -> None:
    desk.script.raises["evaluate"] = ValueError("no")
    desk.core.reevaluate(desk.maker, desk.now)
    assert desk.maker.state is BotState.ERROR
