"""The common workload: top-of-book updates and trades of one instrument, and a maker's rule.

Rows of int64: ts_ns, kind (0 quote, 1 trade), bid, bid_size, ask, ask_size, price, side (+1 buy
aggressor), size; prices in ticks of 0.001. It is seeded, so every engine sees the same million
updates and fifty thousand trades. The rule: with m2 = bid + ask, requote when m2 moved by two (one
tick) or more: cancel both, place (m2 − 4) // 2 and (m2 + 5) // 2, ten each, skip a side beyond a
position of one thousand.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
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

BLOCK_ROWS = 2_000
"""Rows turned into Python numbers at a time: memory does not grow with the recording."""


class WorkloadRecording:
    """The workload as a recording: rows from a memory-mapped file, `repeat` times over."""

    def __init__(self, path: Path, repeat: int = 1) -> None:
        self.stats = RecordingStats()
        self._rows = np.load(path, mmap_mode="r")
        self._repeat = repeat

    def events(self) -> Iterator[tuple[int, Event]]:
        """Give (time, event) in order, level changes as the venue would send them."""
        return chain.from_iterable(self._blocks())

    def _blocks(self) -> Iterator[Iterable[tuple[int, Event]]]:
        identifier = INSTRUMENT.id
        first = int(self._rows[0, 0])
        span = int(self._rows[-1, 0]) - first + 1_000_000
        yield ((first, InstrumentListed(instrument=INSTRUMENT)),)
        yield ((first, BookReplaced(instrument=identifier, bids=(), asks=())),)
        state = np.zeros(4, np.int64)
        for turn in range(self._repeat):
            for start in range(0, len(self._rows), BLOCK_ROWS):
                block = np.array(self._rows[start : start + BLOCK_ROWS])
                yield _events(block, state, turn * span)
                self.stats.frames += len(block)
                state = block[-1, 2:6]


BID_GONE, ASK_GONE, BID_SET, ASK_SET, TRADED = 1, 2, 4, 8, 16
"""What a row tells: bits of its code."""


def _events(block: np.ndarray, state: np.ndarray, shift_ns: int) -> Iterator[tuple[int, Event]]:
    """Give a block's events; `state` is bid, its size, ask and its size before it.

    What changed is found for all rows at once, and only what is told becomes Python's numbers. A
    trade's row repeats the book before it.
    """
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
    shown = book * (1, SIZE, 1, SIZE)
    bids, asks = codes == BID_SET, codes == ASK_SET
    level = np.where(asks[:, None], shown[:, 2:], shown[:, :2])
    trades = block[codes == TRADED, 6:] * (1, 1, SIZE)
    several = (codes != TRADED) & ~(bids | asks)
    return _in_turn(
        zip(codes.tolist(), (block[:, 0] + shift_ns).tolist(), *level.T.tolist(), strict=True),
        iter(trades.tolist()),
        iter(np.hstack((before[several, ::2], shown[several])).tolist()),
    )


def _in_turn(
    rows: Iterable[tuple[int, ...]], trades: Iterator[list[int]], several: Iterator[list[int]]
) -> Iterator[tuple[int, Event]]:
    """Give an event for each row, most of which set one level; the others are asked for in turn."""
    buy, sell, identifier = Side.BUY, Side.SELL, INSTRUMENT.id
    for code, now, price, size in rows:
        if code == BID_SET:
            yield now, BookChanged(instrument=identifier, changes=((buy, price, size),))
        elif code == ASK_SET:
            yield now, BookChanged(instrument=identifier, changes=((sell, price, size),))
        elif code == TRADED:
            at, side, traded = next(trades)
            aggressor = buy if side == 1 else sell
            yield (
                now,
                TradePrinted(instrument=identifier, price=at, size=traded, aggressor=aggressor),
            )
        else:
            bid_gone, ask_gone, bid, bid_size, ask, ask_size = next(several)
            found = (
                (BID_GONE, (buy, bid_gone, 0)),
                (ASK_GONE, (sell, ask_gone, 0)),
                (BID_SET, (buy, bid, bid_size)),
                (ASK_SET, (sell, ask, ask_size)),
            )
            changes = tuple(change for bit, change in found if code & bit)
            yield now, BookChanged(instrument=identifier, changes=changes)
