"""What a trade was, read from two full books and the last trade price between them.

Book-only recordings hold no trade prints. The last trade price stands in the token of the resting
order, whichever of the two it was: L means a trade at L or at 1 − L of the YES token. 99.5 % lie on
a touch of the book before or after, and the touch says who took: the bid was hit or the ask lifted.
The size is the fall of the traded level where it fell, else nobody knows it (architecture §11).
"""

from __future__ import annotations

from typing import NamedTuple

from engine.domain.books import Level
from engine.domain.fills import SizeSource
from engine.domain.instruments import Side
from engine.feeds.polymarket.book_hash import Sides
from engine.feeds.polymarket.numbers import ONE


class InferredTrade(NamedTuple):
    """A trade in YES-space. `aggressor` None = ambiguous; `size` None = unknown."""

    price: int
    aggressor: Side | None
    size: int | None
    source: SizeSource


def read_trade(last: int, before: Sides | None, after: Sides) -> InferredTrade:
    """Return what traded at `last` (YES-space increments; 1 − last is the other reading).

    `before` None = the book before the trade is not known: no size then.
    """
    readings = [last] if last * 2 == ONE else [last, ONE - last]
    taken = _at_touch(readings, before) if before is not None else []
    if not taken:
        taken = _at_touch(readings, after)
    if len(taken) != 1:
        price = _nearest(readings, before if before is not None else after)
        return InferredTrade(price, None, None, SizeSource.UNKNOWN)
    aggressor, price = taken[0]
    if before is None:
        return InferredTrade(price, aggressor, None, SizeSource.UNKNOWN)
    side = 0 if aggressor is Side.SELL else 1
    fall = size_at(before[side], price) - size_at(after[side], price)
    if fall <= 0:
        return InferredTrade(price, aggressor, None, SizeSource.UNKNOWN)
    return InferredTrade(price, aggressor, fall, SizeSource.INFERRED)


def size_at(levels: tuple[Level, ...], price: int) -> int:
    """Return the size at a price of a side that is ordered best last, 0 where there is none.

    Looks from the best on: what trades is at the touch or next to it.
    """
    rising = len(levels) < 2 or levels[0][0] < levels[-1][0]
    for level_price, size in reversed(levels):
        if level_price == price:
            return size
        if (level_price < price) is rising:
            return 0  # deeper levels are further away still
    return 0


def _at_touch(readings: list[int], sides: Sides) -> list[tuple[Side, int]]:
    """Return the ways in which one of the readings is the best bid or ask."""
    bids, asks = sides
    taken = []
    for price in readings:
        if bids and bids[-1][0] == price:
            taken.append((Side.SELL, price))
        if asks and asks[-1][0] == price:
            taken.append((Side.BUY, price))
    return taken


def _nearest(readings: list[int], sides: Sides) -> int:
    """Return the reading nearer to the book's middle; the token's own where both are as near."""
    bids, asks = sides
    middle2 = (bids[-1][0] if bids else 0) + (asks[-1][0] if asks else ONE)
    return min(readings, key=lambda price: abs(2 * price - middle2))
