"""Reward maker: rests a bid and an ask for a market's liquidity rewards, while these pay for fills.

Idea: a venue pays those whose orders rest near the middle. Resting loses where somebody who knows
more takes the order (Glosten and Milgrom, 1985, "Bid, ask and transaction prices in a specialist
market with heterogeneously informed traders"), and the reward must be more than that. What a day of
rewards would bring is the venue's own formula (Polymarket, "Liquidity rewards", equations 1-7) for
this book and this market's terms: pool, band and least size. What it would cost is measured here:
how many shares a day trade at such prices, how many of them a quote of this size would get in
proportion to what stands there, and how far the middle went against such a fill some seconds later.

Never less than `loss_min` a share is counted: on held-out recorded days shares filled at the touch
lost 1.3 to 1.6 cents after rebates. It loses where a jump takes all of its quotes at once, which no
mean of usual trades shows, where the pool is shared by more than the book of now says, and what it
holds when the market ends. What it holds is offered at the touch. Where a market pays no rewards,
or the venue says nothing of them, it has nothing to decide on. No edge is claimed.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import exp
from typing import Annotated, ClassVar, NamedTuple

import msgspec
from pydantic import Field

from engine.caches.views import BookView
from engine.domain.catalog import GateWords, ValueUnit, ValueWords
from engine.domain.decisions import Gate
from engine.domain.events import Event, OrderFilled, TradePrinted
from engine.domain.instruments import BotId, InstrumentId, Side
from engine.domain.intents import Quote, Quotes
from engine.domain.money import MICRO
from engine.domain.rewards import RestingQuote, earnings
from engine.errors import BadInput
from engine.strategies.door import Context, Evaluation, Parameters, decided

S = 1_000_000_000
DAY_S = 86_400.0
FAR_S = 3_650 * DAY_S
"""Seconds to the close of a market that announces none."""
VALID_NS = 60 * S
TRADES_MAX = 200
"""Trades of a market that wait for the middle of some seconds later; the oldest give way."""
LEVELS = 50
STAYS = 0.5
"""Part of what an entry needs that is enough to go on: a live book holds our own quotes, which are
counted as another maker's, and that is at most half of the pool."""


class RewardMakerParameters(Parameters):
    """How large and how near it quotes, and what the rewards must pay."""

    size_times: Annotated[float, Field(ge=1.0, le=100.0)] = 1.0
    """Size of a quote, as a multiple of the least that is rewarded.

    One: more is rewarded in proportion, and lost in proportion."""
    behind_ticks: Annotated[int, Field(ge=0, le=100)] = 1
    """Ticks behind the touch at which it rests, where that is within the band.

    One: the first to be taken are those at the touch."""
    inventory_times: Annotated[float, Field(ge=1.0, le=100.0)] = 3.0
    """Most it holds of a side, as a multiple of a quote's size.

    Three: each fill leans on the next, and what is held is not rewarded."""
    pays_min: Annotated[float, Field(ge=0.0, le=1_000.0)] = 1.5
    """How many times the expected loss of a day the rewards of a day must be.

    One and a half: both are estimates."""
    loss_min: Annotated[float, Field(ge=0.0, le=1.0)] = 0.013
    """Least loss counted for a share that is filled, in the currency.

    1.3 cents: what recorded days showed, however quiet the last hour was."""
    horizon_s: Annotated[float, Field(ge=1.0, le=3_600.0)] = 30.0
    """Seconds after a trade at which the middle is looked at.

    Thirty: most of what a trade knew is in the price by then."""
    memory_s: Annotated[float, Field(ge=60.0, le=604_800.0)] = 3_600.0
    """Seconds in which what it measured of trades is forgotten but for 1/e.

    An hour: markets are busy for hours."""
    warm_s: Annotated[float, Field(ge=0.0, le=86_400.0)] = 600.0
    """Seconds it watches a market before it quotes.

    Ten minutes: enough to see whether anybody trades."""
    stop_before_close_s: Annotated[float, Field(ge=0.0, le=2_592_000.0)] = 3_600.0
    """Seconds before the announced close at which it quotes no more.

    An hour: near its end a market knows more than who rests in it."""


class _Trade(msgspec.Struct, array_like=True):
    """A trade that waits for the middle of some seconds later."""

    at_ns: int
    price: int
    size: int
    up: bool
    """The aggressor bought."""


class Flow(msgspec.Struct):
    """What was measured of a market's trades."""

    since_ns: int = 0
    at_ns: int = 0
    shares: float = 0.0
    """Shares traded, each forgotten with the memory."""
    judged: float = 0.0
    """Those of them whose middle came."""
    lost: float = 0.0
    """What who rested lost on these, in the currency."""
    waiting: list[_Trade] = []
    quotes: bool = False


class _Expected(NamedTuple):
    """A day of one pair of quotes."""

    reward: float
    """In the currency."""
    filled: float
    """Shares."""
    loss: float
    """A share that is filled, in the currency."""

    @property
    def ratio(self) -> float:
        """How many times the loss the reward is."""
        cost = self.filled * self.loss
        return self.reward / cost if cost > 0.0 else 0.0


class RewardMaker:
    """Rests a bid and an ask for liquidity rewards while these pay for the expected losses."""

    name: ClassVar[str] = "reward_maker"
    category: ClassVar[str] = "binaries"
    tags: ClassVar[tuple[str, ...]] = ("quotes", "rewards")
    parameters_type: ClassVar[type[Parameters]] = RewardMakerParameters
    gates: ClassVar[Mapping[str, GateWords]] = {
        "rewards": GateWords(
            "the market pays for resting orders",
            "the market paid for resting orders",
            "the venue names no pool, band and least size of rewards here",
            needed=True,
        ),
        "two_sided": GateWords(
            "the book has both sides", "the book had both sides", "one side of the book is empty"
        ),
        "time": GateWords(
            "the close is far enough",
            "the close were farther",
            "{value} s to the close, at least {limit}",
            sign="≥",
        ),
        "warm": GateWords(
            "the market was watched long enough",
            "the market was watched longer",
            "watched for {value} s of {limit}",
            sign="≥",
        ),
        "capital": GateWords(
            "the capital pays for both quotes",
            "the capital were larger",
            "both quotes at the least size cost {value}, there are {limit}",
            sign="≤",
        ),
        "band": GateWords(
            "both quotes are within the band",
            "both quotes were within the band",
            "a quote behind the touch is {value} from the middle, the band ends at {limit}",
            sign="<",
        ),
        "pays": GateWords(
            "the rewards pay for the expected losses",
            "the rewards were more or the losses less",
            "a day of rewards is {value} times the expected loss, at least {limit}",
            sign="≥",
        ),
    }
    values: ClassVar[Mapping[str, ValueWords]] = {
        "reward_day": ValueWords("Rewards of a day at this book, in the currency"),
        "filled_day": ValueWords("Shares that would be filled a day"),
        "reward_share": ValueWords("Reward for each share that is filled", ValueUnit.PRICE),
        "loss_share": ValueWords("Expected loss of a share that is filled", ValueUnit.PRICE),
    }
    references: tuple[str, ...] = ()
    touch_alone = True
    mid2_moved_min = 0
    replan_ns_min = S
    timer_ns = S

    def __init__(self, parameters: RewardMakerParameters, bot: BotId) -> None:
        self._p = parameters
        self._bot = bot
        self._flows: dict[InstrumentId, Flow] = {}

    # -- Strategy ----------------------------------------------------------------------------------

    def receive(self, event: Event, now_ns: int) -> bool:
        """Count a trade; the touch wakes it."""
        if isinstance(event, TradePrinted) and event.size and event.aggressor is not None:
            flow = self._flows.setdefault(event.instrument, Flow())
            up = event.aggressor is Side.BUY
            flow.waiting.append(_Trade(now_ns, event.price, event.size, up))
            del flow.waiting[:-TRADES_MAX]
        return False

    def filled(self, instrument: InstrumentId, event: OrderFilled, now_ns: int) -> None:
        """Learn nothing: an own fill is a trade that is printed, too."""

    def evaluate(self, context: Context, now_ns: int) -> Evaluation:
        """Measure what trades cost who rests; quote while a day of rewards is worth more."""
        view, instrument = context.view, context.view.instrument
        flow = self._flows.setdefault(instrument.id, Flow())
        self._measure(view, flow, now_ns)
        pays = bool(
            instrument.product.second is not None
            and instrument.rewards_daily_micro
            and instrument.rewards_spread_max
        )
        gates: tuple[Gate, ...] = (Gate("rewards", pays, 0.0, 0.0),)
        if not pays:
            return self._stated(context, now_ns, flow, gates)
        two_sided = view.trusted and view.best_bid is not None and view.best_ask is not None
        gates = (*gates, Gate("two_sided", two_sided, 0.0, 0.0))
        if not two_sided:
            return self._stated(context, now_ns, flow, gates)
        pair = self._pair(view)
        more, values = self._judged(context, flow, pair, now_ns)
        gates = (*gates, *more)
        may = context.healthy and not context.reducing and all(gate.passed for gate in gates)
        return self._stated(context, now_ns, flow, gates, values, quotes=pair if may else None)

    def _judged(
        self, context: Context, flow: Flow, pair: tuple[int, int, int], now_ns: int
    ) -> tuple[tuple[Gate, ...], tuple[tuple[str, float], ...]]:
        """Return what is left of the gates where both sides stand, and what was counted."""
        view, p, (bid, ask, size) = context.view, self._p, pair
        instrument, capital = view.instrument, context.capital_micro
        closes_ns = instrument.closes_ns
        left_s = FAR_S if closes_ns is None else (closes_ns - now_ns) / S
        watched_s = (now_ns - flow.since_ns) / S
        cost, unit = _cost(view, bid, ask, size), instrument.price_unit
        mid2 = (view.best_bid or 0) + (view.best_ask or 0)
        away2, band = max(mid2 - 2 * bid, 2 * ask - mid2), instrument.rewards_spread_max
        expected = self._expected(view, flow, pair)
        least = p.pays_min * (STAYS if flow.quotes else 1.0)
        gates = (
            Gate("time", left_s >= p.stop_before_close_s, left_s, p.stop_before_close_s),
            Gate("warm", watched_s >= p.warm_s, watched_s, p.warm_s),
            Gate("capital", cost <= capital, cost / MICRO, capital / MICRO),
            Gate("band", away2 < 2 * band, away2 / 2 / unit, band / unit),
            Gate("pays", expected.ratio >= least, expected.ratio, least),
        )
        values = (
            ("reward_day", expected.reward),
            ("filled_day", expected.filled),
            ("reward_share", expected.reward / expected.filled),
            ("loss_share", expected.loss),
        )
        return gates, values

    # -- what it measures --------------------------------------------------------------------------

    def _measure(self, view: BookView, flow: Flow, now_ns: int) -> None:
        """Forget a little, and judge the trades whose middle has come."""
        if not flow.since_ns:
            flow.since_ns = flow.at_ns = now_ns
        kept = exp(-(now_ns - flow.at_ns) / S / self._p.memory_s)
        flow.shares, flow.judged, flow.lost = (
            one * kept for one in (flow.shares, flow.judged, flow.lost)
        )
        flow.at_ns = now_ns
        mid2, instrument = view.mid2, view.instrument
        due = round(self._p.horizon_s * S)
        while flow.waiting and now_ns - flow.waiting[0].at_ns >= due:
            trade = flow.waiting.pop(0)
            size = trade.size / 10**instrument.size_decimals
            flow.shares += size
            if mid2 is not None and view.trusted:
                moved = (mid2 / 2 - trade.price) / instrument.price_unit
                flow.judged += size
                flow.lost += size * (moved if trade.up else -moved)

    def _expected(self, view: BookView, flow: Flow, pair: tuple[int, int, int]) -> _Expected:
        """Return a day of these quotes: at least one of them is filled."""
        instrument, book, (bid, ask, size) = view.instrument, view.book, pair
        sides = book.depth(Side.BUY, LEVELS), book.depth(Side.SELL, LEVELS)
        age_ns = instrument.rewards_age_s * S
        ours = [
            RestingQuote(order=i, bid=not i, price=price, size=size, age_ns=age_ns, confirmed=True)
            for i, price in enumerate((bid, ask))
        ]
        found = earnings(instrument, sides, ours, in_book=False)
        reward = sum(one.daily_micro for one in found) / MICRO
        whole = 10**instrument.size_decimals
        seen_s = max(1.0, (flow.at_ns - flow.since_ns) / S)
        memory_s = self._p.memory_s * (1.0 - exp(-seen_s / self._p.memory_s))
        traded = flow.shares / memory_s * DAY_S
        bids = sum(one for price, one in sides[0] if price >= bid)
        asks = sum(one for price, one in sides[1] if price <= ask)
        part = size / (size + min(bids, asks))
        filled = max(size / whole, traded * part)
        loss = flow.lost / flow.judged if flow.judged else 0.0
        return _Expected(reward, filled, max(self._p.loss_min, loss))

    # -- what it states ----------------------------------------------------------------------------

    def _pair(self, view: BookView) -> tuple[int, int, int]:
        """Return bid, ask and size: behind the touch, of the least size that is rewarded."""
        instrument, p = view.instrument, self._p
        behind = p.behind_ticks * instrument.tick
        bid = max(instrument.tick, (view.best_bid or 0) - behind)
        ask = min(instrument.product.top, (view.best_ask or 0) + behind)
        least = max(instrument.rewards_size_min, instrument.smallest)
        size = -(-int(least * p.size_times) // instrument.lot) * instrument.lot
        return bid, ask, size

    def _stated(
        self,
        context: Context,
        now_ns: int,
        flow: Flow,
        gates: tuple[Gate, ...],
        values: tuple[tuple[str, float], ...] = (),
        *,
        quotes: tuple[int, int, int] | None = None,
    ) -> Evaluation:
        """Return the quotes that may stand; of what is held the way out rests at the touch."""
        before, flow.quotes = flow.quotes, quotes is not None
        bids, asks = self._sides(context, quotes)
        intent = None
        if bids or asks or before or context.inventory.working_bid or context.inventory.working_ask:
            intent = Quotes(
                bot=self._bot,
                instrument=context.view.instrument.id,
                bids=bids,
                asks=asks,
                valid_until_ns=now_ns + VALID_NS,
                decision=context.decision,
            )
        regime = "quotes" if quotes else "leaves" if context.inventory.position else "rests"
        decision = decided(
            context, now_ns, regime=regime, gates=gates, inputs=values, intent=intent
        )
        return Evaluation(decision=decision, intents=(intent,) if intent else ())

    def _sides(
        self, context: Context, quotes: tuple[int, int, int] | None
    ) -> tuple[tuple[Quote, ...], tuple[Quote, ...]]:
        """Return bids and asks: within the inventory, the side that reduces at the touch."""
        view, have = context.view, context.inventory.position
        lot = view.instrument.lot
        out = abs(have) // lot * lot
        if quotes is None:
            if have > 0 and view.best_ask is not None and out:
                return (), ((view.best_ask, out),)
            if have < 0 and view.best_bid is not None and out:
                return ((view.best_bid, out),), ()
            return (), ()
        bid, ask, size = quotes
        most = size * self._p.inventory_times
        room = context.capital_micro - _held_cost(context) - _cost(view, bid, ask, size)
        bids: tuple[Quote, ...] = ((bid, size),)
        asks: tuple[Quote, ...] = ((ask, size),)
        if have + size > most or (have > 0 and room < 0):
            bids = ()
        if size - have > most or (have < 0 and room < 0):
            asks = ()
        return bids, asks

    def forget(self, instrument: InstrumentId) -> None:
        """Drop what was measured of a market."""
        self._flows.pop(instrument, None)

    def state(self) -> bytes:
        """Return what was measured of each market."""
        return msgspec.json.encode(self._flows)

    def restore(self, state: bytes) -> None:
        """Take back what `state` gave. Raises BadInput where it cannot be read."""
        kind = dict[InstrumentId, Flow]
        try:
            self._flows = msgspec.json.decode(state, type=kind) if state else {}
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise BadInput(f"its state cannot be read: {error}") from None


def _cost(view: BookView, bid: int, ask: int, size: int) -> int:
    """Return what both quotes would cost, in micro-units: YES at the bid and NO at the ask."""
    instrument = view.instrument
    return instrument.cost_micro(bid, size) + instrument.cost_micro(
        instrument.product.one - ask, size
    )


def _held_cost(context: Context) -> int:
    """Return what was paid for what is held, in micro-units."""
    have, instrument = context.inventory.position, context.view.instrument
    price = context.inventory.average_price or 0
    return instrument.cost_micro(price if have > 0 else instrument.product.one - price, abs(have))
