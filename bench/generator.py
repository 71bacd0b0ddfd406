"""Writes the common workload. Apart from its reader, which must not carry a compiler in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numba
import numpy as np


@numba.njit  # type: ignore[untyped-decorator]
def _walk(rows: Any, updates: int, trades: int, seed: int) -> None:
    np.random.seed(seed)
    count = updates + trades
    bid, ask, bid_size, ask_size = 499, 501, 500, 500
    ts = 1_700_000_000_000_000_000
    every = count // trades
    jump = 0
    for i in range(count):
        ts += 1_000_000 + np.random.randint(0, 18_000_000)
        if i % every == every - 1 and trades > 0:
            trades -= 1
            through = 0
            while through < 3 and np.random.random() < 0.3:
                through += 1
            side = 1 if np.random.random() < 0.5 else -1
            if through >= 1 and np.random.random() < 0.2:
                side = 1 if bid < 500 else -1
            if through >= 1:
                jump = side * (through + 3)
            rows[i, 6] = ask + through if side == 1 else bid - through
            rows[i, 7] = side
            rows[i, 8] = 1 + np.random.randint(0, 50)
            rows[i, 1] = 1
        elif jump:
            bid, ask, jump = bid + jump, ask + jump, 0
            bid_size = 1 + np.random.randint(0, 900)
            ask_size = 1 + np.random.randint(0, 900)
        elif np.random.random() < 0.10:
            draw = np.random.randint(0, 4)
            if draw == 0 and ask - bid > 1:
                bid += 1
                bid_size = 1 + np.random.randint(0, 900)
            elif draw == 1 and ask - bid < 4 and bid > 50:
                bid -= 1
                bid_size = 1 + np.random.randint(0, 900)
            elif draw == 2 and ask - bid > 1:
                ask -= 1
                ask_size = 1 + np.random.randint(0, 900)
            elif draw == 3 and ask - bid < 4 and ask < 950:
                ask += 1
                ask_size = 1 + np.random.randint(0, 900)
            else:
                bid_size = 1 + np.random.randint(0, 900)
        elif np.random.random() < 0.5:
            bid_size = 1 + np.random.randint(0, 900)
        else:
            ask_size = 1 + np.random.randint(0, 900)
        rows[i, 0] = ts
        rows[i, 2] = bid
        rows[i, 3] = bid_size
        rows[i, 4] = ask
        rows[i, 5] = ask_size


def write(path: Path, *, updates: int = 1_000_000, trades: int = 50_000, seed: int = 7) -> None:
    """Write the workload as .npy where it does not exist yet."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = np.zeros((updates + trades, 9), np.int64)
    _walk(rows, updates, trades, seed)
    np.save(path, rows)
