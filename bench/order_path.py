"""What one order costs: bytecodes and calls of the whole way, and records of the journal.

A maker that requotes both sides each tenth of a second, over a paper venue without latency, so that
each requote is a cancel of two and two places. Everything counts that runs on the way, the venue's
own matching and the book among it. The counts depend on no clock and no load.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any

from bench.ours import CASH_MICRO, LIMITS, PAPER, maker
from bench.workload import INSTRUMENT, SIZE
from engine.domain.events import BookChanged, BookReplaced, Event, InstrumentListed
from engine.domain.instruments import Side
from engine.lab.recordings.door import RecordingStats
from engine.lab.replay.run import assemble
from engine.runtime.journal import DigestRecorder

Row = tuple[str, str, str, str, str]

BUDGET = {"opcode": 5_500, "call": 130, "record": 3.6}
"""At most so many for each order, in the mean of some hundred; a number may only become smaller.
Opcodes as Python 3.11 has them."""

GOALS = {"opcode": 5_500, "call": 130, "record": 3.6}
AIMS = {"opcode": 4_000, "call": 90, "record": 2.5}

BEGIN_NS, STEP_NS = 10**18, 10**8
REQUOTES = 400


def _requotes() -> list[tuple[int, Event]]:
    """Return (time, event) in order: the mid goes up and down by a tick, every time."""
    key = INSTRUMENT.id
    events: list[tuple[int, Event]] = [
        (BEGIN_NS, InstrumentListed(instrument=INSTRUMENT)),
        (BEGIN_NS, BookReplaced(instrument=key, bids=(), asks=())),
    ]
    last: tuple[tuple[Side, int, int], ...] = ()
    for number in range(REQUOTES):
        mid = 500 + 2 * (number % 2)
        levels = ((Side.BUY, mid - 3, 500 * SIZE), (Side.SELL, mid + 3, 500 * SIZE))
        gone = tuple((side, price, 0) for side, price, _ in last)
        changed = BookChanged(instrument=key, changes=gone + levels)
        events.append((BEGIN_NS + number * STEP_NS, changed))
        last = levels
    return events


class Requotes:
    """A recording that stands in memory: how it is made is no part of an order's way."""

    def __init__(self, events: list[tuple[int, Event]]) -> None:
        self.stats = RecordingStats()
        self._events = events

    def events(self) -> Iterator[tuple[int, Event]]:
        """Give (time, event) in order."""
        return iter(self._events)


def _replayed(events: list[tuple[int, Event]]) -> tuple[int, int]:
    """Return how many orders and how many records there were."""
    recorder = DigestRecorder()
    replay = assemble(
        recording=Requotes(events), bots=(maker(),), limits=LIMITS, paper=PAPER,
        cash_micro=CASH_MICRO, currency="USD", recorder=recorder, decide=lambda _: None,
    )  # fmt: skip
    orders = replay.run(lambda *_: None).orders
    return orders, recorder.commit().result()


def per_order() -> dict[str, float]:
    """Replay with every bytecode and every call counted; return them and the records per order."""
    counts = {"opcode": 0, "call": 0}

    def inside(_frame: FrameType, event: str, _argument: Any) -> Any:
        if event == "opcode":
            counts["opcode"] += 1
        return inside

    def called(frame: FrameType, event: str, _argument: Any) -> Any:
        counts[event] += 1
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return inside

    before = sys.gettrace()
    events = _requotes()
    _replayed(events)  # what is looked up once is looked up
    sys.settrace(called)
    try:
        orders, records = _replayed(events)
    finally:
        sys.settrace(before)
    if orders < 1.9 * REQUOTES:
        raise AssertionError(f"{orders} orders of {REQUOTES} requotes: they are not what is meant")
    return {name: count / orders for name, count in counts.items()} | {"record": records / orders}


def rows() -> list[Row]:
    """Return the rows of the table."""
    return [
        (f"{name}s an order", f"{count:,.2f}".removesuffix(".00"), f"{GOALS[name]:,}",
         f"{count / GOALS[name]:.2f}", f"<= {GOALS[name]:,}, aim {AIMS[name]:,}")
        for name, count in per_order().items()
    ]  # fmt: skip
