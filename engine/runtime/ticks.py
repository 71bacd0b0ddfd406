"""Ticks of every market that is received: best prices and trades, kept for charts and candles.

It receives a frame after everybody who trades by it, and only notes; a thread writes what was noted
to the log, a batch each ten seconds. A kill loses the batch that was not written, at most
`LINGER_NS` of ticks; the order of trading never waits for it, and where the disk stops, ticks that
do not fit are dropped, counted and reported. So is what cannot be noted or written. No error ends
the engine.
"""

from __future__ import annotations

import threading
import time
from array import array
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path

from engine.clock import Clock
from engine.domain.effects import RaiseAlert, caution
from engine.domain.events import Event
from engine.domain.instruments import InstrumentId
from engine.errors import StorageError, os_sentence
from engine.runtime.aids import Notes, Tolerates, aid_thread
from engine.runtime.tick_maker import TickMaker, TickMarket
from storage.files import folder_at
from storage.tick_log import DIGITS, END, MAGIC, number_of, pack, segments

LINGER_NS = 10 * 1_000_000_000
"""How long ticks wait to be written, and so the most a kill loses."""

SEGMENT_NS = 600 * 1_000_000_000
SEGMENT_BYTES = 4_000_000
WAITING_MAX = 500_000
"""Most ticks that wait to be written, 20 MB; more means that the disk has stopped."""

RETRY_S = 0.5

Batch = dict[InstrumentId, "array[int]"]


class TickKeeper:
    """Keeps the ticks of one engine. `failure` = why they are not written, '' = they are."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        """Begin a segment with the first batch. `folder` need not be there."""
        self.failure = ""
        self.lost = 0
        """Ticks that were dropped."""
        self.notes = Notes("ticks")
        self._tolerates = Tolerates(self._lose_moment, repr)
        self._folder = folder
        self._clock = clock
        self._maker = TickMaker(self._note)
        self._batch: Batch = {}
        self._noted = 0
        self._since_ns = 0
        self._queue: deque[tuple[Batch, int]] = deque()
        self._waiting = 0
        self._segment: Path | None = None
        self._segment_ns = 0
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._moved = threading.Condition()
        self._thread = aid_thread("ticks", self._run, self._leave_out)

    # -- the loop's thread -------------------------------------------------------------------------

    def market(self, events: Iterable[Event], now_ns: int) -> None:
        """Take market events of one moment. No I/O; what cannot be noted is left out."""
        with self._tolerates:
            self._maker.market(events, now_ns)

    def _lose_moment(self, why: str) -> None:
        self.lost += 1
        self.notes.add(f"ticks of a moment are left out, charts will have a gap: {why}")

    def forget(self, instrument: InstrumentId, now_ns: int) -> None:
        """Note that an instrument is not received any more."""
        self._maker.forget(instrument, now_ns)

    def _note(self, name: InstrumentId, market: TickMarket, volume: int, now_ns: int) -> None:
        if self._noted + self._waiting >= WAITING_MAX:
            self.lost += 1
            return
        batch = self._batch.get(name)
        if batch is None:
            batch = self._batch[name] = array("q")
            self._since_ns = self._since_ns or now_ns
        # Whole or not at all: a number beyond 64 bits must not leave half a tick behind.
        batch.extend(array("q", (now_ns, market.bid, market.ask, market.last, volume)))
        self._noted += 1

    def advance(self, now_ns: int) -> None:
        """Hand what was noted to the writer, when it is time."""
        if self._since_ns and not 0 <= now_ns - self._since_ns < LINGER_NS:
            self._hand_over()

    def _hand_over(self) -> None:
        self._waiting += self._noted
        self._queue.append((self._batch, self._noted))
        self._batch, self._noted, self._since_ns = {}, 0, 0
        self._wake.set()

    def watcher(self, alert: Callable[[RaiseAlert, int], None]) -> Callable[[int], None]:
        """Return what looks at the clock several times a second; it tells of a refusal, once."""
        reported = ""

        def watch(now_ns: int) -> None:
            nonlocal reported
            self.advance(now_ns)
            if self.lost and not reported:
                reported = self.failure or "the disk is slower than what is received"
                text = f"ticks are dropped, charts will have a gap: {reported}"
                alert(caution("ticks", text), now_ns)
            elif not self._queue:
                reported = ""
                self.lost = 0

        return watch

    def flush(self, timeout_s: float = 30.0) -> None:
        """Wait until all that was handed over is in a file. Raises StorageError."""
        with self._moved:
            if not self._moved.wait_for(lambda: not self._queue, timeout_s):
                raise StorageError(f"{self._waiting} ticks could not be written: {self.failure}")

    def close(self) -> None:
        """Write what is left and end the thread. Raises StorageError naming what is missing."""
        if self._noted:
            self._hand_over()
        self._closing.set()
        self._wake.set()
        self._thread.join()
        if self._waiting:
            raise StorageError(f"{self._waiting} ticks could not be written: {self.failure}")

    # -- the writer's thread -----------------------------------------------------------------------

    def _leave_out(self, error: Exception) -> None:
        """Drop the batch that could not be written; what comes after it is kept."""
        self._segment, count = None, 0
        with self._moved:
            if self._queue:
                count = self._queue.popleft()[1]
                self._waiting -= count
            self._moved.notify_all()
        self._wake.set()  # what waits behind it is not to wait for the next batch
        self.notes.add(f"{count} ticks are left out, charts will have a gap: {error!r}")

    def _run(self) -> None:
        while not self._closing.is_set() or self._queue:
            self._wake.wait()
            self._wake.clear()
            while self._queue:
                batch, count = self._queue[0]
                try:
                    self._write(pack(batch))
                except OSError as error:
                    self._segment = None  # whatever is wrong with it, the next try begins anew
                    self.failure = f"{self._folder} cannot be written: {os_sentence(error)}"
                    if self._closing.is_set():
                        return
                    time.sleep(RETRY_S)
                    continue
                self.failure = ""
                with self._moved:
                    self._queue.popleft()
                    self._waiting -= count
                    self._moved.notify_all()

    def _write(self, record: bytes) -> None:
        now_ns = self._clock.now_ns()
        segment = self._segment
        if (
            segment is None
            or not 0 <= now_ns - self._segment_ns < SEGMENT_NS
            or segment.stat().st_size >= SEGMENT_BYTES
        ):
            segment = self._begun(now_ns)
        before = segment.stat().st_size
        with segment.open("ab") as file:
            try:
                file.write(record)
                file.flush()
            except OSError:
                file.truncate(before)  # half a record would make what follows unreadable
                raise

    def _begun(self, now_ns: int) -> Path:
        """Begin a segment: numbers only grow, also where the clock went back."""
        before = segments(self._folder)
        number = max(now_ns // 1_000_000, number_of(before[-1]) + 1 if before else 0)
        segment = self._folder / "log" / f"{number:0{DIGITS}d}{END}"
        for folder in (self._folder, segment.parent):
            if aside := folder_at(folder):
                self.notes.add(f"{folder} was no folder: it is now {aside}, ticks are kept again")
        segment.write_bytes(MAGIC)
        self._segment, self._segment_ns = segment, now_ns
        return segment
