"""The decision log: the why of every intent, at the cost of a few microseconds.

Consecutive alike decisions of a bot about an instrument become one row with a count and the last
time, so an alike one is not even encoded. A thread of its own writes the rows
(WAL, synchronous=NORMAL): they explain, they are not what money hangs on. A row is queued as it
begins and as it ends: a moment lived again finds each where it began.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from pathlib import Path
from typing import Protocol

import msgspec

from engine.domain.decisions import Decision, Planned
from engine.domain.instruments import BotId, InstrumentId
from engine.errors import BrokenInvariant, StorageError
from engine.runtime.aids import Notes, aid_thread
from storage.decisions import FILE_BYTES_MAX, FILES_KEPT, DecisionFiles, StoredDecision, StoredPlan

QUEUE_MAX = 100_000
BATCH_MAX = 5_000
RUNS_MAX = 50_000
"""Pairs of bot and instrument that are counted at once; the one begun first is closed beyond."""

LINGER_S = 5.0
"""Longest time a row waits for company: each commit writes whole pages."""

COUNTS_EVERY_S = 10
"""Seconds until rows that still count are queued as they stand."""

RETRY_S = 0.5
PATIENCE_TRIES = 5


_Queued = tuple[StoredDecision | StoredPlan, bool]
"""A row as it stands, and whether it has ended."""


class DecisionKeeper(Protocol):
    """What keeps decisions and plans."""

    notes: Notes

    def append(self, decision: Decision | Planned) -> None:
        """Keep one. No I/O. Raises StorageError when full."""
        ...

    def publish(self) -> None:
        """Let a page see what still counts."""
        ...

    def close(self) -> None:
        """Write what is left. Raises StorageError."""
        ...


class _OpenRun:
    """One row while it counts."""

    __slots__ = ("body", "count", "first", "last", "queued", "row")

    def __init__(self, row: int, first: Decision, body: bytes) -> None:
        self.row = row
        self.first = first
        self.body = body
        self.count = 1
        self.queued = 0
        self.last = first


class DecisionLog:
    """Writes decisions. `failure` is the disk's present refusal, None = it writes.

    `waits_when_full` True (replay): `append` waits for space; False (live): it raises StorageError.
    """

    def __init__(
        self,
        path: Path,
        *,
        engine_id: str,
        waits_when_full: bool = False,
        queue_max: int = QUEUE_MAX,
        file_bytes_max: int = FILE_BYTES_MAX,
        files_kept: int = FILES_KEPT,
        busy_ms: int = 5_000,
        mends: bool = False,
    ) -> None:
        """Open the log. `mends` = a damaged file is set aside and noted; else StorageError."""
        self.failure: StorageError | None = None
        self.notes = Notes("decisions")
        self._engine_id = engine_id
        self._waits = waits_when_full
        self._queue_max = queue_max
        self._files = DecisionFiles(
            path,
            file_bytes_max=file_bytes_max,
            files_kept=files_kept,
            busy_ms=busy_ms,
            aside=self.notes.add if mends else None,
        )
        self._encode = msgspec.msgpack.Encoder().encode
        self._row = self._files.last_row()
        self._runs: dict[tuple[BotId, InstrumentId], _OpenRun] = {}
        self._queue: deque[_Queued] = deque()
        self._queued = self._written = 0
        self._batch: list[_Queued] = []
        self._tries = 0
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._moved = threading.Condition()
        self._thread = aid_thread("decisions", self._run, self._leave_out)

    # -- the caller's thread -----------------------------------------------------------------------

    def append(self, decision: Decision | Planned) -> None:
        """Count an alike decision or begin a new row; a plan is a row of its own.

        No I/O. Raises StorageError when full.
        """
        if isinstance(decision, Planned):
            self._append_plan(decision)
            return
        runs, key = self._runs, (decision.bot, decision.instrument)
        run = runs.get(key)
        if run is not None and decision.alike(run.first):
            run.count += 1
            run.last = decision
            return
        if self._queued - self._written >= self._queue_max:
            self._full()
        if run is not None:
            del runs[key]  # so that the order of runs is the order they began in
            self._put(run, ended=True)
        elif len(runs) >= RUNS_MAX:
            self._put(runs.pop(next(iter(runs))), ended=True)
        self._row += 1
        run = runs[key] = _OpenRun(self._row, decision, self._encode(decision))
        self._put(run)

    def repeat(
        self, bot: BotId, instrument: InstrumentId, number: int, at_ns: int, times: int
    ) -> None:
        """Count so many decisions more that are alike the last one of a bot in an instrument.

        `number` and `at_ns` are the last one's; its inputs are not kept: an ended row has those of
        its first one alone. Raises BrokenInvariant where none counts.
        """
        run = self._runs.get((bot, instrument))
        if run is None:
            raise BrokenInvariant(f"{bot} in {instrument}: there is no decision to repeat")
        run.count += times
        run.last = msgspec.structs.replace(run.last, number=number, at_ns=at_ns)

    def _append_plan(self, plan: Planned) -> None:
        if self._queued - self._written >= self._queue_max:
            self._full()
        self._row += 1
        kept = StoredPlan(
            row=self._row,
            engine_id=self._engine_id,
            instrument=plan.instrument,
            at_ns=plan.at_ns,
            body=self._encode(plan),
        )
        self._queue.append((kept, True))
        self._queued += 1

    def publish(self) -> None:
        """Queue what still counts as it stands, so that a page sees it; nothing when full."""
        for run in self._runs.values():
            if self._queued - self._written >= self._queue_max:
                return
            self._put(run)

    def _put(self, run: _OpenRun, *, ended: bool = False) -> None:
        """Queue the row as it stands, unless it stands so already; its end once."""
        if run.queued == run.count and not ended:
            return
        run.queued = run.count
        first, last = run.first, run.last
        kept = StoredDecision(
            row=run.row,
            engine_id=self._engine_id,
            number=first.number,
            last_number=last.number,
            bot=first.bot,
            instrument=first.instrument,
            at_ns=first.at_ns,
            last_ns=last.at_ns,
            count=run.count,
            outcome=first.outcome,
            body=run.body,
            stance=first.stance,
            last_body=b"" if ended or last is first else self._encode(last),
        )
        self._queue.append((kept, ended))
        self._queued += 1
        if not self._queued % BATCH_MAX:
            self._wake.set()

    def _full(self) -> None:
        self._wake.set()
        if self._waits:
            with self._moved:
                self._moved.wait_for(
                    lambda: self._queued - self._written < self._queue_max or not self._writes()
                )
        if self._queued - self._written >= self._queue_max:
            raise StorageError(
                f"the decision log's queue is full: {self._queued - self._written} rows wait to "
                f"be written and none is lost: {self.failure or 'the disk is too slow'}"
            )

    def _writes(self) -> bool:
        return self._thread.is_alive() and self._tries < PATIENCE_TRIES

    def flush(self) -> None:
        """Write everything, rows that still count included. Raises StorageError."""
        for run in self._runs.values():
            self._put(run)
        target = self._queued
        self._wake.set()
        with self._moved:
            self._moved.wait_for(lambda: self._written >= target or not self._writes())
        self._must_be_written(target)

    def close(self) -> None:
        """Write what is left and end the thread. Raises StorageError naming what is missing."""
        for run in self._runs.values():
            self._put(run, ended=True)
        self._closing.set()
        self._wake.set()
        self._thread.join()
        self._must_be_written(self._queued)

    def _must_be_written(self, target: int) -> None:
        if self._written < target:
            missing = len({kept.row for kept, _ in [*self._batch, *self._queue.copy()]})
            raise StorageError(f"{missing} decisions could not be written: {self.failure}")

    # -- the writer's thread -----------------------------------------------------------------------

    def _leave_out(self, error: Exception) -> None:
        """Drop the rows that can never be written; what comes after them is kept."""
        count = len(self._batch)
        with self._moved:
            self._tries = 0
            self._written += count
            self._batch = []
            self._moved.notify_all()
        self._wake.set()
        self.notes.add(f"{count} rows are left out of the decision log: {error!r}")

    def _run(self) -> None:
        try:
            while not self._closing.is_set() or self._queue or self._batch:
                self._wake.wait(LINGER_S)
                self._wake.clear()
                while self._queue or self._batch:
                    if not self._write() and self._closing.is_set() and not self._writes():
                        return
        finally:
            self._files.close()
            with self._moved:
                self._moved.notify_all()

    def _write(self) -> bool:
        """Write one batch. False = the disk refused, it is kept, and a pause was made."""
        if not self._batch:
            queue = self._queue
            self._batch = [queue.popleft() for _ in range(min(len(queue), BATCH_MAX))]
        try:
            latest = {kept.row: (kept, ended) for kept, ended in self._batch}.values()
            self._files.write(
                [kept for kept, ended in latest if ended],
                [kept for kept, ended in latest if not ended],
            )
        except StorageError as error:
            self.failure = error
            with self._moved:
                self._tries += 1
                self._moved.notify_all()
            time.sleep(RETRY_S)
            return False
        self.failure = None
        with self._moved:
            self._tries = 0
            self._written += len(self._batch)
            self._batch = []
            self._moved.notify_all()
        return True


class NoDecisions:
    """Keeps nothing, where no log of decisions can be opened."""

    def __init__(self) -> None:
        self.notes = Notes("decisions")

    def append(self, decision: Decision | Planned) -> None:
        """Let it go."""

    def publish(self) -> None:
        """Nothing is held."""

    def close(self) -> None:
        """Nothing is held."""
