"""From a wish to levels: sizes in lots, prices on the grid, in range and behind the touch.

The result is in YES-space, best level first, one entry per price.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from engine.domain.events import BookMarked
from engine.domain.instruments import Instrument, Kind, Side
from engine.domain.intents import Quote, Quotes, ResidualReason, Target, Urgency
from engine.domain.money import ceil_to_tick, floor_to_tick
from engine.domain.orders import OrderType
from engine.executor.plan import Residual

# Members of enums are looked up once: an attribute of an Enum class costs ten of a module.
_BUY, _SELL = Side.BUY, Side.SELL
_BINARY = Kind.BINARY
_NO_TOP = 2**62
"""A price nothing reaches: linear instruments have no highest price."""
_DUST = ResidualReason.DUST
_OUT_OF_RANGE = ResidualReason.OUT_OF_RANGE


class TargetLevels(msgspec.Struct, gc=False):
    """Levels to realise and the style of the orders that shall realise them."""

    bids: Sequence[Quote]
    asks: Sequence[Quote]
    type: OrderType
    post_only: bool
    tolerance_percent: int
    residuals: list[Residual]
    expires_ns: int | None = None
    """Only for GTD."""


def wanted_of(
    wish: Quotes | Target | None,
    instrument: Instrument,
    position: int,
    mark: BookMarked | None,
    *,
    resting: OrderType,
    tolerance_percent: int,
) -> TargetLevels:
    """Return the levels of a wish. `resting` is the type of orders that rest: GTC or GTD."""
    wanted = TargetLevels((), (), resting, True, tolerance_percent, [])
    if wish is None:
        return wanted
    bid = ask = None
    if mark is not None:
        bid, ask = mark.best_bid, mark.best_ask
    if isinstance(wish, Quotes):
        _quotes(wanted, wish, instrument, bid, ask)
    else:
        _target(wanted, wish, instrument, position, (bid, ask))
    return wanted


def _quotes(
    wanted: TargetLevels, wish: Quotes, instrument: Instrument, bid: int | None, ask: int | None
) -> None:
    """Take the levels as they stand where nothing must be cut; else cut, round and reprice."""
    tick, lot = instrument.tick, instrument.lot
    top = instrument.one - tick if instrument.kind is _BINARY else _NO_TOP
    last = top + 1 if ask is None else min(ask - tick, top) + 1
    for price, size in wish.bids:
        # On the grid, in range, a tick behind the touch, in lots, and below the level before it.
        if price >= last or price < tick or price % tick or size % lot or size <= 0:
            wanted.bids = _bids(wish.bids, instrument, ask, top, wanted.residuals)
            break
        last = price
    else:
        wanted.bids = wish.bids
    last = tick - 1 if bid is None else max(bid, 0) + tick - 1
    for price, size in wish.asks:
        if price <= last or price > top or price % tick or size % lot or size <= 0:
            wanted.asks = _asks(wish.asks, instrument, bid, top, wanted.residuals)
            break
        last = price
    else:
        wanted.asks = wish.asks


def _bids(
    quotes: tuple[Quote, ...],
    instrument: Instrument,
    touch: int | None,
    top: int,
    residuals: list[Residual],
) -> list[Quote]:
    """Cut, round and reprice bids; `touch` is the ask they may not reach. Mirror of `_asks`."""
    tick, lot = instrument.tick, instrument.lot
    levels: dict[int, int] = {}
    for asked, size in quotes:
        rest = size % lot
        if rest or size <= 0:
            residuals.append(Residual(_DUST, _BUY, asked, rest))
            if size < lot:
                continue
        price = asked
        if touch is not None and price > touch - tick:
            price = touch - tick  # at least one tick behind the opposite touch (law S)
        price -= price % tick  # floor_to_tick
        if price < tick or price > top:
            residuals.append(Residual(_OUT_OF_RANGE, _BUY, asked, size - rest))
        else:
            levels[price] = levels.get(price, 0) + size - rest
    if len(levels) > 1:
        return sorted(levels.items(), reverse=True)
    return list(levels.items())


def _asks(
    quotes: tuple[Quote, ...],
    instrument: Instrument,
    touch: int | None,
    top: int,
    residuals: list[Residual],
) -> list[Quote]:
    """Cut, round and reprice asks; `touch` is the bid they may not reach. Mirror of `_bids`."""
    tick, lot = instrument.tick, instrument.lot
    levels: dict[int, int] = {}
    for asked, size in quotes:
        rest = size % lot
        if rest or size <= 0:
            residuals.append(Residual(_DUST, _SELL, asked, rest))
            if size < lot:
                continue
        price = asked
        if touch is not None and price < touch + tick:
            price = touch + tick  # at least one tick behind the opposite touch (law S)
        price += -price % tick  # ceil_to_tick
        if price < tick or price > top:
            residuals.append(Residual(_OUT_OF_RANGE, _SELL, asked, size - rest))
        else:
            levels[price] = levels.get(price, 0) + size - rest
    if len(levels) > 1:
        return sorted(levels.items())
    return list(levels.items())


def _target(
    wanted: TargetLevels,
    wish: Target,
    instrument: Instrument,
    position: int,
    touch: tuple[int | None, int | None],
) -> None:
    """Turn a position into the one level that leads there, worked as its urgency says.

    A target is a promise of a position, so nothing larger than the difference is left resting.
    """
    wanted.tolerance_percent = 0
    missing = wish.position - position
    if missing == 0:
        return
    buying = missing > 0
    size = abs(missing)
    side = _BUY if buying else _SELL
    opposite = touch[1] if buying else touch[0]
    price = _limit_on_grid(wish.limit_price, instrument, buying=buying)
    if wish.urgency is not Urgency.REST:
        wanted.type = OrderType.FAK if wish.urgency is Urgency.CROSS else OrderType.FOK
        wanted.post_only = False
        if opposite is None or (opposite > price if buying else opposite < price):
            wanted.residuals.append(Residual(ResidualReason.NOT_MARKETABLE, side, price, size))
            return
        opposite = None
    top = instrument.one - instrument.tick if instrument.kind is _BINARY else _NO_TOP
    if buying:
        wanted.bids = _bids(((price, size),), instrument, opposite, top, wanted.residuals)
    else:
        wanted.asks = _asks(((price, size),), instrument, opposite, top, wanted.residuals)


def _limit_on_grid(limit: int, instrument: Instrument, *, buying: bool) -> int:
    """Return the worst price on the grid that is no worse than the limit.

    A limit of certainty or of nothing means any price, so it is drawn into the range.
    """
    tick = instrument.tick
    if buying:
        price = floor_to_tick(limit, tick)
        return min(price, instrument.one - tick) if instrument.kind is _BINARY else price
    return max(ceil_to_tick(limit, tick), tick)
