"""The simulator's speed: simulated seconds per second of one core, with all of a seed's faults."""

from __future__ import annotations

import statistics
import time

from engine.lab.simulate.world import simulate

MINUTES = 3.0


def row(rounds: int) -> tuple[str, str, str, str, str]:
    """Return the row of the table: one account, one core, the processor's own time."""
    speeds = []
    for seed in range(1, max(rounds, 3) + 1):
        started = time.process_time()
        outcome = simulate(seed, MINUTES, accounts=1)
        speeds.append(outcome.simulated_s / (time.process_time() - started))
    return ("simulation (simulated s per s)", f"{statistics.median(speeds):,.0f}", "", "", ">= 400")
