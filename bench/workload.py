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
        state = np.zeros(4, np.int64)
        for turn in range(self._repeat):
            for start in range(0, len(self._rows), BLOCK_ROWS):
                block = self._rows[start : start + BLOCK_ROWS]
                yield from _block(block, state, turn * span)
                self.stats.frames += len(block)
                state = block[-1, 2:6]


BID_GONE, ASK_GONE, BID_SET, ASK_SET, TRADED = 1, 2, 4, 8, 16
"""What a row tells: bits of its code."""


def _block(block, state, shift_ns):
    """Give a block's events; `state` is bid, its size, ask and its size before it.

    What changed is found for all rows at once. A trade's row repeats the book before it.
    """
    buy, sell, identifier = Side.BUY, Side.SELL, INSTRUMENT.id
    book = block[:, 2:6]
    before = np.vstack((state, book[:-1]))
    moved = book != before
    codes = (
        (moved[:, 0] & (before[:, 0] > 0)) * BID_GONE
        + (moved[:, 2] & (before[:, 2] > 0)) * ASK_GONE
        + (moved[:, 0] | moved[:, 1]) * BID_SET
        + (moved[:, 2] | moved[:, 3]) * ASK_SET
        + (block[:, 1] == 1) * TRADED
    )
    sized = block * np.array([1, 1, 1, SIZE, 1, SIZE, 1, 1, SIZE])
    sized[:, 0] += shift_ns
    columns = zip(codes.tolist(), sized.tolist(), before.tolist(), strict=True)
    for code, (now, _, bid, bid_size, ask, ask_size, price, side, size), last in columns:
        if code == BID_SET:
            changes = ((buy, bid, bid_size),)
        elif code == ASK_SET:
            changes = ((sell, ask, ask_size),)
        elif code == TRADED:
            aggressor = buy if side == 1 else sell
            yield (
                now,
                TradePrinted(instrument=identifier, price=price, size=size, aggressor=aggressor),
            )
            continue
        else:
            told = (
                (buy, last[0], 0), (sell, last[2], 0), (buy, bid, bid_size), (sell, ask, ask_size),
            )  # fmt: skip
            changes = tuple(one for bit, one in enumerate(told) if code >> bit & 1)
        yield now, BookChanged(instrument=identifier, changes=changes)
