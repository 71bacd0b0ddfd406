"""Progress of the loop, as a thread beside it sees it: what is busy or starved does not hang.

A loop that hangs spends its own CPU in one step without end, or sleeps in it. One that other
programs keep from the processor does neither, however long it takes by the clock. So what is judged
is the CPU of the loop's thread since its last step, and how long that thread slept in one step.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import NamedTuple

GAP_S = 0.1
"""Most that one look may count: where the looking thread is starved, the loop is, too."""


class Look(NamedTuple):
    """The loop's thread at one moment."""

    steps: int
    cpu_s: float
    """CPU it has spent; where the system does not say, the wall's time."""
    asleep: bool
    """It waits for something: it neither runs nor is kept from running."""
    at_s: float


class Progress:
    """Counts the loop's steps. Made on the loop's thread; `look` is for another one."""

    def __init__(self) -> None:
        self.steps = 0
        """0 until the loop turns: what a start does before is one long step."""
        self._state = Path(f"/proc/self/task/{threading.get_native_id()}/stat")
        clock_of = getattr(time, "pthread_getcpuclockid", None)
        self._clock: int | None = clock_of(threading.get_ident()) if clock_of else None

    def step(self) -> None:
        """Say that the loop came round."""
        self.steps += 1

    def look(self) -> Look:
        """Return how the loop's thread stands now."""
        at_s = time.monotonic()
        cpu_s = at_s if self._clock is None else time.clock_gettime(self._clock)
        try:
            words = self._state.read_bytes().rpartition(b")")[2].split()
            asleep = words[0] in b"SD"
        except (OSError, IndexError):
            asleep = False
        return Look(self.steps, cpu_s, asleep, at_s)


class HangJudge:
    """Judges looks in a row. `limit_s` is what one step may spend of CPU, or sleep."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._first: Look | None = None
        self._last: Look | None = None
        self._slept_s = 0.0

    def hangs(self, look: Look) -> bool:
        """Take a look; say whether the step it shows hangs."""
        first, last = self._first, self._last
        self._last = look
        if first is None or last is None or look.steps != first.steps:
            self._first, self._slept_s = look, 0.0
            return False
        if look.asleep and look.cpu_s == last.cpu_s:
            self._slept_s += min(look.at_s - last.at_s, GAP_S)
        else:
            self._slept_s = 0.0
        return look.cpu_s - first.cpu_s >= self._limit_s or self._slept_s >= self._limit_s
