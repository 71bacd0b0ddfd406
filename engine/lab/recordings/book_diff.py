"""The level changes between two full books: what a venue's own deltas would have said.

Two frames of one book share most of their levels, and a shared level is the very same tuple (the
readers keep one per text), so comparing by identity finds what moved without looking at the rest.
"""

from __future__ import annotations

from itertools import compress, count
from operator import is_not

from engine.domain.books import Level
from engine.domain.instruments import Side

Sides = tuple[tuple[Level, ...], tuple[Level, ...]]
"""Bids and asks in YES-space."""

Changes = tuple[tuple[Side, int, int], ...]


def changes_between(before: Sides, after: Sides) -> Changes:
    """Return (side, price, new size) for every level that differs; size 0 = gone."""
    changes: list[tuple[Side, int, int]] = []
    _side(changes, Side.BUY, before[0], after[0])
    _side(changes, Side.SELL, before[1], after[1])
    return tuple(changes)


def _side(
    changes: list[tuple[Side, int, int]],
    side: Side,
    old: tuple[Level, ...],
    new: tuple[Level, ...],
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
