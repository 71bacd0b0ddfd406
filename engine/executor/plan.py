"""Plans: the legal orders that realise a wish, and what could not be expressed."""

from __future__ import annotations

import msgspec

from engine.domain.instruments import Leg, Side
from engine.domain.intents import ResidualReason
from engine.domain.orders import OrderId, OrderType

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
    """A part of a wish that is not expressed as an order, and why. Side and price in YES-space."""

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
