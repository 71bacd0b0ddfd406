"""Cross-exchange arbitrage: sells a stock where it is dear and buys it back where it is cheap.

Idea: one thing has one price, but for what it costs to bring it from one place to the other
(Makarov and Schoar, 2020, "Trading and arbitrage in cryptocurrency markets", found gaps that stood
for hours). Nothing is brought anywhere here: half of a stock of the base lies at each of two
venues, and where the bid of one stands above the ask of the other by more than both fees, it is
sold there and bought here at the same moment, as a basket. The stock stays what it was, the cash
grows.

It holds the stock all the time, so it loses what the base falls: more than all gaps bring in a
fall. It loses where one leg is gone before its order arrives: what was sold is bought back, and
what was bought is sold again, at the better of both touches, whatever that costs, and what may
stand alone so is never worth more than `open_max`. Where all of the stock has gone to one venue it
waits for the gap of the other sign: moving it is a person's. Both instruments must be at the bot's
account: an account here sees the market of its own venue, so on a desk of today it has no second
venue and says so. No edge is claimed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, NamedTuple

import msgspec
from msgspec import UNSET
from pydantic import Field

from engine.caches.views import BookView, InventoryView
from engine.domain.catalog import GateWords, ValueWords
from engine.domain.decisions import Gate
from engine.domain.events import Event, OrderFilled
from engine.domain.instruments import BotId, Instrument, InstrumentId, Kind
from engine.domain.intents import Intent, Target
from engine.domain.money import MICRO
from engine.errors import BadInput
from engine.strategies.door import Context, Evaluation, Needs, Parameters
from engine.strategies.taking import (
    BPS,
    basket_of,
    crossing_target,
    stated,
    units_min,
    units_of,
    worst_price,
)

S = 1_000_000_000
VALID_NS = 2 * S


class CrossExchangeParameters(Parameters):
    """How large the stock is, what a trade must gain, and how much may stand in one leg."""

    stock_share: Annotated[float, Field(gt=0.0, le=0.9)] = 0.4
    """Part of the capital that is held as stock, half of it at each venue, 0 to 0.9.

    Four tenths: what is left pays for what is bought before the sale is booked."""
    edge_min_bps: Annotated[float, Field(ge=0.0, le=1_000.0)] = 5.0
    """Basis points a trade must gain after both fees.

    Five: they pay for a leg that now and then has to be turned back."""
    open_max: Annotated[float, Field(gt=0.0, le=1_000_000.0)] = 100.0
    """Most that one leg may be worth, in the currency: so much stands alone where the other fails.

    A hundred: a tenth of the capital that forms begin with."""
    age_s_max: Annotated[float, Field(gt=0.0, le=60.0)] = 2.0
    """Oldest proof of either book, in seconds.

    Two: an older quote may be gone."""
    slippage_bps_max: Annotated[float, Field(ge=0.0, le=1_000.0)] = 20.0
    """Basis points beyond the touch at which the stock is bought, mended and sold.

    Twenty: a leg that stands alone is dearer than that."""


class TwoVenues(NamedTuple):
    """The same pair at two venues."""

    first: BookView
    second: BookView


class StockSeen(msgspec.Struct):
    """The stock it keeps."""

    units: float = 0.0
    """Of the base, at both venues together; 0 = none yet."""
    built: bool = False
    """True = it was bought."""


class GapFound(NamedTuple):
    """The better of both directions."""

    sold: BookView
    bought: BookView
    edge_bps: float
    """What is left of the gap after both fees, by the price it is bought at."""


class CrossExchange:
    """Sells a stock at the venue where it is dear and buys it back where it is cheap."""

    name: ClassVar[str] = "cross_exchange"
    category: ClassVar[str] = "several instruments"
    tags: ClassVar[tuple[str, ...]] = ("several venues",)
    needs: ClassVar[Needs] = Needs(instruments=2, kinds=frozenset({Kind.SPOT}))
    parameters_type: ClassVar[type[Parameters]] = CrossExchangeParameters
    gates: ClassVar[Mapping[str, GateWords]] = {
        "venues": GateWords(
            "the bot has one spot pair at two venues",
            "the bot had the same spot pair at two venues",
            "{value} of {limit} venues have the pair",
            sign="≥",
            needed=True,
        ),
        "fresh": GateWords(
            "both books are fresh and have both sides",
            "both books were fresh and had both sides",
            "the older book is {value} s old, at most {limit}",
            sign="≤",
        ),
        "stock": GateWords(
            "the stock lies at both venues",
            "the stock was bought",
            "{value} of {limit} of the base are held",
            sign="≥",
        ),
        "edge": GateWords(
            "a trade gains after both fees",
            "the gap were wider",
            "{value} basis points are left after fees, at least {limit}",
            sign="≥",
        ),
        "size": GateWords(
            "a trade is large enough for both orders",
            "more stood there, or the stock lay at the other venue",
            "{value} of the base, at least {limit}",
            sign="≥",
        ),
    }
    values: ClassVar[Mapping[str, ValueWords]] = {
        "edge_bps": ValueWords("Left of the gap after both fees, basis points"),
        "held": ValueWords("Of the base held at both venues"),
        "open": ValueWords("Of the base that stands alone"),
    }
    references: tuple[str, ...] = ()
    touch_alone = True
    mid2_moved_min = 0
    replan_ns_min = 0
    timer_ns = S

    def __init__(self, parameters: CrossExchangeParameters, bot: BotId) -> None:
        self._p = parameters
        del bot
        self._seen = StockSeen()

    # -- Strategy ----------------------------------------------------------------------------------

    def receive(self, event: Event, now_ns: int) -> bool:
        """Wake on a change of a touch alone: the core sees to that."""
        del event, now_ns
        return False

    def filled(self, instrument: InstrumentId, event: OrderFilled, now_ns: int) -> None:
        """Learn nothing: what is held comes with each evaluation."""

    def evaluate(self, context: Context, now_ns: int) -> Evaluation:
        """Keep the stock; sell it where it is dear and buy it where it is cheap."""
        pair = _pair(context)
        venues = Gate("venues", pair is not None, 2.0 if pair else 1.0, 2.0)
        if pair is None:
            return self._decided(context, now_ns, (venues,))
        age_s = max(_age_s(view, now_ns) for view in pair)
        fresh = Gate("fresh", age_s <= self._p.age_s_max, age_s, self._p.age_s_max)
        gates: tuple[Gate, ...] = (venues, fresh)
        stand = tuple(context.others.inventory(view.instrument.id) for view in pair)
        if not fresh.passed or any(one.working_bid or one.working_ask for one in stand):
            return self._decided(context, now_ns, gates)
        held = sum(
            units_of(view.instrument, one.position) for view, one in zip(pair, stand, strict=True)
        )
        seen, values = self._seen, (("held", held),)
        if context.reducing:
            sales = [self._target(view, 0, context, now_ns) for view in pair]
            wanted = [one for one, have in zip(sales, stand, strict=True) if have.position]
            return self._decided(context, now_ns, gates, tuple(wanted), values)
        if not seen.built:
            return self._bought(context, pair, stand, now_ns, gates)
        missing, least = seen.units - held, max(units_min(view) for view in pair)
        if abs(missing) >= least:
            mended = self._mended(context, pair, stand, missing, now_ns)
            return self._decided(context, now_ns, gates, mended, (*values, ("open", missing)))
        return self._traded(context, pair, now_ns, (*gates, Gate("stock", True, held, seen.units)))

    def _bought(
        self,
        context: Context,
        pair: TwoVenues,
        stand: tuple[InventoryView, ...],
        now_ns: int,
        gates: tuple[Gate, ...],
    ) -> Evaluation:
        """Buy half of the stock at each venue; it is there once both halves are."""
        seen = self._seen
        if not seen.units:
            money = min(context.capital_micro, context.inventory.cash_free_micro)
            dearest = max(_price(view, view.best_ask) for view in pair)
            worse = 1.0 + self._p.slippage_bps_max / BPS
            seen.units = max(0, money) / MICRO * self._p.stock_share / (dearest * worse)
        halves = [_increments(view.instrument, seen.units / 2.0) for view in pair]
        lacks = [
            (view, half)
            for view, half, one in zip(pair, halves, stand, strict=True)
            if half - one.position
            >= max(view.instrument.lot, _increments(view.instrument, units_min(view)))
        ]
        have = sum(
            units_of(view.instrument, one.position) for view, one in zip(pair, stand, strict=True)
        )
        too_small = any(
            units_of(view.instrument, half) < units_min(view)
            for view, half in zip(pair, halves, strict=True)
        )
        gates = (*gates, Gate("stock", not lacks and not too_small, have, seen.units))
        if too_small:
            seen.units = 0.0
        elif not lacks:
            seen.units, seen.built = have, True
        wanted = () if too_small or not context.healthy else lacks
        targets = tuple(self._target(view, half, context, now_ns) for view, half in wanted)
        return self._decided(context, now_ns, gates, targets, (("held", have),))

    def _traded(
        self, context: Context, pair: TwoVenues, now_ns: int, gates: tuple[Gate, ...]
    ) -> Evaluation:
        """Sell and buy the same amount where the gap pays for both fees."""
        gap = max(_gap(pair.first, pair.second), _gap(pair.second, pair.first), key=_edge_of)
        edge, least_bps = gap.edge_bps, self._p.edge_min_bps
        gates = (*gates, Gate("edge", edge >= least_bps, edge, least_bps))
        values = (("edge_bps", edge), ("held", self._seen.units))
        if edge < least_bps or not context.healthy:
            return self._decided(context, now_ns, gates, values=values)
        size, least = self._size(context, gap), max(units_min(view) for view in pair)
        gates = (*gates, Gate("size", size >= least, size, least))
        if size < least:
            return self._decided(context, now_ns, gates, values=values)
        targets = []
        for view, sign in ((gap.sold, -1), (gap.bought, 1)):
            have = context.others.inventory(view.instrument.id).position
            position = have + sign * _increments(view.instrument, size)
            level = view.best_bid if sign < 0 else view.best_ask
            targets.append(self._target(view, position, context, now_ns, level))
        basket = basket_of(context, targets, now_ns + VALID_NS)
        return self._decided(context, now_ns, gates, (basket,), values)

    def _size(self, context: Context, gap: GapFound) -> float:
        """Return how much of the base is traded: what stands, is held, is paid and may be open."""
        sold, bought = gap.sold, gap.bought
        held = context.others.inventory(sold.instrument.id).position
        ask = _price(bought, bought.best_ask) * (1.0 + _fee(bought))
        cash = max(0, context.inventory.cash_free_micro) / MICRO
        size = min(
            units_of(sold.instrument, sold.book.touch[1]),
            units_of(bought.instrument, bought.book.touch[3]),
            units_of(sold.instrument, held),
            cash / ask,
            self._p.open_max / max(ask, _price(sold, sold.best_bid)),
        )
        step = max(units_of(view.instrument, view.instrument.lot) for view in (sold, bought))
        return size // step * step

    def _mended(
        self,
        context: Context,
        pair: TwoVenues,
        stand: tuple[InventoryView, ...],
        missing: float,
        now_ns: int,
    ) -> tuple[Intent, ...]:
        """Return what brings the stock back to what it was, at the better touch that has it."""
        buys = missing > 0.0
        places = [
            (view, one.position)
            for view, one in zip(pair, stand, strict=True)
            if buys or units_of(view.instrument, one.position) >= -missing
        ]
        if not places:
            return ()
        view, have = min(
            places,
            key=lambda one: (
                _price(one[0], one[0].best_ask) if buys else -_price(one[0], one[0].best_bid)
            ),
        )
        position = have + _increments(view.instrument, missing)
        return (self._target(view, position, context, now_ns),)

    def _target(
        self,
        view: BookView,
        position: int,
        context: Context,
        now_ns: int,
        level: int | None = None,
    ) -> Target:
        """Return a target at a level; None = the touch and the slippage beyond it."""
        have = context.others.inventory(view.instrument.id).position
        buys = position > have
        if level is None:
            worst = worst_price(view, self._p.slippage_bps_max, buying=buys)
            level = worst or view.instrument.tick
        return crossing_target(context, view, position, level, now_ns + VALID_NS)

    def _decided(
        self,
        context: Context,
        now_ns: int,
        gates: tuple[Gate, ...],
        intents: tuple[Intent, ...] = (),
        values: tuple[tuple[str, float], ...] = (),
    ) -> Evaluation:
        regime = "stock" if self._seen.built else "flat"
        return stated(context, now_ns, regime=regime, gates=gates, inputs=values, intents=intents)

    def forget(self, instrument: InstrumentId) -> None:
        """Keep no stock any more: what is left at the other venue is a person's to sell."""
        del instrument
        self._seen = StockSeen()

    def state(self) -> bytes:
        """Return the stock it keeps."""
        return msgspec.json.encode(self._seen)

    def restore(self, state: bytes) -> None:
        """Take back what `state` gave. Raises BadInput where it cannot be read."""
        try:
            self._seen = msgspec.json.decode(state, type=StockSeen) if state else StockSeen()
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise BadInput(f"its state cannot be read: {error}") from None


def _pair(context: Context) -> TwoVenues | None:
    """Return the same spot pair at two venues; None = the bot has not just that."""
    views = [one for one in context.others.views() if one.instrument.kind is Kind.SPOT]
    if len(views) != 2 or len(context.others.views()) != 2:
        return None
    first, second = (view.instrument for view in views)
    apart = first.id.partition(":")[0] != second.id.partition(":")[0]
    bases = {one.base.id for one in (first, second) if one.base is not UNSET}
    alike = first.currency == second.currency and len(bases) <= 1
    return TwoVenues(*views) if apart and alike else None


def _age_s(view: BookView, now_ns: int) -> float:
    """Return how old the proof of a book is; one that lacks a side or is torn is a day old."""
    whole = view.trusted and view.best_bid is not None and view.best_ask is not None
    age_ns = view.age_ns(now_ns) if whole else None
    return 86_400.0 if age_ns is None else age_ns / S


def _increments(instrument: Instrument, units: float) -> int:
    """Return units of the base in whole lots, rounded towards nothing."""
    size = int(round(abs(units) * 10**instrument.size_decimals, 3)) // instrument.lot
    return size * instrument.lot * (1 if units > 0 else -1)


def _price(view: BookView, level: int | None) -> float:
    return (level or 0) / view.instrument.price_unit


def _fee(view: BookView) -> float:
    return view.instrument.fees.taker_rate_ppm / 1e6


def _gap(sold: BookView, bought: BookView) -> GapFound:
    """Return what selling at one venue and buying at the other leaves after both fees."""
    brings = _price(sold, sold.best_bid) * (1.0 - _fee(sold))
    costs = _price(bought, bought.best_ask) * (1.0 + _fee(bought))
    return GapFound(sold, bought, (brings / costs - 1.0) * BPS)


def _edge_of(gap: GapFound) -> float:
    return gap.edge_bps
