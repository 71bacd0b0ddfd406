"""Accounts of the simulation: small enough that every limit is met now and then."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from engine.bots.bot import Bot
from engine.domain.bots import BotState
from engine.domain.instruments import AccountId, BotId, InstrumentId, Mode
from engine.domain.intents import Intent
from engine.domain.settings import AccountSettings, Limit, RiskLimits
from engine.lab.simulate.random_strategy import Restless
from engine.lab.simulate.venue_side import CURRENCY
from engine.strategies.door import Context, Evaluation
from engine.strategies.market_maker.parameters import MarketMakerParameters
from engine.strategies.market_maker.strategy import MarketMaker

# -- The market maker that trades, as a bot of the simulated world: judges hear its wishes, too ----


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


# -- Accounts of the simulation: small enough that every limit is met now and then -----------------

CAPITAL_MICRO = 90_000_000
"""Less than a bot may lose by the account's limits, so that it is what binds."""
SERIES = "btc-updown-5m"
MAKERS = 0.5
"""Share of market makers among the bots of a world that has them."""


def account_of(name: str, random: Random) -> AccountSettings:
    """Return an account with limits that are met now and then."""
    limits = RiskLimits(
        order_value_max=Limit(absolute=random.choice((15.0, 40.0))),
        exposure_instrument_max=Limit(absolute=random.choice((30.0, 120.0))),
        # Of every second account it is less than a bot's capital, so that it is what binds.
        exposure_market_max=Limit(absolute=60.0 if name.endswith("0") else 150.0),
        exposure_bot_max=Limit(absolute=250.0),
        exposure_account_max=Limit(absolute=random.choice((100.0, 380.0))),
        exposure_total_max=Limit(absolute=1_000.0),
        open_orders_max=random.choice((6, 30)),
        daily_loss_max=Limit(absolute=random.choice((4.0, 400.0, 400.0))),
        drawdown_max=Limit(absolute=random.choice((6.0, 400.0, 400.0))),
        kill_drawdown_max=Limit(absolute=400.0),
        data_age_ms_max=random.choice((3_000, 10_000)),
    )
    return AccountSettings(
        name=name,
        venue="demo",
        mode=Mode.DEMO,
        currency=CURRENCY,
        starting_cash=random.choice((70.0, 400.0, 400.0)),
        limits=limits,
    )


def bots_of(
    account: AccountId,
    groups: Sequence[str | list[InstrumentId]],
    random: Random,
    said: Callable[[Intent], None],
    state: BotState,
    *,
    makers: bool,
) -> list[Bot]:
    """Return a bot for each group: a series by its name, or a list of instruments.

    They are restless; where there are `makers`, every second one is the market maker that trades.
    """
    made = [
        Bot(
            name=BotId(f"bot-{number}"),
            account=account,
            strategy=(
                maker_of(random, BotId(f"bot-{number}"), said)
                if makers and random.random() < MAKERS
                else Restless(random, said)
            ),
            capital_micro=CAPITAL_MICRO,
            instruments=frozenset() if isinstance(group, str) else frozenset(group),
            series=frozenset({group}) if isinstance(group, str) else frozenset(),
            instruments_max=3,
        )
        for number, group in enumerate(groups)
    ]
    for bot in made:
        bot.state = state
    return made
