"""Memory must not grow with the length of a replay, nor with the age of a desk."""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FrameType, FunctionType, ModuleType
from typing import Any

from bench.processes import ours
from engine.lab.simulate.world import World

Row = tuple[str, str, str, str, str]


def rows(workload: Path) -> list[Row]:
    """Return one row per mode: peak MB at 10 x, at 1 x, and their ratio."""
    table = []
    for mode in ("digest", "full"):
        once, ten = ours(mode, workload, 1)(), ours(mode, workload, 10)()
        if once is None or ten is None:
            continue
        a, b = float(once["rss_peak"]), float(ten["rss_peak"])
        table.append(
            (
                f"replay, {mode}, RSS",
                f"{b:,.0f} MB",
                f"{a:,.0f} MB at 1 x",
                f"{b / a:.2f}",
                "<= 150 MB + window, the same for both",
            )
        )
    return table


# -- What an engine and the demo exchange hold after hours and after a day -------------------------
# The simulator's own memory says nothing: its judges keep everything, its disk is a list.

HOUR_NS = 3_600 * 10**9
SHARED = (ModuleType, type, FunctionType, BuiltinFunctionType, CodeType, FrameType)
"""What is there once for all, however old somebody is."""

SIMULATOR = "engine.lab.simulate"


def held(root: object) -> int:
    """Return the bytes of all objects that can be reached from one, the simulator's left out."""
    seen, unread, total = {id(root)}, [root], 0
    while unread:
        one = unread.pop()
        total += sys.getsizeof(one)
        for other in gc.get_referents(one):
            if id(other) in seen or isinstance(other, SHARED):
                continue
            if not type(other).__module__.startswith(SIMULATOR):
                seen.add(id(other))
                unread.append(other)
    return total


def aged(hours: Sequence[float]) -> list[tuple[int, int]]:
    """Return the bytes (engine, demo exchange) after so many simulated hours without faults.

    Raises RuntimeError where a judge of the simulation spoke.
    """
    world, found = World(seed=1, faults=(), accounts=1), list[tuple[int, int]]()

    def look() -> None:
        run: Any = world.accounts[0].engine_run
        found.append((held(run.engine), held(world.exchange)))

    begin_ns = world.exchange.now_ns
    for hour in hours:
        world.later(begin_ns + int(hour * HOUR_NS), look)
    outcome = world.run(max(hours) * 60 + 1)
    if outcome.verdicts:
        raise RuntimeError(f"a judge spoke: {outcome.verdicts}")
    return found


def day(hours: float) -> list[Row]:
    """Return a row for the engine and one for the exchange: after so many hours, and after one."""
    young, old = aged((1.0, hours))
    return [
        (
            f"{name}, held after {hours:g} h simulated",
            f"{after / 1e6:.2f} MB",
            f"{before / 1e6:.2f} MB at 1 h",
            f"{after / before:.2f}",
            "flat",
        )
        for name, before, after in zip(("engine", "demo exchange"), young, old, strict=True)
    ]
