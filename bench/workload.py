"""The common workload: top-of-book updates and trades of one instrument, and a maker's rule.

Rows of int64: ts_ns, kind (0 quote, 1 trade), bid, bid_size, ask, ask_size, price, side (+1 buy
aggressor), size; prices in ticks of 0.001. It is seeded, so every engine sees the same million
updates and fifty thousand trades. The rule: with m2 = bid + ask, requote when m2 moved by two (one
tick) or more: cancel both, place (m2 − 4) // 2 and (m2 + 5) // 2, ten each, skip a side beyond a
position of one thousand.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numba
import numpy as np

from engine.domain.events import BookChanged, BookReplaced, Event, InstrumentListed, TradePrinted
from engine.domain.instruments import Instrument, InstrumentId, Kind, Side
from engine.lab.recordings.door import RecordingStats

INSTRUMENT = Instrument(
    id=InstrumentId("bench:workload"),
    kind=Kind.BINARY,
    currency="USD",
    price_decimals=3,
    size_decimals=3,
    tick=1,
    lot=1000,
    series="workload",
)
SIZE = 1000
"""Size increments per unit."""

BLOCK_ROWS = 20_000
"""Rows turned into Python numbers at a time: memory does not grow with the recording."""


@numba.njit
def _walk(rows, updates, trades, seed):
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


class WorkloadRecording:
    """The workload as a recording: rows from a memory-mapped file, `repeat` times over."""

    def __init__(self, path: Path, repeat: int = 1) -> None:
        self.stats = RecordingStats()
        self._rows = np.load(path, mmap_mode="r")
        self._repeat = repeat

    def events(self) -> Iterator[tuple[int, Event]]:
        """Give (time, event) in order, level changes as the venue would send them."""
        identifier = INSTRUMENT.id
        first = int(self._rows[0, 0])
        span = int(self._rows[-1, 0]) - first + 1_000_000
        yield first, InstrumentListed(instrument=INSTRUMENT)
        yield first, BookReplaced(instrument=identifier, bids=(), asks=())
        state = (0, 0, 0, 0)
        for turn in range(self._repeat):
            for start in range(0, len(self._rows), BLOCK_ROWS):
                block = self._rows[start : start + BLOCK_ROWS].tolist()
                state = yield from _block(block, turn * span, state, self.stats)


def _block(block, shift_ns, state, stats):
    buy, sell, identifier = Side.BUY, Side.SELL, INSTRUMENT.id
    last_bid, last_bid_size, last_ask, last_ask_size = state
    for ts, kind, bid, bid_size, ask, ask_size, price, side, size in block:
        now = ts + shift_ns
        if kind == 1:
            yield (
                now,
                TradePrinted(
                    instrument=identifier,
                    price=price,
                    size=size * SIZE,
                    aggressor=buy if side == 1 else sell,
                ),
            )
            continue
        changes = []
        if bid != last_bid and last_bid:
            changes.append((buy, last_bid, 0))
        if ask != last_ask and last_ask:
            changes.append((sell, last_ask, 0))
        if bid != last_bid or bid_size != last_bid_size:
            changes.append((buy, bid, bid_size * SIZE))
        if ask != last_ask or ask_size != last_ask_size:
            changes.append((sell, ask, ask_size * SIZE))
        last_bid, last_bid_size, last_ask, last_ask_size = bid, bid_size, ask, ask_size
        yield now, BookChanged(instrument=identifier, changes=tuple(changes))
    stats.frames += len(block)
    return last_bid, last_bid_size, last_ask, last_ask_size
