"""The planner: from an intent and the facts to the legal orders that realise it. Pure.

Works in YES-space: BUY YES and SELL NO are bids, SELL YES and BUY NO are asks. A binary reduces
before it opens: a bid sells settled NO at 1 − p, the rest buys YES; an ask sells settled YES, the
rest buys NO at 1 − p. Anything else bids with cash and asks with what it has settled.

What may still fill counts against the intent: per direction, what is placed is at most what is
wanted less everything alive (kept, cancelling, unknown, sent), so a replacement waits for the
proven end of what it replaces (law H, for buys as well), and a sell never exceeds what is settled
(law E).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from copy import copy
from functools import partial
from itertools import zip_longest

import msgspec
from msgspec.structs import replace

from engine.domain.events import BookMarked
from engine.domain.instruments import Instrument, Leg, Side
from engine.domain.intents import Quote, Quotes, ResidualReason, Target, Urgency
from engine.domain.money import ceil_to_tick, floor_to_tick
from engine.domain.orders import OrderId, OrderState, OrderType
from engine.domain.products.perpetual import closing
from engine.errors import BrokenInvariant
from engine.executor.fills import Holding
from engine.executor.orders import LiveOrder
from engine.executor.plan import (
    NO_PLAN,
    NOTHING_AHEAD,
    Ahead,
    Draft,
    Plan,
    Residual,
    TargetLevels,
    crumb,
)
from engine.executor.settings import MS, ExecutorSettings

# -- Levels of an intent, in lots, on the grid, behind the touch; and what a plan is made of -------

# Members of enums are looked up once: an attribute of an Enum class costs ten of a module.
_BUY, _SELL = Side.BUY, Side.SELL
_DUST = ResidualReason.DUST
_OWN_CROSS = ResidualReason.OWN_CROSS
_OUT_OF_RANGE = ResidualReason.OUT_OF_RANGE


LevelNeed = tuple[int, int, int]
"""(level in YES-space, size to sell of what is settled, size to open)."""


def target_levels(
    intent: Quotes | Target | None,
    instrument: Instrument,
    position: int,
    mark: BookMarked | None,
    settings: ExecutorSettings,
) -> TargetLevels:
    """Return the levels of an intent; none for no intent. Where quotes rest, `position` is 0."""
    target = TargetLevels((), (), OrderType.GTC, True, settings.resize_tolerance_percent, [])
    if settings.gtd_ms is not None:
        target.type, target.life_ns = OrderType.GTD, settings.gtd_ms * MS
    if intent is None:
        return target
    bid = ask = None
    if mark is not None:
        bid, ask = mark.best_bid, mark.best_ask
    if isinstance(intent, Quotes):
        target.bids = _cut(intent.bids, instrument, ask, target.residuals, bid=True)
        target.asks = _cut(intent.asks, instrument, bid, target.residuals, bid=False)
    else:
        _target(target, intent, instrument, position, (bid, ask))
    return target


def _cut(
    quotes: tuple[Quote, ...],
    instrument: Instrument,
    touch: int | None,
    residuals: list[Residual],
    *,
    bid: bool,
) -> list[Quote]:
    """Cut, round and reprice levels, at least a tick behind the opposite `touch` (law S)."""
    tick, lot = instrument.tick, instrument.lot
    top = instrument.product.top
    side = _BUY if bid else _SELL
    levels: dict[int, int] = {}
    nearest = None if touch is None else touch - tick if bid else touch + tick
    for asked, size in quotes:
        rest = size % lot
        if rest or size <= 0:
            residuals.append(Residual(_DUST, side, asked, rest))
            if size < lot:
                continue
        price = asked
        if nearest is not None and (price > nearest if bid else price < nearest):
            price = nearest
        if price % tick:
            price = floor_to_tick(price, tick) if bid else ceil_to_tick(price, tick)
        if price < tick or price > top:
            residuals.append(Residual(_OUT_OF_RANGE, side, asked, size - rest))
        else:
            levels[price] = levels.get(price, 0) + size - rest
    return sorted(levels.items(), reverse=bid) if len(levels) > 1 else [*levels.items()]


def _target(
    target: TargetLevels,
    intent: Target,
    instrument: Instrument,
    position: int,
    touch: tuple[int | None, int | None],
) -> None:
    """Turn a position into the one level that leads there, worked as its urgency says.

    A target is a promise of a position, so nothing larger than the difference is left resting.
    """
    target.tolerance_percent = 0
    missing = intent.position - position
    if missing == 0:
        return
    buying = missing > 0
    size = abs(missing)
    side = _BUY if buying else _SELL
    opposite = touch[1] if buying else touch[0]
    price = _limit_on_grid(intent.limit_price, instrument, buying=buying)
    if intent.urgency is not Urgency.REST:
        target.type = OrderType.FAK if intent.urgency is Urgency.CROSS else OrderType.FOK
        target.post_only, target.life_ns = False, None
        if opposite is None or (opposite > price if buying else opposite < price):
            target.residuals.append(Residual(ResidualReason.NOT_MARKETABLE, side, price, size))
            return
        target.meets, opposite = opposite, None
    levels = _cut(((price, size),), instrument, opposite, target.residuals, bid=buying)
    if buying:
        target.bids = levels
    else:
        target.asks = levels


def _limit_on_grid(limit: int, instrument: Instrument, *, buying: bool) -> int:
    """Return the worst price on the grid that is no worse than the limit.

    A limit of certainty or of nothing means any price, so it is drawn into the range.
    """
    tick = instrument.tick
    if buying:
        price = floor_to_tick(limit, tick)
        return min(price, instrument.product.top)
    return max(ceil_to_tick(limit, tick), tick)


# -- Owners: no owner's level meets what another one of the account wants or has resting -----------


def behind(target: TargetLevels, ahead: Ahead) -> TargetLevels:
    """Return what may be wanted of levels behind those who go first; the rest is left over."""
    bids = [one for one in target.bids if one[0] < ahead.ask]
    asks = [one for one in target.asks if one[0] > ahead.bid]
    if len(bids) == len(target.bids) and len(asks) == len(target.asks):
        return target
    left = [Residual(_OWN_CROSS, _BUY, *one) for one in target.bids if one[0] >= ahead.ask]
    left += [Residual(_OWN_CROSS, _SELL, *one) for one in target.asks if one[0] <= ahead.bid]
    made = copy(target)
    made.bids, made.asks, made.residuals = bids, asks, target.residuals + left
    return made


# -- The plan: from levels and facts to what is placed, cancelled and left -------------------------

_NO_CASH = ResidualReason.NO_CASH
_WAITING_CANCEL = ResidualReason.WAITING_CANCEL
_BELOW_MIN = ResidualReason.BELOW_MIN
_OPEN, _PARTIAL = OrderState.OPEN, OrderState.PARTIAL
_SENT, _PENDING, _UNKNOWN = OrderState.SENT, OrderState.PENDING, OrderState.UNKNOWN
_FAK, _FOK = OrderType.FAK, OrderType.FOK
S = 1_000_000_000
VENUE_EARLY_NS = 60 * S
"""Polymarket takes an expiring order away about a minute before its time (trading API, §5.1)."""
RENEW_EARLY_NS = VENUE_EARLY_NS + 30 * S
"""How long before its time an order is renewed: time for every quote of an account, in turn."""

_RESTS = frozenset({OrderState.OPEN, OrderState.PARTIAL})
_MOVES = frozenset({OrderState.PENDING, OrderState.SENT, OrderState.CANCELLING})


def plan(
    target: TargetLevels,
    *,
    instrument: Instrument,
    holding: Holding,
    working: Collection[LiveOrder],
    cash_free_micro: int,
    now_ns: int,
    others: Ahead = NOTHING_AHEAD,
) -> Plan:
    """Return what to place, cancel and leave of one owner's in one instrument.

    `target` stays as it is; `holding` and `working`, the orders that may still fill, oldest first,
    are the owner's; `others` what other owners have resting; `cash_free_micro` what no working
    order of the account has reserved. No levels want nothing: everything is cancelled.
    """
    life_ns = target.life_ns
    expires_ns = None if life_ns is None else now_ns + life_ns
    live_bids: list[LiveOrder] = []
    live_asks: list[LiveOrder] = []
    for known in working:
        (live_bids if known.bid else live_asks).append(known)
    # If cash is short while settled tokens could replace a resting buy, reduce first after all.
    for reduce_first in (False, True):
        left = target.residuals.copy()
        attempt = Attempt(target, instrument, holding, cash_free_micro, expires_ns, left, others)
        bids = attempt.fit(True, live_bids, reduce_first)
        asks = attempt.fit(False, live_asks, reduce_first)
        # Level by level, best first, so that scarce cash goes to the best prices.
        for bid, ask in zip_longest(bids.needs, asks.needs):
            if bid is not None:
                attempt.place(bids, bid, asks.best)
            if ask is not None:
                attempt.place(asks, ask, bids.best)
        if attempt.short and not reduce_first and (bids.could_reduce or asks.could_reduce):
            continue
        places, cancels = attempt.places, bids.cancels + asks.cancels
        made = NO_PLAN
        if places or cancels or left:
            made = Plan(tuple(places), tuple(cancels), tuple(left))
        return made if life_ns is None else renewed(made, working, now_ns)
    raise BrokenInvariant(f"{instrument.id}: no plan, and none by reducing first")


class SidePlan(msgspec.Struct, gc=False):
    """One direction of a plan, bids or asks."""

    bid: bool
    best: int
    """The best level at which an order of ours, of any owner, may fill; far off where none may."""
    needs: list[LevelNeed] = []
    cancels: list[OrderId] = []
    allowance: int = 0
    """What may be placed: wanted less everything alive."""
    sellable: int = 0
    """Settled tokens no live order has committed."""
    closed: int = 0
    """What the drafts close of a signed position."""
    could_reduce: bool = False
    """True where a resting buy could be replaced by selling settled tokens."""


class Attempt(msgspec.Struct, gc=False):
    """One attempt at a plan: first what stays, goes and is missing, then what can be placed."""

    target: TargetLevels
    instrument: Instrument
    holding: Holding
    cash_free_micro: int
    expires_ns: int | None
    residuals: list[Residual]
    others: Ahead = NOTHING_AHEAD
    """What other owners have resting."""
    places: list[Draft] = []
    short: bool = False
    """Cash did not suffice for something."""

    # -- Fitting: which live orders of one direction stay, which go, and what each level misses ----
    # Little churn: an order at a wanted price stays, also on the other leg; too much at a price
    # goes newest first; too little is topped up if the difference is a legal order, else left.

    def fit(self, bid: bool, live: list[LiveOrder], reduce_first: bool) -> SidePlan:
        """Match one direction's levels with its live orders."""
        side_plan = SidePlan(bid, self.others.bid if bid else self.others.ask)
        levels = self.target.bids if bid else self.target.asks
        if not levels and not live:
            return side_plan
        instrument, settled = self.instrument, 0
        product = instrument.product
        sold = product.bid_sells if bid else product.ask_sells
        if sold is not None:
            leg = self.holding.no if sold is product.second else self.holding.yes
            settled = leg.settled - leg.aside
            settled = settled - settled % instrument.lot if settled > 0 else 0
        allowance = committed = 0
        kept: dict[int, list[LiveOrder]] = {}
        if live:
            alive, committed = self._sort_out(side_plan, dict(levels), live, kept)
            allowance -= alive
            if kept:
                self._trim(side_plan, levels, kept)
        side_plan.sellable = settled - committed
        smallest = instrument.smallest
        if kept or settled >= smallest or not (bid or product.opens_asks):
            for _, size in levels:
                allowance += size
            self._missing(side_plan, levels, settled, kept, reduce_first)
        else:
            for price, size in levels:  # nothing rests and nothing can be sold: open it all
                allowance += size
                if size >= smallest:
                    side_plan.needs.append((price, 0, size))
                else:
                    self._need(side_plan, price, size, 0, False)
        side_plan.allowance = allowance
        return side_plan

    def _sort_out(
        self,
        side_plan: SidePlan,
        sizes: dict[int, int],
        live: list[LiveOrder],
        kept: dict[int, list[LiveOrder]],
    ) -> tuple[int, int]:
        """Keep orders of the wanted style and price, cancel others; return (alive, in sells)."""
        target, bid = self.target, side_plan.bid
        alive = committed = 0
        for known in live:
            order, state, level = known.order, known.state, known.level
            if level > side_plan.best if bid else level < side_plan.best:
                side_plan.best = level
            alive += known.remaining
            if order.side is _SELL:
                committed += known.remaining
            cancellable = state is _OPEN or state is _PARTIAL or state is _SENT or state is _PENDING
            if level in sizes and order.type is target.type and order.post_only is target.post_only:
                if cancellable:
                    kept.setdefault(level, []).append(known)
                continue  # UNKNOWN, CANCELLING and DELAYED are counted and waited for
            if order.type is _FAK or order.type is _FOK:
                continue  # ends by itself
            if cancellable or (state is _UNKNOWN and not known.cancel_asked):
                side_plan.cancels.append(order.id)
        return alive, committed

    def _trim(
        self, side_plan: SidePlan, levels: Sequence[Quote], kept: dict[int, list[LiveOrder]]
    ) -> None:
        """Cancel newest first where a level rests with more than it may."""
        tolerance = self.target.tolerance_percent
        for price, size in levels:
            orders = kept.get(price, [])
            if orders:
                _cancel_above(side_plan, orders, size + size * tolerance // 100)

    def _missing(
        self,
        side_plan: SidePlan,
        levels: Sequence[Quote],
        settled: int,
        kept: dict[int, list[LiveOrder]],
        reduce_first: bool,
    ) -> None:
        """Share settled tokens out to the levels, best first, and note what each still needs."""
        smallest = self.instrument.smallest
        pool = settled
        for selling in kept.values():
            pool -= sum([known.remaining for known in selling if known.order.side is _SELL])
        for price, size in levels:
            orders = kept.get(price)
            resting = sum([known.remaining for known in orders]) if orders else 0
            if orders and reduce_first and pool >= smallest:
                resting = self._make_room(side_plan, orders, size, pool)
            missing = size - resting
            if missing > 0:
                pool = self._need(side_plan, price, missing, pool, resting > 0)
            if orders and pool >= smallest and any(o.order.side is not _SELL for o in orders):
                side_plan.could_reduce = True

    def _make_room(self, side_plan: SidePlan, orders: list[LiveOrder], size: int, pool: int) -> int:
        """Cancel resting buys whose size settled tokens can take over; return what stays."""
        selling = [known for known in orders if known.order.side is _SELL]
        opening = [known for known in orders if known.order.side is not _SELL]
        sold = sum(known.remaining for known in selling)
        left = max(0, size - sold - pool)
        _cancel_above(side_plan, opening, left + left * self.target.tolerance_percent // 100)
        return sold + sum(known.remaining for known in opening)

    def _need(self, side_plan: SidePlan, price: int, missing: int, pool: int, topping: bool) -> int:
        """Split what a level misses into selling and opening; return what is left of the pool."""
        smallest = self.instrument.smallest
        missing -= missing % self.instrument.lot
        selling = missing if missing < pool else pool
        if selling < smallest:
            selling = 0
        opening = missing - selling
        reason = None
        if not (side_plan.bid or self.instrument.product.opens_asks):
            if opening:
                reason = ResidualReason.NO_INVENTORY
                if missing < smallest or 0 < pool < smallest:
                    reason = _BELOW_MIN
        elif 0 < opening < smallest and not self._closes(side_plan.bid, opening):
            reason = _BELOW_MIN
        if reason is not None:
            if not topping or reason is not _BELOW_MIN:  # too small a change is left
                self._leave(reason, side_plan, price, opening)
            opening = 0
        if selling or opening:
            side_plan.needs.append((price, selling, opening))
        return pool - selling

    def _closes(self, bid: bool, size: int) -> bool:
        """Say whether a size only closes what is held of a signed position."""
        product, held = self.instrument.product, self.holding.yes
        side = product.opening_side(bid) if product.signed else None
        return side is not None and closing(held.settled, held.reserved, side, size) == size

    # -- Placing: from needs to drafts, within allowance, inventory, cash and our own orders -------

    def place(self, side_plan: SidePlan, need: LevelNeed, opposite: int) -> None:
        """Draft what one level needs, selling before opening, short of our own `opposite` level."""
        level, selling, opening = need
        if level >= opposite if side_plan.bid else level <= opposite:  # our own order (law F)
            self._leave(_OWN_CROSS, side_plan, level, selling + opening)
            return
        if selling:
            room, allowance = side_plan.sellable, side_plan.allowance
            room = room if room < allowance else allowance
            if room < selling:
                selling = self._waited(side_plan, level, selling, room)
            if selling:
                self._sell(side_plan, level, selling)
        if opening:
            if side_plan.allowance < opening:
                opening = self._waited(side_plan, level, opening, side_plan.allowance)
            if opening:
                self._open(side_plan, level, opening)

    def _waited(self, side_plan: SidePlan, level: int, size: int, room: int) -> int:
        """Cut a size to what proven ends leave room for; the rest waits."""
        instrument = self.instrument
        fits = room - room % instrument.lot if room >= instrument.smallest else 0
        side = _BUY if side_plan.bid else _SELL
        self.residuals.append(Residual(_WAITING_CANCEL, side, level, size - fits))
        return fits

    def _sell(self, side_plan: SidePlan, level: int, size: int) -> None:
        """Draft a sale of what is settled."""
        leg, price = self.instrument.product.sale(level, side_plan.bid)
        if self._draft(side_plan, leg, _SELL, level=level, price=price, size=size):
            side_plan.sellable -= size

    def _open(self, side_plan: SidePlan, level: int, size: int) -> None:
        """Draft a buy as far as free cash pays for it; what is held long or short, either way."""
        product = self.instrument.product
        if product.signed:
            self._trade(side_plan, level, size)
            return
        leg, price = product.opening(level, side_plan.bid)
        cost = self._cost(price, size)
        if cost > self.cash_free_micro:
            size = self._fitting(side_plan, level, size, partial(self._cost, price))
            if not size:
                return
            cost = self._cost(price, size)
        if self._draft(side_plan, leg, _BUY, level=level, price=price, size=size):
            self.cash_free_micro -= cost

    def _trade(self, side_plan: SidePlan, level: int, size: int) -> None:
        """Draft a trade of a signed position: what closes takes nothing, what opens its margin."""
        instrument, held = self.instrument, self.holding.yes
        leg, price = instrument.product.opening(level, side_plan.bid)
        side = instrument.product.opening_side(side_plan.bid)
        reserved = held.reserved + side_plan.closed
        closes = closing(held.settled, reserved, side, abs(held.settled))
        at = max(price, self.target.meets) if side is _SELL else price  # a sale may get more

        def cost(size: int) -> int:
            opened = max(0, size - closes)
            return instrument.opening_micro(at, opened, post_only=self.target.post_only)

        if cost(size) > max(0, self.cash_free_micro):
            size = self._fitting(side_plan, level, size, cost)
            if not size:
                return
        small = instrument.too_small(price, size, rests=self.target.post_only)
        if small and size > closes:
            self._leave(_BELOW_MIN, side_plan, level, size)
            return
        self._draft(side_plan, leg, side, level=level, price=price, size=size, exempt=small)
        if small:
            self.places[-1] = replace(self.places[-1], reduce_only=True)
        self.cash_free_micro -= cost(size)
        side_plan.closed += min(size, closes)

    def _fitting(
        self, side_plan: SidePlan, level: int, size: int, cost: Callable[[int], int]
    ) -> int:
        """Return the largest legal size that free cash pays for, 0 = none; leave the rest."""
        self.short = True
        lot, free = self.instrument.lot, max(0, self.cash_free_micro)
        low, high = 0, size // lot
        while low < high:
            middle = (low + high + 1) // 2
            if cost(middle * lot) <= free:
                low = middle
            else:
                high = middle - 1
        fits = low * lot
        if fits < self.instrument.smallest:
            fits = 0
        self._leave(_NO_CASH, side_plan, level, size - fits)
        if fits and crumb(self.instrument, fits, self._stands(side_plan)):
            self._leave(_DUST, side_plan, level, fits)
            return 0
        return fits

    def _stands(self, side_plan: SidePlan) -> int:
        """Return the size that is held, works or is drafted in a direction."""
        held = self.holding.position if side_plan.bid else -self.holding.position
        levels = self.target.bids if side_plan.bid else self.target.asks
        return max(0, held) + sum(size for _, size in levels) - side_plan.allowance

    def _cost(self, price: int, size: int) -> int:
        """Return what the buy may take at worst: cost rounded up, and a taker's fee if it takes."""
        cost = -(-price * size // self.instrument.value_divisor)
        if self.target.post_only:
            return cost
        return cost + self.instrument.taker_fee_micro(price, size)

    def _draft(
        self,
        side_plan: SidePlan,
        leg: Leg,
        side: Side,
        *,
        level: int,
        price: int,
        size: int,
        exempt: bool = False,
    ) -> bool:
        """Add a draft; False where it is below the venue's smallest value and not `exempt`."""
        target, instrument = self.target, self.instrument
        if (
            (instrument.resting_min_micro or not target.post_only)
            and instrument.worth_too_little(price, size, rests=target.post_only)
            and not exempt
        ):
            self._leave(_BELOW_MIN, side_plan, level, size)
            return False
        self.places.append(
            Draft(leg, side, price, size, target.type, target.post_only, self.expires_ns)
        )
        side_plan.allowance -= size
        if level > side_plan.best if side_plan.bid else level < side_plan.best:
            side_plan.best = level
        return True

    def _leave(self, reason: ResidualReason, side_plan: SidePlan, level: int, size: int) -> None:
        side = _BUY if side_plan.bid else _SELL
        self.residuals.append(Residual(reason, side, level, size))


def _cancel_above(side_plan: SidePlan, orders: list[LiveOrder], limit: int) -> None:
    """Cancel newest first what rests above a size."""
    total = sum([known.remaining for known in orders])
    while total > limit and orders:
        newest = orders.pop()
        side_plan.cancels.append(newest.order.id)
        total -= newest.remaining


# -- Renewing: resting orders that expire by themselves are replaced in time, one after the other --
# A venue takes an expiring order away by itself and says so afterwards; until it is received and
# placed again nothing rests. So an order is cancelled and placed anew shortly before: the gap is
# one round trip of a cancel, like that of any other replacement.


def ends_soon(known: LiveOrder, now_ns: int) -> bool:
    expires_ns = known.order.expires_ns
    return (
        expires_ns is not None and known.state in _RESTS and expires_ns - now_ns <= RENEW_EARLY_NS
    )


def renewed(made: Plan, working: Collection[LiveOrder], now_ns: int) -> Plan:
    """Add to a plan that asks for nothing the cancel of the one order that ends first, if any."""
    if made.places or made.cancels or any(known.state in _MOVES for known in working):
        return made
    ending = [known.order for known in working if ends_soon(known, now_ns)]
    if not ending:
        return made
    first = min(ending, key=lambda order: (order.expires_ns or 0, order.id))
    return Plan((), (first.id,), made.residuals)
