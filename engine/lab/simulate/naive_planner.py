"""The planner in ten lines: how much of an order a wish allows, given what may still fill.

Slow truth beside fast code: it knows nothing of legs, minimums, cash or queue positions, only that
per direction no more may be alive than is wished for, and at no better price than wished.
"""

from __future__ import annotations

from engine.domain.instruments import Leg, Side
from engine.domain.intents import Quotes, Target
from engine.domain.orders import Order


def bid_and_level(order: Order, one: int) -> tuple[bool, int]:
    """Return an order's direction and price in YES-space."""
    yes = order.leg is not Leg.NO
    return (order.side is Side.BUY) is yes, order.price if yes else one - order.price


def room(wish: Quotes | Target, *, bid: bool, level: int, position: int, alive: int) -> int:
    """Return how large an order at this level may be. `alive` is what may fill in its direction."""
    if isinstance(wish, Target):
        missing = wish.position - position if bid else position - wish.position
        fair = level <= wish.limit_price if bid else level >= wish.limit_price
        return missing - alive if fair else 0
    quotes = wish.bids if bid else wish.asks
    total = sum(size for _, size in quotes)
    here = sum(size for price, size in quotes if (price >= level if bid else price <= level))
    return min(total - alive, here)
