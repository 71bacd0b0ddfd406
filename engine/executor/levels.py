"""Levels of an intent, in lots, on the grid, behind the touch; and what a plan is made of.

The levels are in YES-space, best level first, one entry per price.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from engine.domain.events import BookMarked
from engine.domain.instruments import Instrument, Kind, Leg, Side
from engine.domain.intents import Quote, Quotes, ResidualReason, Target, Urgency
from engine.domain.money import ceil_to_tick, floor_to_tick
from engine.domain.orders import OrderId, OrderType
from engine.executor.settings import MS, ExecutorSettings

# Members of enums are looked up once: an attribute of an Enum class costs ten of a module.
_BUY, _SELL = Side.BUY, Side.SELL
_BINARY = Kind.BINARY
_NO_TOP = 2**62
"""A price nothing reaches: linear instruments have no highest price."""
_DUST = ResidualReason.DUST
_OUT_OF_RANGE = ResidualReason.OUT_OF_RANGE


Need = tuple[int, int, int]
"""(level in YES-space, size to sell of what is settled, size to open)."""


class Draft(msgspec.Struct, frozen=True, gc=False):
    """An order that may be placed. Price and size in the leg's own increments."""

    leg: Leg
    side: Side
    price: int
    size: int
    type: OrderType
    post_only: bool
    expires_ns: int | None = None
    """Only for GTD."""


class Residual(msgspec.Struct, frozen=True, gc=False):
    """What of an intent is not expressed as an order, and why. Side and price in YES-space."""

    reason: ResidualReason
    side: Side
    price: int
    size: int


class Plan(msgspec.Struct, frozen=True, gc=False):
    """What to place, what to cancel, what is left over."""

    places: tuple[Draft, ...]
    cancels: tuple[OrderId, ...]
    residuals: tuple[Residual, ...]


NO_PLAN = Plan((), (), ())


class TargetLevels(msgspec.Struct, gc=False):
    """Levels to realise and the style of the orders that shall realise them."""

    bids: Sequence[Quote]
    asks: Sequence[Quote]
    type: OrderType
    post_only: bool
    tolerance_percent: int
    residuals: list[Residual]
    """What of the intent is no legal level."""
    life_ns: int | None = None
    """After how long they end by themselves. Only for GTD."""


NO_LEVELS = TargetLevels((), (), OrderType.GTC, True, 0, [])


def wanted_of(
    intent: Quotes | Target | None,
    instrument: Instrument,
    position: int,
    mark: BookMarked | None,
    settings: ExecutorSettings,
) -> TargetLevels:
    """Return the levels of an intent; none for no intent. Where quotes rest, `position` is 0."""
    wanted = TargetLevels((), (), OrderType.GTC, True, settings.resize_tolerance_percent, [])
    if settings.gtd_ms is not None:
        wanted.type, wanted.life_ns = OrderType.GTD, settings.gtd_ms * MS
    if intent is None:
        return wanted
    bid = ask = None
    if mark is not None:
        bid, ask = mark.best_bid, mark.best_ask
    if isinstance(intent, Quotes):
        wanted.bids = _cut(intent.bids, instrument, ask, wanted.residuals, bid=True)
        wanted.asks = _cut(intent.asks, instrument, bid, wanted.residuals, bid=False)
    else:
        _target(wanted, intent, instrument, position, (bid, ask))
    return wanted


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
    top = instrument.one - tick if instrument.kind is _BINARY else _NO_TOP
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
    return sorted(levels.items(), reverse=bid)


def _target(
    wanted: TargetLevels,
    intent: Target,
    instrument: Instrument,
    position: int,
    touch: tuple[int | None, int | None],
) -> None:
    """Turn a position into the one level that leads there, worked as its urgency says.

    A target is a promise of a position, so nothing larger than the difference is left resting.
    """
    wanted.tolerance_percent = 0
    missing = intent.position - position
    if missing == 0:
        return
    buying = missing > 0
    size = abs(missing)
    side = _BUY if buying else _SELL
    opposite = touch[1] if buying else touch[0]
    price = _limit_on_grid(intent.limit_price, instrument, buying=buying)
    if intent.urgency is not Urgency.REST:
        wanted.type = OrderType.FAK if intent.urgency is Urgency.CROSS else OrderType.FOK
        wanted.post_only, wanted.life_ns = False, None
        if opposite is None or (opposite > price if buying else opposite < price):
            wanted.residuals.append(Residual(ResidualReason.NOT_MARKETABLE, side, price, size))
            return
        opposite = None
    levels = _cut(((price, size),), instrument, opposite, wanted.residuals, bid=buying)
    if buying:
        wanted.bids = levels
    else:
        wanted.asks = levels


def _limit_on_grid(limit: int, instrument: Instrument, *, buying: bool) -> int:
    """Return the worst price on the grid that is no worse than the limit.

    A limit of certainty or of nothing means any price, so it is drawn into the range.
    """
    tick = instrument.tick
    if buying:
        price = floor_to_tick(limit, tick)
        return min(price, instrument.one - tick) if instrument.kind is _BINARY else price
    return max(ceil_to_tick(limit, tick), tick)
