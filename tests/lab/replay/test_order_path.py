"""What one order costs: bytecodes and calls of the whole way, and records of the journal.

A maker that requotes both sides each tenth of a second, over a paper venue without latency, so that
each requote is a cancel of two and two places. Everything counts that runs on the way, the venue's
own matching and the book among it. The counts do not depend on the clock or the load of the
machine; a number may only become smaller.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any

import pytest

from bench.ours import CASH_MICRO, LIMITS, PAPER, maker
from bench.workload import INSTRUMENT, SIZE
from engine.domain.events import BookChanged, BookReplaced, Event, InstrumentListed
from engine.domain.instruments import Side
from engine.lab.recordings.door import RecordingStats
from engine.lab.replay.run import ReplayResult
from engine.lab.replay.setup import assemble
from engine.runtime.journal import DigestRecorder

RECORDS, OPCODES, CALLS = 3.6, 6_300, 157
"""At most so many for each order, in the mean of some hundred."""

BEGIN_NS, STEP_NS = 10**18, 10**8
REQUOTES = 400


class Requotes:
    """A recording in which the mid goes up and down by a tick, every time."""

    def __init__(self) -> None:
        self.stats = RecordingStats()

    def events(self) -> Iterator[tuple[int, Event]]:
        key = INSTRUMENT.id
        yield BEGIN_NS, InstrumentListed(instrument=INSTRUMENT)
        yield BEGIN_NS, BookReplaced(instrument=key, bids=(), asks=())
        last: tuple[tuple[Side, int, int], ...] = ()
        for number in range(REQUOTES):
            mid = 500 + 2 * (number % 2)
            levels = ((Side.BUY, mid - 3, 500 * SIZE), (Side.SELL, mid + 3, 500 * SIZE))
            gone = tuple((side, price, 0) for side, price, _ in last)
            yield BEGIN_NS + number * STEP_NS, BookChanged(instrument=key, changes=gone + levels)
            last = levels


def replayed() -> tuple[ReplayResult, int]:
    recorder = DigestRecorder()
    replay = assemble(
        recording=Requotes(), bots=(maker(),), limits=LIMITS, paper=PAPER, cash_micro=CASH_MICRO,
        currency="USD", recorder=recorder, decide=lambda _: None,
    )  # fmt: skip
    result = replay.run(lambda *_: None)
    return result, recorder.commit().result()


@pytest.fixture(scope="module")
def counted() -> tuple[ReplayResult, int, dict[str, int]]:
    """Replay with every bytecode and every call counted."""
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
    replayed()  # what is looked up once is looked up
    sys.settrace(called)
    try:
        result, records = replayed()
    finally:
        sys.settrace(before)
    return result, records, counts


def test_an_order_costs_no_more_records_than_its_budget(counted: Any) -> None:
    result, records, _ = counted
    assert result.orders > 1.9 * REQUOTES
    assert records / result.orders <= RECORDS


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="bytecodes differ between versions")
def test_an_order_costs_no_more_steps_than_its_budget(counted: Any) -> None:
    result, _, counts = counted
    steps = {name: count / result.orders for name, count in counts.items()}
    assert steps["opcode"] <= OPCODES, steps
    assert steps["call"] <= CALLS, steps
