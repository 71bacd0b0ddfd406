"""The state file's two threads: one writes what the engine tells and hears commands, one projects.

The loop's thread never touches SQLite: it hands jobs over. A job that the file refuses is kept and
tried again; jobs under a name replace each other, so that a locked file cannot pile up heartbeats.
"""

from __future__ import annotations

import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path

from engine import log
from engine.clock import Clock
from engine.errors import PitbossError, StorageError
from engine.journal_writer import JournalWriter
from storage.commands import LeftCommand, claim
from storage.database import (
    connect_writer,
    data_version,
    file_id,
    must_be,
    refusals_told,
    transaction,
)
from storage.projection import project

POLL_S = 0.005
"""How often the file is asked whether somebody else wrote: 1 % of a core, 2.6 ms until heard."""

CLAIM_EVERY_NS = 1_000_000_000
"""A look at the commands without a signal, so that old ones are refused in time."""

BUSY_MS = 250
RETRY_S = 0.1
BATCH_MAX = 500
JOBS_MAX = 20_000
"""Most jobs that wait; beyond it the oldest that are only told to people are dropped, loudly."""

PROJECT_EVERY_S = 0.2
PATIENCE_S = 10.0

FATAL = (PitbossError, sqlite3.Error, ValueError, TypeError, ArithmeticError)
"""What a thread tells before it ends, a number that SQLite cannot hold as well: after it nobody
would hear a command, or the pages would show what was."""

Job = Callable[[sqlite3.Connection], object]


class StateKeeper:
    """Writes the state file. `failure` is its present refusal, None = it writes.

    `heard` gets claimed commands, `crash` what must not be survived; both on this thread.
    """

    def __init__(
        self,
        path: Path,
        *,
        engine_id: str,
        clock: Clock,
        heard: Callable[[list[LeftCommand]], object],
        crash: Callable[[BaseException], None],
    ) -> None:
        self.failure: StorageError | None = None
        self.dropped = 0
        self._path = path
        self._engine_id = engine_id
        self._clock = clock
        self._heard = heard
        self._crash = crash
        self._latest: dict[str, Job] = {}
        self._jobs: deque[tuple[bool, Job]] = deque()
        self._version = -1
        self._claimed_ns = 0
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._listening = threading.Event()
        self._thread = threading.Thread(target=self._run, name="state", daemon=True)
        self._thread.start()

    # -- the loop's thread -------------------------------------------------------------------------

    @property
    def waiting(self) -> int:
        """How many jobs wait."""
        return len(self._jobs) + len(self._latest)

    def listen(self) -> None:
        """Begin to claim commands."""
        self._listening.set()

    def put(self, name: str, job: Job) -> None:
        """Write the latest of its name; one that still waits is replaced."""
        self._latest[name] = job
        self._wake.set()

    def write(self, job: Job) -> None:
        """Write, inside a transaction shared with other jobs."""
        self._queue(alone=False, job=job)

    def do(self, job: Job) -> None:
        """Write by a function that has a transaction of its own."""
        self._queue(alone=True, job=job)

    def _queue(self, *, alone: bool, job: Job) -> None:
        if len(self._jobs) >= JOBS_MAX:
            self._jobs.popleft()
            self.dropped += 1
        self._jobs.append((alone, job))
        self._wake.set()

    def close(self) -> None:
        """Write what is left; a refusing file gets `PATIENCE_S`. Raises StorageError."""
        self._listening.clear()
        self._closing.set()
        self._wake.set()
        self._thread.join(PATIENCE_S)
        if self.waiting:
            raise StorageError(f"{self.waiting} rows could not be written: {self.failure}")

    # -- the keeper's thread -----------------------------------------------------------------------

    def _run(self) -> None:
        connection: sqlite3.Connection | None = None
        opened = (0, 0)
        try:
            while not self._closing.is_set() or self.waiting:
                self._wake.wait(POLL_S)
                self._wake.clear()
                try:
                    if connection is None:
                        connection = connect_writer(self._path, busy_ms=BUSY_MS)
                        opened = file_id(self._path)
                    must_be(self._path, opened)
                    with refusals_told(self._path):
                        self._write(connection)
                        self._hear(connection)
                    self.failure = None
                except StorageError as error:
                    if self.failure is None:  # no page can tell of it: they read that file
                        log.get("state").warning("state.refused", reason=str(error))
                    self.failure = error
                    self._closing.wait(RETRY_S)
        except FATAL as error:
            self._crash(error)
        finally:
            if connection is not None:
                connection.close()

    def _write(self, connection: sqlite3.Connection) -> None:
        while self._jobs:
            if self._jobs[0][0]:
                self._jobs[0][1](connection)
                self._jobs.popleft()
                continue
            batch: list[Job] = []
            with transaction(connection):
                for alone, job in list(self._jobs)[:BATCH_MAX]:
                    if alone:
                        break
                    job(connection)
                    batch.append(job)
            for _ in batch:
                self._jobs.popleft()
        if self._latest:
            taken = dict(self._latest)
            with transaction(connection):
                for job in taken.values():
                    job(connection)
            for name, job in taken.items():
                if self._latest.get(name) is job:
                    del self._latest[name]

    def _hear(self, connection: sqlite3.Connection) -> None:
        if not self._listening.is_set():
            return
        version = data_version(connection)
        now_ns = self._clock.now_ns()
        if version == self._version and now_ns - self._claimed_ns < CLAIM_EVERY_NS:
            return
        self._version, self._claimed_ns = version, now_ns
        claimed = claim(connection, self._engine_id, now_ns)
        if claimed:
            self._heard(claimed)


class Projector:
    """Keeps orders, fills and positions up to date with the journal, on a thread of its own."""

    def __init__(
        self,
        journal: JournalWriter,
        *,
        journal_path: Path,
        state_path: Path,
        crash: Callable[[BaseException], None],
    ) -> None:
        self.failure: StorageError | None = None
        self.seq = -1
        self._journal = journal
        self._paths = (journal_path, state_path)
        self._crash = crash
        self._wanted: tuple[int, Callable[[], object]] | None = None
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="projector", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._closing.wait(PROJECT_EVERY_S):
            self._once()
        self._once()

    def at(self, seq: int, job: Callable[[], object]) -> bool:
        """Do a job on this thread while the projections stand at exactly the record `seq`.

        False = another job waits. One whose record has passed is let go: ask again.
        """
        if self._wanted is not None:
            return False
        self._wanted = (seq, job)
        return True

    def _once(self) -> None:
        durable, wanted = self._journal.durable_seq, self._wanted
        if durable == self.seq and wanted is None:
            return
        try:
            if wanted is not None and wanted[0] <= durable:
                self.seq = project(*self._paths, until_seq=wanted[0]).seq
                if self.seq == wanted[0]:
                    wanted[1]()
                self._wanted = None
            # Not beyond what was seen: somebody may just now want it to stop at the next record.
            if durable != self.seq:
                self.seq = project(*self._paths, until_seq=durable).seq
            self.failure = None
        except StorageError as error:
            self.failure = error
        except FATAL as error:
            self._crash(error)

    def close(self) -> None:
        """Project what is left and end the thread."""
        self._closing.set()
        self._thread.join(PATIENCE_S)
