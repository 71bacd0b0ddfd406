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
from numpy.typing import NDArray

from engine.domain.events import BookChanged, BookReplaced, Event, InstrumentListed, TradePrinted
from engine.domain.instruments import Instrument, InstrumentId, Kind, Side
from engine.lab.recordings.columns import ColumnStretch
from engine.lab.recordings.door import RecordingStats
from engine.venues.paper.columns import (
    ASK,
    AT_NS,
    BID,
    BOUGHT,
    LAST,
    NOTHING,
    OP,
    OTHER,
    PRICE,
    SOLD,
    WIDTH,
)
from engine.venues.paper.columns import SIZE as SIZE_COLUMN

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

Block = NDArray[np.int64]

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


class ColumnarWorkload(WorkloadRecording):
    """The same as columns, for the wake loop."""

    def stretches(self) -> Iterator[ColumnStretch]:
        """Give the same events as rows."""
        identifier = INSTRUMENT.id
        first = int(self._rows[0, 0])
        span = int(self._rows[-1, 0]) - first + 1_000_000
        head = np.array([(first, OTHER, 0, 0, 1), (first, OTHER, 0, 0, 1)], np.int64)
        listed = InstrumentListed(instrument=INSTRUMENT)
        empty = BookReplaced(instrument=identifier, bids=(), asks=())
        yield ColumnStretch(instrument=identifier, rows=head, others={0: listed, 1: empty})
        before = np.zeros((1, 9), np.int64)
        for turn in range(self._repeat):
            for start in range(0, len(self._rows), BLOCK_ROWS):
                block = np.array(self._rows[start : start + BLOCK_ROWS])
                rows = _columns(block, np.concatenate([before, block[:-1]]), turn * span)
                before = block[-1:]
                self.stats.frames += len(block)
                yield ColumnStretch(instrument=identifier, rows=rows)


def _columns(block: Block, before: Block, shift_ns: int) -> Block:
    """Return up to four level changes a quote, or the print, in the order `_block` tells them."""
    quote = block[:, 1] == 0
    bid_moved, ask_moved = block[:, 2] != before[:, 2], block[:, 4] != before[:, 4]
    bid_set = quote & (bid_moved | (block[:, 3] != before[:, 3]))
    ask_set = quote & (ask_moved | (block[:, 5] != before[:, 5]))
    used = np.stack(
        [
            quote & bid_moved & (before[:, 2] != 0),
            quote & ask_moved & (before[:, 4] != 0),
            bid_set,
            ask_set,
            ~quote | ~(bid_set | ask_set),
        ],
        axis=1,
    )
    rows = np.zeros((len(block), 5, WIDTH), np.int64)
    rows[:, :, AT_NS] = (block[:, 0] + shift_ns)[:, None]
    rows[:, :4, OP] = (BID, ASK, BID, ASK)
    rows[:, :4, PRICE] = np.stack([before[:, 2], before[:, 4], block[:, 2], block[:, 4]], axis=1)
    rows[:, 2:4, SIZE_COLUMN] = block[:, (3, 5)] * SIZE
    rows[:, 4, OP] = np.where(quote, NOTHING, np.where(block[:, 7] == 1, BOUGHT, SOLD))
    rows[:, 4, PRICE] = np.where(quote, 0, block[:, 6])
    rows[:, 4, SIZE_COLUMN] = np.where(quote, 0, block[:, 8] * SIZE)
    last = 4 - np.argmax(used[:, ::-1], axis=1)
    rows[np.arange(len(block)), last, LAST] = 1
    return rows[used]


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
