"""Numbers of one account's orders: those made here, and the floor of those to come.

The floor rises above every number that a venue or a person names, so that none is used twice. That
proves nothing about the past: a number that was not made here and that the venue knows means that
the journal lacks what came after it (a copy of the home put back, a lost end).
"""

from __future__ import annotations

from bisect import bisect_right

import msgspec

from engine.domain.orders import OrderId

RANGES_MAX = 1_000
"""Ranges kept apart; beyond it the oldest two become one."""


class OrderNumbers(msgspec.Struct, kw_only=True):
    """What was made here, as ranges in rising order, ends included; and the floor."""

    made: list[tuple[int, int]] = []
    floor: int = 0
    """New orders are numbered above it."""

    @property
    def last(self) -> int:
        """The highest number made here; 0 = none."""
        return self.made[-1][1] if self.made else 0

    def make(self, number: OrderId) -> None:
        """Note an order of ours: new, or read back from the journal."""
        made, last = self.made, self.last
        if number > self.floor:
            # Numbers between are of plans that were taken back; those up to a raised floor are not.
            if made and last == self.floor:
                made[-1] = (made[-1][0], number)
            else:
                made.append((self.floor + 1, number))
            self.floor = number
        elif not self.has(number):
            self._put(number)
        if len(made) > RANGES_MAX:
            made[:2] = [(made[0][0], made[1][1])]

    def has(self, number: int) -> bool:
        """Say whether a number was made here, or a person has answered for it; 0 is no number."""
        made = self.made
        at = bisect_right(made, (number, number)) - 1
        below = at >= 0 and made[at][1] >= number
        begins = at + 1 < len(made) and made[at + 1][0] == number
        return number <= 0 or below or begins

    def raise_floor(self, number: int) -> None:
        """Let no new order have this number or one below it."""
        self.floor = max(self.floor, number)

    def answer_for(self, number: int) -> None:
        """Count a number as made: a person has looked at what the venue knows under it."""
        if not self.has(number):
            self._put(number)
            self.floor = max(self.floor, self.last)

    def _put(self, number: int) -> None:
        self.made.insert(bisect_right(self.made, (number, number)), (number, number))
