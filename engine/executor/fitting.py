"""Fitting: which live orders of one direction stay, which go, and what is missing at each level.

Little churn: an order at a wanted price stays, also on the other leg; too much at a price goes
newest first; too little is topped up if the difference is a legal order, else left.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from engine.domain.instruments import Instrument, Kind, Side
from engine.domain.intents import Quote, ResidualReason
from engine.domain.orders import OrderId, OrderState, OrderType
from engine.executor.holdings import Holding
from engine.executor.levels import TargetLevels
from engine.executor.plan import Need, Residual
from engine.executor.table import LiveOrder

_BUY, _SELL = Side.BUY, Side.SELL
_BINARY = Kind.BINARY
_BELOW_MIN = ResidualReason.BELOW_MIN
_OPEN, _PARTIAL = OrderState.OPEN, OrderState.PARTIAL
_SENT, _PENDING, _UNKNOWN = OrderState.SENT, OrderState.PENDING, OrderState.UNKNOWN
_FAK, _FOK = OrderType.FAK, OrderType.FOK


class SidePlan(msgspec.Struct, gc=False):
    """One direction of a plan, bids or asks."""

    wanted: TargetLevels
    instrument: Instrument
    bid: bool
    opens: bool
    """False where nothing can be opened in this direction (asks of a linear instrument)."""
    smallest: int
    """The smallest legal size."""
    needs: list[Need]
    cancels: list[OrderId]
    allowance: int
    """What may be placed: wanted less everything alive."""
    sellable: int
    """Settled tokens no live order has committed."""
    could_reduce: bool
    """True where a resting buy could be replaced by selling settled tokens."""


def fit(
    wanted: TargetLevels,
    instrument: Instrument,
    holding: Holding,
    live: list[LiveOrder],
    *,
    bid: bool,
    reduce_first: bool,
) -> SidePlan:
    """Match one direction's levels with its live orders; residuals go to the wanted's own."""
    levels = wanted.bids if bid else wanted.asks
    binary = instrument.kind is _BINARY
    smallest = instrument.smallest
    half = SidePlan(wanted, instrument, bid, binary or bid, smallest, [], [], 0, 0, False)
    if not levels and not live:
        return half
    settled = 0
    if binary or not bid:  # a linear bid has nothing to sell
        settled = holding.no.settled if bid else holding.yes.settled
    settled = settled - settled % instrument.lot if settled > 0 else 0
    alive = committed = 0
    kept: dict[int, list[LiveOrder]] = {}
    if live:
        alive, committed = _sort_out(half, dict(levels), live, kept)
        if kept:
            _trim(half, levels, kept)
    for _, size in levels:
        half.allowance += size
    half.allowance -= alive
    half.sellable = settled - committed
    if kept or settled >= smallest or not half.opens:
        _missing(half, levels, settled, kept, reduce_first)
        return half
    for price, size in levels:  # nothing rests and nothing can be sold: open it all
        if size >= smallest:
            half.needs.append((price, 0, size))
        else:
            _need(half, price, size, 0, False)
    return half


def _sort_out(
    half: SidePlan,
    sizes: dict[int, int],
    live: list[LiveOrder],
    kept: dict[int, list[LiveOrder]],
) -> tuple[int, int]:
    """Keep orders of the wanted style and price, cancel the others; return (alive, in sells)."""
    wanted = half.wanted
    alive = committed = 0
    for known in live:
        order, state = known.order, known.state
        alive += known.remaining
        if order.side is _SELL:
            committed += known.remaining
        cancellable = state is _OPEN or state is _PARTIAL or state is _SENT or state is _PENDING
        fits = (
            known.level in sizes
            and order.type is wanted.type
            and order.post_only is wanted.post_only
        )
        if fits:
            if cancellable:
                kept.setdefault(known.level, []).append(known)
            continue  # UNKNOWN, CANCELLING and DELAYED are counted and waited for
        if order.type is _FAK or order.type is _FOK:
            continue  # ends by itself
        if cancellable or (state is _UNKNOWN and not known.cancel_asked):
            half.cancels.append(order.id)
    return alive, committed


def _trim(half: SidePlan, levels: Sequence[Quote], kept: dict[int, list[LiveOrder]]) -> None:
    """Cancel newest first where a level rests with more than it may."""
    tolerance = half.wanted.tolerance_percent
    for price, size in levels:
        orders = kept.get(price, [])
        if orders:
            _cancel_above(half, orders, size + size * tolerance // 100)


def _cancel_above(half: SidePlan, orders: list[LiveOrder], limit: int) -> None:
    total = sum([known.remaining for known in orders])
    while total > limit and orders:
        newest = orders.pop()
        half.cancels.append(newest.order.id)
        total -= newest.remaining


def _missing(
    half: SidePlan,
    levels: Sequence[Quote],
    settled: int,
    kept: dict[int, list[LiveOrder]],
    reduce_first: bool,
) -> None:
    """Share settled tokens out to the levels, best first, and note what each still needs."""
    smallest = half.smallest
    pool = settled
    for selling in kept.values():
        pool -= sum([known.remaining for known in selling if known.order.side is _SELL])
    for price, size in levels:
        orders = kept.get(price)
        resting = sum([known.remaining for known in orders]) if orders else 0
        if orders and reduce_first and pool >= smallest:
            resting = _make_room(half, orders, size, pool)
        missing = size - resting
        if missing > 0:
            pool = _need(half, price, missing, pool, resting > 0)
        if orders and pool >= smallest and any(o.order.side is not _SELL for o in orders):
            half.could_reduce = True


def _make_room(half: SidePlan, orders: list[LiveOrder], size: int, pool: int) -> int:
    """Cancel resting buys whose size settled tokens can take over; return what stays."""
    selling = [known for known in orders if known.order.side is _SELL]
    opening = [known for known in orders if known.order.side is not _SELL]
    sold = sum(known.remaining for known in selling)
    left = max(0, size - sold - pool)
    _cancel_above(half, opening, left + left * half.wanted.tolerance_percent // 100)
    return sold + sum(known.remaining for known in opening)


def _need(half: SidePlan, price: int, missing: int, pool: int, topping: bool) -> int:
    """Split what a level misses into selling and opening; return what is left of the pool."""
    smallest = half.smallest
    missing -= missing % half.instrument.lot
    selling = min(pool, missing)
    if selling < smallest:
        selling = 0
    opening = missing - selling
    reason = None
    if not half.opens:
        if opening:
            reason = ResidualReason.NO_INVENTORY
            if missing < smallest or 0 < pool < smallest:
                reason = _BELOW_MIN
    elif 0 < opening < smallest:
        reason = _BELOW_MIN
    if reason is not None:
        if not topping or reason is not _BELOW_MIN:  # too small a change is left
            side = _BUY if half.bid else _SELL
            half.wanted.residuals.append(Residual(reason, side, price, opening))
        opening = 0
    if selling or opening:
        half.needs.append((price, selling, opening))
    return pool - selling
