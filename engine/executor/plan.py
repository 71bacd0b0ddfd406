"""What a plan is made of: levels of an intent, orders that may be placed, and what is left over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from engine.domain.instruments import Instrument, Leg, Side
from engine.domain.intents import Quote, ResidualReason
from engine.domain.orders import Identity, Order, OrderId, OrderType


class AwaitedOrder(NamedTuple):
    """A journaled order of an instrument that is not listed yet."""

    order: Order
    identity: Identity | None
    """How the venue knows it; None = it may not have left."""


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
    reduce_only: bool = False
    """True = it is below the venue's minimum and only closes what its owner holds."""


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


CRUMB_PERCENT = 2
"""A limit or cash that is nearly used up leaves ever less room: 495, then 4.95, then 0.05. What
is less than this share of what stands already is no order that a person would place."""


def crumb(instrument: Instrument, size: int, stands: int) -> bool:
    """Say whether what cash or a limit left of a wish is too little beside what stands of it.

    `stands` is the size that is held or works in its direction. Where the venue states a smallest
    value, that decides alone.
    """
    return not instrument.notional_min_micro and size * 100 < stands * CRUMB_PERCENT


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
    meets: int = 0
    """The best price of the other side, where the one level takes at once."""


NO_LEVELS = TargetLevels((), (), OrderType.GTC, True, 0, [])


def reducing(levels: TargetLevels, position: int, lot: int) -> TargetLevels:
    """Return the levels that lead a position in YES-space towards zero, best first; no others.

    What is cut off is a residual of risk.
    """
    most = abs(position) - abs(position) % lot
    bids, asks = (0, most) if position > 0 else (most, 0)
    return msgspec.structs.replace(
        levels,
        bids=_first_of(levels.bids, bids, Side.BUY, levels.residuals),
        asks=_first_of(levels.asks, asks, Side.SELL, levels.residuals),
    )


def _first_of(
    quotes: Sequence[Quote], most: int, side: Side, residuals: list[Residual]
) -> list[Quote]:
    kept: list[Quote] = []
    for price, size in quotes:
        fits = min(size, most)
        most -= fits
        if fits:
            kept.append((price, fits))
        if fits < size:
            residuals.append(Residual(ResidualReason.RISK, side, price, size - fits))
    return kept


class Ahead(msgspec.Struct, frozen=True, gc=False):
    """The best levels of other owners: the highest bid and the lowest ask."""

    bid: int
    ask: int

    def joined(self, bid: bool, level: int) -> Ahead:
        """Return these with one more level."""
        if bid:
            return self if level <= self.bid else Ahead(level, self.ask)
        return self if level >= self.ask else Ahead(self.bid, level)


NOTHING_AHEAD = Ahead(-1, 1 << 62)
"""Levels no order has: prices are positive, and linear instruments have no highest one."""

ROOM_NS_MAX = 5 * 1_000_000_000
"""So long others make room for an order by hand that takes; then it is given up."""


class Room(msgspec.Struct, frozen=True, gc=False):
    """What an order by hand will take at, and until when others make room for it."""

    bid: bool
    level: int
    until_ns: int
