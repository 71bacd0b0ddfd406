"""What one order costs: bytecodes and calls of the whole way, and records of the journal.

A maker that requotes both sides each tenth of a second, over a paper venue without latency, so that
each requote is a cancel of two and two places. Everything counts that runs on the way, the venue's
own matching and the book among it. The counts depend on no clock and no load.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

from msgspec.structs import replace

from bench.generator import write
from bench.ours import CASH_MICRO, LIMITS, PAPER, maker
from bench.workload import INSTRUMENT, SIZE, WorkloadRecording
from engine.domain.events import BookChanged, BookReplaced, Event, InstrumentListed
from engine.domain.instruments import Instrument, Kind, Side
from engine.lab.recordings.door import RecordingStats
from engine.lab.replay.run import assemble
from engine.runtime.journal import DigestRecorder

Row = tuple[str, str, str, str, str]
T = TypeVar("T")

BUDGET = {"opcode": 5_800, "call": 135, "record": 3.6}
"""At most so many for each order, in the mean of some hundred; a number may only become smaller.
Opcodes as Python 3.11 has them."""

GOALS = {"opcode": 5_500, "call": 130, "record": 3.6}
AIMS = {"opcode": 4_000, "call": 90, "record": 2.5}

PERPETUAL = replace(INSTRUMENT, kind=Kind.PERPETUAL)
"""The same as a perpetual, held against its full value: what its orders cost is shown alone."""

BEGIN_NS, STEP_NS = 10**18, 10**8
REQUOTES = 400
IDLE_EVENTS = 2_000
WORKLOAD_UPDATES, WORKLOAD_TRADES = 4_000, 200


def _requotes(instrument: Instrument = INSTRUMENT) -> list[tuple[int, Event]]:
    """Return (time, event) in order: the mid goes up and down by a tick, every time."""
    key = instrument.id
    events: list[tuple[int, Event]] = [
        (BEGIN_NS, InstrumentListed(instrument=instrument)),
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


def _idle() -> list[tuple[int, Event]]:
    """Return the same book, then changes far behind its touch: nothing has to be done."""
    events = _requotes()[:3]
    begin_ns = events[-1][0]
    for number in range(IDLE_EVENTS):
        level = (Side.BUY, 400, (1 + number % 7) * SIZE)
        changed = BookChanged(instrument=INSTRUMENT.id, changes=(level,))
        events.append((begin_ns + (number + 1) * STEP_NS // 100, changed))
    return events


def _replayed(events: list[tuple[int, Event]]) -> tuple[int, int]:
    """Return how many orders and how many records there were."""
    recorder = DigestRecorder()
    replay = assemble(
        recording=Requotes(events),
        bots=(maker(),),
        limits=LIMITS,
        paper=PAPER,
        cash_micro=CASH_MICRO,
        currency="USD",
        recorder=recorder,
        decide=lambda _: None,
    )
    orders = replay.run(lambda *_: None).orders
    return orders, recorder.commit().result()


def steps_of(run: Callable[[], T]) -> tuple[dict[str, int], T]:
    """Run twice and count every bytecode and call of the second; return both counts and it."""
    counts = {"opcode": 0, "call": 0}

    def inside(_frame: FrameType, event: str, _argument: Any) -> Any:
        if event == "opcode":
            counts["opcode"] += 1
        return inside

    def called(frame: FrameType, event: str, _argument: object) -> Any:
        counts[event] += 1
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return inside

    before = sys.gettrace()
    run()  # what is looked up once is looked up
    sys.settrace(called)
    try:
        return counts, run()
    finally:
        sys.settrace(before)


def counted(events: list[tuple[int, Event]]) -> tuple[dict[str, int], int, int]:
    """Replay with every bytecode and call counted; return them, the orders and the records."""
    counts, (orders, records) = steps_of(lambda: _replayed(events))
    return counts, orders, records


def per_order(instrument: Instrument = INSTRUMENT) -> dict[str, float]:
    """Return bytecodes, calls and records of an order where both quotes always move."""
    counts, orders, records = counted(_requotes(instrument))
    if orders < 1.9 * REQUOTES:
        raise AssertionError(f"{orders} orders of {REQUOTES} requotes: they are not what is meant")
    return {name: count / orders for name, count in counts.items()} | {"record": records / orders}


def on_the_workload() -> float:
    """Return the bytecodes of an order on the common workload, all its events among them."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "workload.npy"
        write(path, updates=WORKLOAD_UPDATES, trades=WORKLOAD_TRADES)
        counts, orders, _ = counted(list(WorkloadRecording(path).events()))
    return counts["opcode"] / orders


def idle_event() -> float:
    """Return the bytecodes of an event on which nothing has to be done."""
    few, many = _idle()[:3], _idle()
    return (counted(many)[0]["opcode"] - counted(few)[0]["opcode"]) / IDLE_EVENTS


def rows() -> list[Row]:
    """Return the rows of the table."""
    more = [
        (f"{name}s an order, perpetual", f"{count:,.2f}".removesuffix(".00"), "-", "-", "shown")
        for name, count in per_order(PERPETUAL).items()
    ]
    more += [
        ("opcodes an order, common workload", f"{on_the_workload():,.0f}", "-", "-", "shown"),
        ("opcodes an event without an order", f"{idle_event():,.0f}", "-", "-", "shown"),
    ]
    return _rows_of_orders() + more


def _rows_of_orders() -> list[Row]:
    return [
        (
            f"{name}s an order",
            f"{count:,.2f}".removesuffix(".00"),
            f"{GOALS[name]:,}",
            f"{count / GOALS[name]:.2f}",
            f"<= {GOALS[name]:,}, aim {AIMS[name]:,}",
        )
        for name, count in per_order().items()
    ]
