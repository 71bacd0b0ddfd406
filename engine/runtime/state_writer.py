"""The state file's two threads: one writes what the engine says and takes commands, one projects.

The loop's thread never touches SQLite: it hands jobs over. What the file refuses for now is kept
and tried again; what it can never take is taken out and reported, and blocks nothing behind it;
any other error ends the engine. Jobs under a name replace each other: heartbeats never pile up.
Rows wait for company up to a second: every commit writes whole pages, however few rows it holds.
"""

from __future__ import annotations

import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from engine import log
from engine.clock import Clock, WallClock
from engine.domain.effects import alarm
from engine.errors import BadInput, StorageError
from storage.alerts import raise_alert
from storage.commands import LeftCommand, claim, pending
from storage.database import (
    OF_THE_VALUE,
    connect_writer,
    data_version,
    file_id,
    may_pass,
    must_be,
    primary_code,
    storage_errors,
    transaction,
)
from storage.journal_writer import JournalWriter
from storage.projection import project

POLL_S = 0.005
"""How often the file is asked whether somebody else wrote: 1 % of a core, 2.6 ms until received."""

CLAIM_EVERY_NS = 1_000_000_000
"""A look at the commands without a signal, so that old ones are refused in time."""

WRITE_EVERY = 200
"""Looks, `POLL_S` apart, until rows are written that no one waits for, and what is named."""

BUSY_MS = 250
RETRY_S = 0.1
BATCH_MAX = 500
JOBS_MAX = 20_000
"""Most jobs that wait while the desk trades. From there it places nothing until half of them are
written; at twice as many the engine ends. None is ever dropped."""

PROJECT_EVERY_S = 1.0
PATIENCE_S = 10.0

REFUSED = (sqlite3.Error, BadInput, ValueError, TypeError, ArithmeticError)
"""What a job may raise because of its values, `OF_THE_VALUE` where SQLite raised it."""

StateWrite = Callable[[sqlite3.Connection], object]


class _Waiting(NamedTuple):
    """A job in the queue."""

    job: StateWrite
    alone: bool = False
    """It has a transaction of its own."""
    refused: Callable[[str], object] | None = None
    """Receives why it can never be done."""


def _must_be_of_the_value(error: BaseException) -> None:
    """Raise what is not about a value: a file that refuses for now, one that is damaged."""
    if isinstance(error, sqlite3.Error) and primary_code(error) not in OF_THE_VALUE:
        raise error


class StateWriter:
    """What the engine wants written, in order, and how it is written and commands are claimed.

    `failure` is the file's present refusal, None = it writes. A subclass has the connection, and
    says when: `wake` tells it that something waits. `received` gets claimed commands, `crash` what
    must not be survived.
    """

    def __init__(
        self,
        path: Path,
        *,
        engine_id: str,
        clock: Clock,
        received: Callable[[list[LeftCommand]], object],
        crash: Callable[[BaseException], None],
    ) -> None:
        self.failure: StorageError | None = None
        self._halting = False
        self._path = path
        self._engine_id = engine_id
        self._clock = clock
        self._received = received
        self._crash = crash
        self._latest: dict[str, StateWrite] = {}
        self._jobs: deque[_Waiting] = deque()
        self._listening = threading.Event()

    # -- what is to be written ---------------------------------------------------------------------

    def wake(self, *, awaited: bool) -> None:
        """Tell whoever writes that something waits, and whether somebody waits for it."""
        raise NotImplementedError

    def close(self) -> None:
        """Write what is left. Raises StorageError."""
        raise NotImplementedError

    @property
    def waiting(self) -> int:
        return len(self._jobs) + len(self._latest)

    def listen(self) -> None:
        """Begin to claim commands."""
        self._listening.set()

    def put(self, name: str, job: StateWrite) -> None:
        """Write the latest of its name; one that still waits is replaced."""
        self._latest[name] = job
        self.wake(awaited=False)

    def write(self, job: StateWrite, *, awaited: bool = False) -> None:
        """Write, inside a transaction shared with other jobs; at once where it is awaited."""
        self._queue(_Waiting(job), awaited=awaited)

    def put_row(self, name: str, by: Callable[..., object], *row: object, **more: object) -> None:
        """Write the latest of its name by a function of storage: (connection, engine id, *row)."""
        self.put(name, lambda connection: by(connection, self._engine_id, *row, **more))

    def write_row(
        self, by: Callable[..., object], *row: Any, awaited: bool = False, **more: Any
    ) -> None:
        """Write by a function of storage: (connection, engine id, *row)."""
        self.write(
            lambda connection: by(connection, self._engine_id, *row, **more), awaited=awaited
        )

    def do(self, job: StateWrite, *, refused: Callable[[str], object] | None = None) -> None:
        """Write by a function that has a transaction of its own.

        `refused` receives, on the keeper's thread, why it can never be done; without it an alert
        says so.
        """
        self._queue(_Waiting(job, alone=True, refused=refused), awaited=True)

    @property
    def halts(self) -> str:
        """Why nothing may be placed: too many rows wait. Empty = it may."""
        if self._halting and len(self._jobs) < JOBS_MAX // 2:
            self._halting = False
        return self._backlog() if self._halting else ""

    def _backlog(self) -> str:
        why = self.failure or "the disk is slower than the engine"
        return f"{len(self._jobs)} rows wait for {self._path.name}, none is lost: {why}"

    def _queue(self, waiting: _Waiting, *, awaited: bool) -> None:
        self._jobs.append(waiting)
        self._halting |= len(self._jobs) >= JOBS_MAX
        if len(self._jobs) == 2 * JOBS_MAX:
            self._crash(StorageError(self._backlog()))
        self.wake(awaited=awaited or len(self._jobs) >= BATCH_MAX)

    # -- how it is written -------------------------------------------------------------------------

    def work(self, connection: sqlite3.Connection) -> None:
        while self._jobs:
            # By number: the loop's thread appends meanwhile, which an iterator does not survive.
            first = (self._jobs[number] for number in range(min(len(self._jobs), BATCH_MAX)))
            batch = list(takewhile(lambda one: not one.alone, first))
            named = dict(self._latest) if len(batch) == len(self._jobs) else {}
            jobs = [*(one.job for one in batch), *named.values()]
            if batch and self._tried(connection, jobs):
                for _ in batch:
                    self._jobs.popleft()
                self._forget(named)
                continue
            for one in batch or [self._jobs[0]]:  # each for itself: one of them cannot be written
                self._single(connection, one)
                self._jobs.popleft()
        named = dict(self._latest)
        if named and not self._tried(connection, list(named.values())):
            for job in named.values():
                self._single(connection, _Waiting(job))
        self._forget(named)

    def _forget(self, named: dict[str, StateWrite]) -> None:
        for name, job in named.items():
            if self._latest.get(name) is job:
                del self._latest[name]

    def _tried(self, connection: sqlite3.Connection, jobs: list[StateWrite]) -> bool:
        """Write all of them at once; False = one of them never can be, and none is written."""
        try:
            with transaction(connection):
                for job in jobs:
                    job(connection)
        except REFUSED as error:
            _must_be_of_the_value(error)
            return False
        return True

    def _single(self, connection: sqlite3.Connection, waiting: _Waiting) -> None:
        """Write one job, or say why it can never be written."""
        try:
            if waiting.alone:
                waiting.job(connection)
            else:
                with transaction(connection):
                    waiting.job(connection)
        except REFUSED as error:
            _must_be_of_the_value(error)
            if waiting.refused is not None:
                waiting.refused(str(error))
            else:
                self._alert_refused(connection, error)

    def _alert_refused(self, connection: sqlite3.Connection, error: BaseException) -> None:
        text = f"a row can never be written to {self._path.name} and is left out: {error}"
        log.get("state").error("state.row_refused", reason=text, exc_info=error)
        alert = alarm("row", text)
        try:
            with transaction(connection):
                raise_alert(connection, self._engine_id, alert, None, self._clock.now_ns())
        except REFUSED as refused:
            _must_be_of_the_value(refused)  # not even an alert: the log has it

    def claim(self, connection: sqlite3.Connection, now_ns: int) -> bool:
        """Claim commands and hand them on; True = more of them wait than one claim takes."""
        claimed = claim(connection, self._engine_id, now_ns)
        more = pending(connection, self._engine_id)
        if claimed:
            self._received(claimed)
        return more


class StateKeeper(StateWriter):
    """Writes the state file on its own thread, where `received` and `crash` are called, too."""

    def __init__(
        self,
        path: Path,
        *,
        clock: WallClock,
        has_room: Callable[[], bool] = lambda: True,
        **wiring: Any,
    ) -> None:
        """Open nothing yet. `has_room` says whether those who execute commands take more."""
        super().__init__(path, clock=clock, **wiring)
        self._has_room = has_room
        self._said_ns = clock.said_ns
        self._version = -1
        self._more = False
        self._claimed_ns = 0
        self._looks = WRITE_EVERY
        """How often it looked since rows were written."""
        self._awaited = threading.Event()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="state", daemon=True)
        self._thread.start()

    def wake(self, *, awaited: bool) -> None:
        if awaited:
            self._awaited.set()
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
                    with storage_errors(self._path):
                        if self._due():
                            self.work(connection)
                        self._receive(connection)
                    self.failure = None
                except StorageError as error:
                    if not may_pass(error):
                        raise
                    if self.failure is None:  # no page can tell of it: they read that file
                        log.get("state").warning("state.refused", reason=str(error))
                    self.failure = error
                    self._awaited.set()  # the same again, as soon as the file may take it
                    self._closing.wait(RETRY_S)
        except BaseException as error:  # noqa: BLE001 after it no thread would receive a command
            self._crash(error)
        finally:
            if connection is not None:
                connection.close()

    def _due(self) -> bool:
        """Say whether what waits is written now: somebody awaits it, or a second is over."""
        self._looks += 1
        late = self._looks >= WRITE_EVERY or self._awaited.is_set() or self._closing.is_set()
        if not (late and self.waiting):
            return False
        self._awaited.clear()  # before they are taken: what comes meanwhile is seen next time
        self._looks = 0
        return True

    def _receive(self, connection: sqlite3.Connection) -> None:
        if not (self._listening.is_set() and self._has_room()):
            return
        version = data_version(connection)
        now_ns = self._clock.now_ns()
        looked = version == self._version and now_ns - self._claimed_ns < CLAIM_EVERY_NS
        if looked and not self._more:
            return
        self._version, self._claimed_ns = version, now_ns
        # By the clock they were left by: where it was set back, ours would find all of them late.
        self._more = self.claim(connection, self._said_ns())


class Projections(Protocol):
    """What keeps orders, fills and positions up to date with the journal."""

    failure: StorageError | None
    seq: int

    def at(self, seq: int, job: Callable[[], object]) -> bool:
        """Do a job while they stand at exactly this record; False = another job waits."""
        ...

    def close(self) -> None: ...


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
        self._job_at: tuple[int, Callable[[], object]] | None = None
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="projector", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            while not self._closing.wait(PROJECT_EVERY_S):
                self._once()
            self._once()
        except BaseException as error:  # noqa: BLE001 the pages would show what was
            self._crash(error)

    def at(self, seq: int, job: Callable[[], object]) -> bool:
        """Do a job on this thread while the projections stand at exactly the record `seq`.

        False = another job waits. One whose record has passed is let go: ask again.
        """
        if self._job_at is not None:
            return False
        self._job_at = (seq, job)
        return True

    def _once(self) -> None:
        durable, job_at = self._journal.durable_seq, self._job_at
        if durable == self.seq and job_at is None:
            return
        try:
            if job_at is not None and job_at[0] <= durable:
                self.seq = project(*self._paths, until_seq=job_at[0]).seq
                if self.seq == job_at[0]:
                    job_at[1]()
                self._job_at = None
            # Not beyond what was seen: somebody may just now want it to stop at the next record.
            if durable != self.seq:
                self.seq = project(*self._paths, until_seq=durable).seq
            self.failure = None
        except StorageError as error:
            self.failure = error
            if not may_pass(error):
                self._crash(error)

    def close(self) -> None:
        self._closing.set()
        self._thread.join(PATIENCE_S)
