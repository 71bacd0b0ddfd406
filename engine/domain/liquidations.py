"""Whose a liquidation was: the owners of a position that a venue nets, in the order of the venue.

A venue closes what an account holds, and knows of no owners. Those in its direction share it by
what they held when it happened. What is booked here comes in another order: a fill may be reported
after the liquidation that closed it, and a liquidation after fills that were made behind it. So
what changed a position is kept for a while, in the venue's order, and a liquidation is shared anew
where something comes that was before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec

from engine.domain.instruments import UNASSIGNED, BotId
from engine.domain.owners import shares

FACTS_MAX = 256
"""Changes of one position that are kept: what comes still later counts as before all of them."""


def liquidated_parts(held: Mapping[BotId, int], size: int) -> list[tuple[BotId, int]]:
    """Return whose position a liquidation of a signed size closed, pro rata.

    Those that hold in its direction share it by their sizes, each at most what it holds. What none
    of them holds was `unassigned`'s.
    """
    there = {owner: held[owner] for owner in sorted(held) if held[owner] * size > 0}
    known = sum(there.values())
    if known and abs(size) <= abs(known):
        return list(zip(there, shares(size, list(there.values())), strict=True))
    there[UNASSIGNED] = there.get(UNASSIGNED, 0) + size - known
    return list(there.items())


class LiquidationPart(NamedTuple):
    """What an owner lost of a liquidation by a news: signed size and value, and what was kept.

    A size of the other sign goes back to it, with its part of value and fee.
    """

    owner: BotId
    size: int
    value_micro: int
    fee_micro: int


class PositionFact(msgspec.Struct, array_like=True):
    """One change of what the owners of a position hold."""

    at_ns: int
    """When, by the venue; where it does not say, as the one before it."""
    sizes: dict[BotId, int]
    """What each owner got (+) or lost (-) by it."""
    closed: int = 0
    """The signed size that a liquidation closed; 0 = it was none."""
    value_micro: int = 0
    fee_micro: int = 0
    booked_ns: int = 0

    def lacks(self, size: int, ordered_ns: int) -> bool:
        """Say whether it closed something like this, which no owner was known to hold then."""
        known_before = ordered_ns <= self.booked_ns
        return self.closed * size > 0 and known_before and UNASSIGNED in self.sizes

    def share(self, held: Mapping[BotId, int]) -> list[LiquidationPart]:
        """Share a liquidation among those who held these; return what that changes."""
        parts = dict(liquidated_parts(held, self.closed))
        owners = sorted({*parts, *self.sizes})
        moved = [parts.get(owner, 0) + self.sizes.get(owner, 0) for owner in owners]
        self.sizes = {owner: -part for owner, part in parts.items() if part}
        values, fees = (self._along(one, moved) for one in (self.value_micro, self.fee_micro))
        found = zip(owners, moved, values, fees, strict=True)
        return [LiquidationPart(*part) for part in found if part[1]]

    def _along(self, whole: int, sizes: Iterable[int]) -> list[int]:
        """Return the parts of a value that go with sizes of all that was closed.

        By the running sum, as `shares` does, and to the unit the other way where a size goes back.
        """
        parts, upto, before = [], 0, 0
        for size in sizes:
            upto += size
            now = whole * abs(upto) // abs(self.closed) * (1 if upto * self.closed >= 0 else -1)
            parts.append(now - before)
            before = now
        return parts


class PositionFacts(msgspec.Struct):
    """What changed a position that a venue may liquidate: the last of it, in the venue's order."""

    kept: list[PositionFact] = []

    def add_fill(
        self, owner: BotId, size: int, *, matched_ns: int = 0, ordered_ns: int = 0
    ) -> bool:
        """Keep a fill; True = a liquidation came after it and is booked: `share` anew.

        `matched_ns` = by the venue, 0 = it does not say. Then, and at one time, a fill was before a
        liquidation that lacks it, whose order had been made by then.
        """
        place, end = len(self.kept), self._end_ns
        if matched_ns <= end:
            for place, fact in enumerate(self.kept):  # noqa: B007 - where it stops
                unsaid = matched_ns in (0, fact.at_ns)
                if fact.at_ns > matched_ns > 0 or (unsaid and fact.lacks(size, ordered_ns)):
                    break
            else:
                place = len(self.kept)
        at_ns = matched_ns or (self.kept[place].at_ns if place < len(self.kept) else end)
        return self._insert(place, PositionFact(at_ns, {owner: size}))

    def add_move(self, sizes: dict[BotId, int]) -> None:
        """Keep what owners gave one another, or got from elsewhere: behind all that is known."""
        self._insert(len(self.kept), PositionFact(self._end_ns, sizes))

    def add_liquidation(
        self, size: int, value_micro: int, fee_micro: int, *, at_ns: int, booked_ns: int
    ) -> None:
        """Keep a liquidation of a size that is not 0, then `share`. `at_ns` 0 = not said."""
        place, at_ns = len(self.kept), at_ns or self._end_ns
        while place and self.kept[place - 1].at_ns > at_ns:
            place -= 1
        fact = PositionFact(at_ns, {}, size, value_micro, fee_micro, booked_ns)
        self._insert(place, fact)

    def share(self, held: Mapping[BotId, int]) -> list[LiquidationPart]:
        """Share every liquidation by what was held when it was; return what that changes.

        `held` = by all that is booked, before these changes.
        """
        now = dict(held)
        for fact in self.kept:
            _add(now, fact.sizes, -1)
        parts: list[LiquidationPart] = []
        for fact in self.kept:
            if fact.closed:
                parts += fact.share(now)
            _add(now, fact.sizes, 1)
        return parts

    def held_at(self, at_ns: int, held: Mapping[BotId, int]) -> dict[BotId, int]:
        """Return what owners held at a time of the venue's, by what they hold now.

        Nothing where that reaches back behind what is kept, or times are not known.
        """
        if not self.kept or not 0 < self.kept[0].at_ns <= at_ns:
            return {}
        then = dict(held)
        for fact in self.kept:
            if fact.at_ns > at_ns:
                _add(then, fact.sizes, -1)
        return {owner: size for owner, size in then.items() if size}

    @property
    def _end_ns(self) -> int:
        return self.kept[-1].at_ns if self.kept else 0

    def _insert(self, place: int, fact: PositionFact) -> bool:
        self.kept.insert(place, fact)
        late = any(one.closed for one in self.kept[place + 1 :])
        del self.kept[:-FACTS_MAX]
        return late


def _add(held: dict[BotId, int], sizes: Mapping[BotId, int], sign: int) -> None:
    for owner, size in sizes.items():
        held[owner] = held.get(owner, 0) + sign * size
