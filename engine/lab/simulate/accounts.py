"""Accounts of the simulation: small enough that every limit is met now and then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import ClassVar

from engine.domain.catalog import GateWords, ValueWords
from engine.domain.commands import MANUAL, PlaceManual
from engine.domain.decisions import Decision
from engine.domain.events import Event, OrderFilled
from engine.domain.instruments import BotId, Instrument, InstrumentId, Mode, Side
from engine.domain.intents import Basket, Intent, Quote, Quotes, Target, Urgency
from engine.domain.money import MICRO
from engine.domain.settings import AccountSettings, BotSettings, Limit, RiskLimits
from engine.lab.simulate.engine_run import EngineRun
from engine.lab.simulate.venue_side import CURRENCY
from engine.strategies.door import Context, Evaluation, Parameters
from engine.strategies.market_maker.parameters import EAGER
from engine.strategies.market_maker.strategy import MarketMaker
from engine.strategies.registry import ELSEWHERE

# -- Accounts of the simulation: small enough that every limit is met now and then -----------------

CAPITAL_MICRO = 90_000_000
"""Less than a bot may lose by the account's limits, so that it is what binds."""
SHARE_OF_CASH = 0.8
"""Of an account's cash, at most, for all of its bots: together they must fit."""
SERIES = "btc-updown-5m"
MAKERS = 0.5
"""Share of market makers among the bots of a world that has them."""


CASH = (70.0, 400.0, 400.0)
MARGINED_CASH = (40.0, 70.0, 400.0)
"""What accounts of worlds with a perpetual begin with: little enough to be liquidated."""

BOLD = 0.5
"""Share of those that may hold far more than their cash: its last tiers are reached."""

BUFFERS = (0, 500, 4_000, 8_000)
"""How far their marks must stay from liquidation, in basis points."""

SWINGS = 0.25
"""Share of the evaluations of a perpetual that want a position, long or short, and no quotes."""


def account_of(name: str, random: Random, *, margined: bool = False) -> AccountSettings:
    """Return an account with limits that are met now and then."""
    limits = _limits_of(name, random)
    if margined and random.random() < BOLD:
        wide = Limit(absolute=380.0)
        most = {"exposure_instrument_max": wide, "exposure_market_max": wide}
        limits = limits.model_copy(update=most | {"exposure_account_max": wide})
    if margined:
        limits = limits.model_copy(update={"liquidation_buffer_min": random.choice(BUFFERS)})
    return AccountSettings(
        name=name,
        venue="demo",
        mode=Mode.DEMO,
        currency=CURRENCY,
        starting_cash=random.choice(MARGINED_CASH if margined else CASH),
        merge_above=1.0 if name.endswith("1") else None,
        limits=limits,
    )


def _limits_of(name: str, random: Random) -> RiskLimits:
    return RiskLimits(
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


def bots_of(
    account: AccountSettings,
    groups: Sequence[str | list[InstrumentId]],
    random: Random,
    *,
    makers: bool,
    pairs: Sequence[InstrumentId] = (),
) -> dict[str, BotSettings]:
    """Return a bot for each group: a series by its name, or a list of instruments.

    They are restless; where there are `makers`, every second one is the market maker that trades,
    but not on `pairs`: its prices end at certainty.
    """
    made = {}
    share = SHARE_OF_CASH / max(2, len(groups))
    for number, group in enumerate(groups):
        maker = makers and random.random() < MAKERS and not set(group) & set(pairs)
        name = f"bot-{number}"
        made[name] = BotSettings(
            name=name,
            account=account.name,
            capital=min(CAPITAL_MICRO / MICRO, share * account.starting_cash),
            series=(group,) if isinstance(group, str) else (),
            instruments=() if isinstance(group, str) else tuple(group),
            instruments_max=3,
            strategy=MarketMaker.name if maker else Restless.name,
            parameters=_eager(random) if maker else {"seed": random.getrandbits(32)},
        )
    return made


def _eager(random: Random) -> dict[str, object]:
    """Return what lets a market maker quote within seconds, eager enough to be filled."""
    return {
        **EAGER,
        "fair": "microprice",
        "sigma_warm_s": 0.5,
        "stop_before_close_s": 0.0,
        "price_min": 0.01,
        "price_max": 0.99,
        "event_jump_ticks": 0.0,
        "size_shares": random.choice((5.0, 10.0, 40.0)),
    }


MS = 1_000_000
S = 1_000 * MS
SHARE = 1_000_000
PAIR_STEP_TICKS = 25
"""What is a tick to the restless at a pair, whose ticks are fine."""


def unit_of(instrument: Instrument) -> int:
    """Return the size that orders are multiples of: a share, or a lot of a pair."""
    return SHARE if instrument.product.second else instrument.lot


def step_of(instrument: Instrument) -> int:
    """Return how far prices of the restless lie apart: a tick, or many of a pair's fine ones."""
    return instrument.tick * (1 if instrument.product.second else PAIR_STEP_TICKS)


class RestlessParameters(Parameters):
    """What a restless bot begins with."""

    seed: int


class Restless:
    """Wants at random: each life of it goes on where its learning was kept last."""

    name: ClassVar[str] = "restless"
    parameters_type: ClassVar[type[Parameters]] = RestlessParameters
    gates: ClassVar[Mapping[str, GateWords]] = {}
    values: ClassVar[Mapping[str, ValueWords]] = {}

    def __init__(self, parameters: RestlessParameters, bot: BotId) -> None:
        del bot
        self._random = random = Random(parameters.seed)  # noqa: S311 - a simulation, not a secret
        self.replan_ns_min = random.choice((200 * MS, 500 * MS))
        self.timer_ns = random.choice((1 * S, 3 * S))
        self.mid2_moved_min = random.choice((0, 100))
        self.touch_alone = False
        self.references: tuple[str, ...] = ()
        self._seed = parameters.seed
        self._evaluations = 0
        self._mids: dict[InstrumentId, tuple[Instrument, int]] = {}
        self._moods = random.choices(
            (self._quotes, self._nothing, self._target, self._basket), (80, 6, 10, 4), k=40
        )

    def receive(self, event: Event, now_ns: int) -> bool:
        """Want to be evaluated now and then."""
        del event, now_ns
        return self._random.random() < 0.3

    def filled(self, instrument: InstrumentId, event: OrderFilled, now_ns: int) -> None:
        """Learn nothing."""

    def evaluate(self, context: Context, now_ns: int) -> Evaluation:
        """Want something."""
        intents: tuple[Intent, ...] = ()
        view = context.view
        if view.mid2 is not None and not view.closed:
            self._mids[view.instrument.id] = view.instrument, view.mid2
            mood = self._random.choice(self._moods)
            if view.instrument.product.signed and self._random.random() < SWINGS:
                mood = self._target
            intents = mood(context, view.mid2 // 2, now_ns)
        self._evaluations += 1
        decision = Decision(
            number=context.decision,
            bot=context.bot,
            instrument=view.instrument.id,
            at_ns=now_ns,
            regime="restless",
            inputs=(),
            build_up=(),
            gates=(),
            outcome="quote" if intents else "hold",
            intent=intents[0] if intents else None,
        )
        return Evaluation(decision=decision, intents=intents)

    def forget(self, instrument: InstrumentId) -> None:
        """Drop what is over."""
        self._mids.pop(instrument, None)

    def state(self) -> bytes:
        """Return how often it was asked."""
        return b"%d" % self._evaluations

    def restore(self, state: bytes) -> None:
        """Go on from there, in other moods."""
        self._evaluations = int(state)
        self._random.seed(self._seed + self._evaluations)

    # -- intents -----------------------------------------------------------------------------------

    def _side(self, mid: int, instrument: Instrument, *, up: int) -> tuple[Quote, ...]:
        random, unit, step = self._random, unit_of(instrument), step_of(instrument)
        quotes: dict[int, int] = {}
        for _ in range(random.choice((0, 1, 1, 2, 3))):
            price = mid + up * step * random.randint(0, 6)
            if instrument.tick <= price <= instrument.product.top:
                quotes[price] = random.randint(400, 4_000) * unit // 100
        return tuple(sorted(quotes.items(), reverse=up < 0))

    def _quotes(self, context: Context, mid: int, now_ns: int) -> tuple[Intent, ...]:
        instrument = context.view.instrument
        return (
            Quotes(
                bot=context.bot,
                instrument=instrument.id,
                bids=self._side(mid, instrument, up=-1),
                asks=self._side(mid, instrument, up=1),
                valid_until_ns=now_ns + self._random.choice((3, 10, 60)) * S,
                decision=context.decision,
            ),
        )

    def _nothing(self, context: Context, mid: int, now_ns: int) -> tuple[Intent, ...]:
        del mid
        instrument = context.view.instrument.id
        return (Quotes(bot=context.bot, instrument=instrument, valid_until_ns=now_ns + 10 * S),)

    def _target(self, context: Context, mid: int, now_ns: int) -> tuple[Intent, ...]:
        return (self._to(context, context.view.instrument, mid, now_ns),)

    def _to(self, context: Context, instrument: Instrument, mid: int, now_ns: int) -> Target:
        random = self._random
        position = random.choice((-30, -12, 0, 0, 12, 30)) * unit_of(instrument)
        buying = position > context.inventory.position
        limit = mid + (1 if buying else -1) * random.randint(-1, 4) * step_of(instrument)
        return Target(
            bot=context.bot,
            instrument=instrument.id,
            position=position,
            limit_price=max(0, min(instrument.product.end, limit)),
            urgency=random.choice((Urgency.REST, Urgency.CROSS, Urgency.CROSS, Urgency.NOW)),
            valid_until_ns=now_ns + 5 * S,
            decision=context.decision,
        )

    def _basket(self, context: Context, mid: int, now_ns: int) -> tuple[Intent, ...]:
        own = context.view.instrument
        others = [(one, mid2) for one, mid2 in self._mids.values() if one.id != own.id]
        if not others:
            return self._target(context, mid, now_ns)
        chosen = [(own, mid), (others[0][0], others[0][1] // 2)]
        targets = tuple(self._to(context, one, price, now_ns) for one, price in chosen)
        return (Basket(bot=context.bot, targets=targets, valid_until_ns=now_ns + 5 * S),)


ELSEWHERE[Restless.name] = Restless


# -- The person at an account, who places orders by hand beside its bots ---------------------------

HAND = 0.15
"""How often, per second, he places one."""

HAND_MARGINED = 0.4
"""How often where there is a perpetual."""

BETS = 0.7
"""Share of his orders that are of the perpetual, where there is one."""

TURNS = 0.15
"""With what share of these he thinks again about the side."""


class HandOrders:
    """One person's. On a perpetual he bets on one side for a while, so that his position grows."""

    def __init__(self, random: Random, *, margined: bool) -> None:
        self._random = random
        self._often = HAND_MARGINED if margined else HAND
        self._bets = Side.SELL

    @property
    def due(self) -> bool:
        """Draw whether he places one in this second."""
        return self._random.random() < self._often

    def draw(self, run: EngineRun) -> PlaceManual | None:
        """Return one, mostly for himself, now and then for a bot, who may refuse it."""
        assert run.engine is not None
        random = self._random
        views = [one for one in run.runner.core.cache.views.values() if one.mid2 and not one.closed]
        if not views:
            return None
        signed = [one for one in views if one.instrument.product.signed]
        view = random.choice(signed if signed and random.random() < BETS else views)
        terms = view.instrument
        leg = random.choice(terms.product.legs)
        owner = MANUAL
        if random.random() < 0.1:
            owner = BotId(random.choice(list(run.engine.bot_runners)))
        held = run.executor.ledger.owned(terms.id, owner).leg(leg).settled
        side = self._side(terms, held)
        assert view.mid2 is not None
        level = view.mid2 // 2 // terms.tick * terms.tick + random.randint(-4, 4) * step_of(terms)
        price = terms.product.level(leg, level)
        return PlaceManual(
            account=run.account,
            instrument=terms.id,
            leg=leg,
            side=side,
            owner=owner,
            price=max(terms.tick, price),
            size=random.randint(5, 40) * unit_of(terms),
            urgency=random.choice((Urgency.REST, Urgency.REST, Urgency.CROSS, Urgency.NOW)),
        )

    def _side(self, terms: Instrument, held: int) -> Side:
        sides = (Side.BUY, Side.SELL)
        if not terms.product.signed:
            return self._random.choice(sides) if held > 0 else Side.BUY
        if self._random.random() < TURNS:
            self._bets = self._random.choice(sides)
        return self._bets
