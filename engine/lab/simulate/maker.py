"""The market maker that trades, as a bot of the simulated world: judges hear its wishes, too."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from engine.domain.instruments import BotId
from engine.domain.intents import Intent
from engine.strategies.door import Context, Evaluation
from engine.strategies.market_maker.parameters import MarketMakerParameters
from engine.strategies.market_maker.strategy import MarketMaker


class HeardMaker(MarketMaker):
    """A market maker whose wishes are heard before the executor hears them."""

    def __init__(
        self, parameters: MarketMakerParameters, bot: BotId, said: Callable[[Intent], None]
    ) -> None:
        super().__init__(parameters, bot)
        self._said = said

    def evaluate(self, context: Context, now_ns: int) -> Evaluation:
        """Wish as the market maker does."""
        evaluation = super().evaluate(context, now_ns)
        for intent in evaluation.intents:
            self._said(intent)
        return evaluation


def maker_of(random: Random, bot: BotId, said: Callable[[Intent], None]) -> HeardMaker:
    """Return a market maker that begins to quote within seconds, eager enough to be filled."""
    parameters = {
        "fair": "microprice",
        "sigma_warm_s": 0.5,
        "stop_before_close_s": 0.0,
        "price_min": 0.01,
        "price_max": 0.99,
        "event_jump_ticks": 0.0,
        "size_shares": random.choice((5.0, 10.0, 40.0)),
    }
    return HeardMaker(MarketMakerParameters.model_validate(parameters), bot, said)
