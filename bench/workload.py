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
