"""The machine: its disk, its memory, its clock."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from engine.clock import WallClock
from engine.watch.desk import SECOND_NS, Desk, Trouble
from storage.files import said_bytes

DISK_FREE_MIN = 200_000_000
DISK_SHARE_MIN = 0.01
"""Below either the disk counts as full; the engine tells of a disk that fills up."""

MEMORY_FOR_NS = 30 * SECOND_NS
JUMP_KEPT_NS = 300 * SECOND_NS
"""How long a jump of the clock stands as trouble."""


class MachineProbe:
    """Reads `/proc` and the file system."""

    every_s = 1.0

    def __init__(
        self,
        clock: WallClock | None = None,
        statvfs: Callable[[Path], os.statvfs_result] = os.statvfs,
        memory: Path = Path("/proc/meminfo"),
    ) -> None:
        self._clock = clock or WallClock(time.time_ns, time.monotonic_ns)
        self._statvfs = statvfs
        self._memory = memory
        self._short_ns = 0
        self._jump_s, self._jumped_ns = 0.0, 0

    def look(self, desk: Desk, now_ns: int) -> Iterator[Trouble]:
        """Give what the machine lacks."""
        yield from self._disk(desk)
        yield from self._free_memory(desk, now_ns)
        yield from self._jump(now_ns)

    def _disk(self, desk: Desk) -> Iterator[Trouble]:
        try:
            found = self._statvfs(desk.place.home)
        except OSError as error:
            text = f"{desk.place.home} cannot be looked at: {error.strerror}"
            yield Trouble(kind="disk_full", text=text)
            return
        free = found.f_bavail * found.f_frsize
        share = found.f_bavail / max(1, found.f_blocks)
        if free < DISK_FREE_MIN or share < DISK_SHARE_MIN:
            text = f"{said_bytes(free)} ({100 * share:.1f} %) are free at {desk.place.home}"
            yield Trouble(kind="disk_full", text=text, numbers={"free": said_bytes(free)})

    def _free_memory(self, desk: Desk, now_ns: int) -> Iterator[Trouble]:
        free = _available(self._memory)
        if free is None or free >= desk.alerts.thresholds.memory_free_mb * 1_000_000:
            self._short_ns = 0
            return
        self._short_ns = min(self._short_ns or now_ns, now_ns)
        if now_ns - self._short_ns >= MEMORY_FOR_NS or desk.stood("memory"):
            text = f"{said_bytes(free)} of memory are available"
            yield Trouble(kind="memory", text=text, numbers={"available": said_bytes(free)})

    def _jump(self, now_ns: int) -> Iterator[Trouble]:
        jump_s = self._clock.jump_ns() / SECOND_NS
        if jump_s and abs(jump_s - self._jump_s) > 1:
            self._jump_s, self._jumped_ns = jump_s, now_ns
        self._jumped_ns = min(self._jumped_ns, now_ns)
        if self._jumped_ns and now_ns - self._jumped_ns < JUMP_KEPT_NS:
            way = "forward" if self._jump_s > 0 else "back"
            text = f"the clock went {way} by {abs(self._jump_s):,.1f} s against the machine's own"
            yield Trouble(kind="clock_jump", text=text, numbers={"jump": f"{self._jump_s:+,.1f} s"})


def _available(file: Path) -> int | None:
    """Return the memory that can still be had, in bytes; None = this system does not say."""
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(found[0]) * 1024 if found else None


PROBE = MachineProbe
