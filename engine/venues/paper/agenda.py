"""What is still to happen: a heap of moments, ties broken by the order in which they were made."""

from __future__ import annotations

import heapq
from enum import IntEnum
from typing import Any

from engine.errors import BrokenInvariant

AGENDA_MAX = 200_000
"""Most things under way at once; more means that nobody lets time pass."""


class PaperDue(IntEnum):
    """What happens at a moment."""

    ARRIVES = 0
    """A request reaches the venue."""
    MATCHES = 1
    """A delayed marketable order is matched."""
    EXPIRES = 2
    """A GTD order reaches its end."""
    SETTLES = 3
    """A fill is confirmed."""
    DELIVERS = 4
    """An answer or event reaches us."""


class PaperAgenda:
    """Moments in time order; of equal moments, first made, first served."""

    __slots__ = ("_made", "heap")

    def __init__(self) -> None:
        self.heap: list[tuple[int, int, PaperDue, Any]] = []
        self._made = 0

    def push(self, at_ns: int, due: PaperDue, what: Any) -> None:
        """Note that `what` happens at `at_ns`."""
        if len(self.heap) >= AGENDA_MAX:
            raise BrokenInvariant(f"more than {AGENDA_MAX} things under way at the paper venue")
        self._made += 1
        heapq.heappush(self.heap, (at_ns, self._made, due, what))

    def pop(self) -> tuple[int, int, PaperDue, Any]:
        """Take the earliest moment off."""
        return heapq.heappop(self.heap)

    def keep(self, due: PaperDue) -> None:
        """Drop everything but moments of this kind."""
        self.heap = [entry for entry in self.heap if entry[2] is due]
        heapq.heapify(self.heap)
