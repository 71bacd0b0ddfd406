"""Virtual time: the moment of the exchange and everything that is due later.

Ties are broken by the order in which the timers were set, so that a run depends on nothing but
its inputs. Timers are plain tuples: they are part of the exchange's state.
"""

from __future__ import annotations

from enum import IntEnum
from heapq import heappop, heappush

from engine.errors import BrokenInvariant

TIMERS_MAX = 2_000_000


class TimelineEntry(IntEnum):
    """What a timer is for."""

    SETTLE = 0
    EXPIRE = 1
    RELEASE = 2
    HEARTBEAT = 3
    MODE = 4
    ACTOR = 5
    FORGET = 6
    REDEEM = 7


Timer = tuple[int, int, int, str, int]
"""(at_ns, sequence, Due, name, number)."""


class Timeline:
    """The present moment and a heap of timers."""

    __slots__ = ("now_ns", "sequence", "timers")

    def __init__(self, now_ns: int) -> None:
        self.now_ns = now_ns
        self.sequence = 0
        self.timers: list[Timer] = []

    def set(self, at_ns: int, due: TimelineEntry, name: str = "", number: int = 0) -> None:
        """Set a timer; one in the past is due at once. O(log n)."""
        if len(self.timers) >= TIMERS_MAX:
            raise BrokenInvariant(f"more than {TIMERS_MAX} timers on the demo exchange")
        self.sequence += 1
        heappush(self.timers, (max(at_ns, self.now_ns), self.sequence, int(due), name, number))

    @property
    def due_ns(self) -> int | None:
        """Return when the next timer is due, None where there is none."""
        return self.timers[0][0] if self.timers else None

    def pop(self, until_ns: int) -> Timer | None:
        """Take the next timer due at or before `until_ns` and move the moment to it."""
        timers = self.timers
        if not timers or timers[0][0] > until_ns:
            return None
        timer = heappop(timers)
        self.now_ns = timer[0]
        return timer

    def reach(self, now_ns: int) -> None:
        """Move the moment forward. Raises BrokenInvariant where time would run backwards."""
        if now_ns < self.now_ns:
            raise BrokenInvariant(f"time ran backwards: {now_ns} after {self.now_ns}")
        self.now_ns = now_ns
