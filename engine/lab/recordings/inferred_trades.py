"""What a trade was, read from two full books and the last trade price between them.

Book-only recordings hold no trade prints. The last trade price stands in the token of the resting
order, whichever of the two it was: L means a trade at L or at 1 − L of the YES token. 99.5 % lie on
a touch of the book before or after, and the touch says who took: the bid was hit or the ask lifted.
The size is the fall of the traded level where it fell, else it is unknown (architecture §11).

A fall holds the cancels since the last frame, too, and the more of them the longer that is past: on
average it is 13 shares after 1 to 3 ms, 125 after 300 to 1,000 ms. So most sizes are too large, and
a cap at a quantile of real prints tells how much of a result hangs on that.
"""

from __future__ import annotations

from itertools import compress, count
from operator import is_not
from typing import NamedTuple

from engine.domain.books import Level
from engine.domain.fills import SizeSource
from engine.domain.instruments import Side
from engine.errors import BadInput
from engine.venues.polymarket.market.book_hash import Sides
from engine.venues.polymarket.market.numbers import ONE, SIZE_DECIMALS, units

Changes = tuple[tuple[Side, int, int], ...]


def changes_between(before: Sides, after: Sides) -> Changes:
    """Return (side, price, new size) for every level that differs; size 0 = gone."""
    changes: list[tuple[Side, int, int]] = []
    _side(changes, Side.BUY, before[0], after[0])
    _side(changes, Side.SELL, before[1], after[1])
    return tuple(changes)


def _side(
    changes: list[tuple[Side, int, int]], side: Side, old: tuple[Level, ...], new: tuple[Level, ...]
) -> None:
    if len(old) == len(new):
        places = list(compress(count(), map(is_not, old, new)))
        began = len(changes)
        for at in places:
            price, size = new[at]
            before, was_size = old[at]
            if before != price:
                break
            if size != was_size:
                changes.append((side, price, size))
        else:
            return  # no level came or went: most frames
        del changes[began:]
        gone = [old[at] for at in places]
        come = [new[at] for at in places]
    else:
        shorter = min(len(old), len(new))
        head = next(compress(count(), map(is_not, old, new)), shorter)
        tail = next(compress(count(), map(is_not, reversed(old), reversed(new))), shorter)
        tail = min(tail, shorter - head)
        gone = list(old[head : len(old) - tail])
        come = list(new[head : len(new) - tail])
    if not gone and not come:
        return
    was = dict(gone)
    for price, size in come:
        if was.pop(price, 0) != size:
            changes.append((side, price, size))
    changes.extend((side, price, 0) for price in was)


REAL_SIZES = {"p50": "10", "p75": "21.05", "p90": "62.02", "p95": "104.17", "p99": "411"}
"""Quantiles of the shares of 846 prints in BTC five-minute markets, all that the venue's public
trades show of 90 s on 2026-02-28. From outside the recordings: no cap looks ahead in one."""

CAP_SHARES_MAX = 1_000_000_000


class InferredTrade(NamedTuple):
    """A trade in YES-space. `aggressor` None = ambiguous; `size` None = unknown."""

    price: int
    aggressor: Side | None
    size: int | None
    source: SizeSource


def size_cap(text: str) -> int:
    """Return a cap in size increments, from a quantile's name or shares. Raises BadInput."""
    try:
        cap = units(REAL_SIZES.get(text, text), SIZE_DECIMALS, "size")
    except BadInput:
        cap = 0
    if not 0 < cap <= CAP_SHARES_MAX * 10**SIZE_DECIMALS:
        known = ", ".join(f"{name} ({shares} shares)" for name, shares in REAL_SIZES.items())
        raise BadInput(f"write a number of shares above 0, or a quantile of real prints: {known}")
    return cap


def read_trade(
    last: int, before: Sides | None, after: Sides, size_max: int | None = None
) -> InferredTrade:
    """Return what traded at `last` (YES-space increments; 1 − last is the other reading).

    `before` None = the book before the trade is not known: no size then. `size_max` caps a size.
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
    size = fall if size_max is None else min(fall, size_max)
    return InferredTrade(price, aggressor, size, SizeSource.INFERRED)


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
