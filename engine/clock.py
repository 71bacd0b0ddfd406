"""The clock: the only place that asks the machine what time it is. Nanoseconds UTC."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from engine.errors import BrokenInvariant

JUMP_NS_MAX = 2_000_000_000
"""How far wall and monotonic time may part before no one trades on either (law M)."""


class Clock(Protocol):
    """Tells the time. Two readings never go backwards."""

    def now_ns(self) -> int:
        """Return the time in nanoseconds UTC."""
        ...


class WallClock:
    """UTC as it was at start, carried on by the monotonic clock.

    So a wall clock that somebody sets never moves a timer; `jump_ns` tells that it happened.
    """

    def __init__(
        self,
        wall_ns: Callable[[], int] = time.time_ns,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._wall_ns = wall_ns
        self._monotonic_ns = monotonic_ns
        self._offset_ns = wall_ns() - monotonic_ns()

    def now_ns(self) -> int:
        """Return the time in nanoseconds UTC; it never goes backwards."""
        return self._offset_ns + self._monotonic_ns()

    def said_ns(self) -> int:
        """Return what the machine's clock says: other programs stamp by it, and it may be set."""
        return self._wall_ns()

    def jump_ns(self) -> int:
        """Return by how much the wall left us, 0 within the tolerance. Call it each second.

        After a leap forward (a suspended machine) our time follows the wall, so that it is UTC
        again, and the next call gives 0. After one backwards our time stays, because it never runs
        back: the jump is reported until the wall has caught up, or the engine starts anew.
        """
        jump_ns = self._wall_ns() - self.now_ns()
        if -JUMP_NS_MAX <= jump_ns <= JUMP_NS_MAX:
            return 0
        if jump_ns > 0:
            self._offset_ns += jump_ns
        return jump_ns


class TapeClock:
    """A clock that follows a recording: it stands still between two moments of it."""

    def __init__(self) -> None:
        self._now_ns = 0

    def now_ns(self) -> int:
        """Return the moment of the recording that is being played; 0 before the first."""
        return self._now_ns

    def follow(self, at_ns: int) -> None:
        """Go on to a moment. Raises BrokenInvariant where it lies before the present one."""
        if at_ns < self._now_ns:
            raise BrokenInvariant(
                f"the tape's clock cannot run back from {self._now_ns} to {at_ns}"
            )
        self._now_ns = at_ns

    said_ns = now_ns

    def jump_ns(self) -> int:
        """Return 0: the recording alone sets this clock."""
        return 0
