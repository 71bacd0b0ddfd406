"""`python -m engine worker`: runs the jobs of the job table, each in a child, in two lanes.

Housekeeping has a lane of its own: a backup never waits behind an hour's backtest.

The child inherits the worker's lock: as long as anything of a worker lives, there is no second one,
so a job never runs twice at once. It holds no credential and opens no connection to a venue.
"""

from __future__ import annotations

import argparse
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing, suppress
from pathlib import Path
from types import FrameType
from typing import TextIO

from engine import log
from engine.cli.arguments import WHOLE_MAX, whole
from engine.clock import WallClock
from engine.config import Config
from engine.domain.jobs import JOB_KINDS, RetainJob
from engine.errors import BrokenInvariant, StorageError, os_sentence
from engine.jobs.run import run_one
from engine.locks import locked
from storage import jobs
from storage.database import connect_writer, storage_errors
from storage.files import write_whole
from storage.jobs import Job, JobState
from storage.retention import due, truncate_logs
from storage.schema import check_schema
from storage.users import ENGINE_ID

HELP = "run the long jobs of the job table: replays, backups, exports"

LOCK_WAIT_S = 3.0
"""How long a former worker's last job may take to notice that it is alone."""

POLL_S = 0.25
HEARTBEAT_EVERY_S = 2.0
GRACE_S = 5.0
"""What a job has to put itself in order after it was asked to end."""

RETAIN_EVERY_S = 600.0
"""How often it looks whether history has to go; it does once an hour at most."""

HOUR_NS = 3_600 * 1_000_000_000
LOCK = "worker.lock"
SHIPPED = Path(__file__).resolve().parents[1] / "lab" / "shipped" / "demo-three-days.csv.gz"
"""Minutes of the demo exchange, as `engine data demo` writes them."""
ERRORS, HOUSEKEEPING_ERRORS = "job.err", "housekeeping.err"
HOUSEKEEPING = frozenset(name for name, model in JOB_KINDS.items() if model.housekeeping)
"""Kinds of jobs that never wait behind a long one."""

ERRORS_BYTES_MAX = 64 * 1024
OUR_MISTAKE = (1, 2, 3, 5)
"""Exit codes with which a job would end again if it were offered again."""

ENVIRONMENT = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "VIRTUAL_ENV",
    "PYTHONFAULTHANDLER",
    "PITBOSS_HOME",
    "PITBOSS_DATA",
    "DATABASE_URL",
    "PITBOSS_LOG_LEVEL",
    "PITBOSS_DISK_BUDGET",
)
"""What worker and jobs keep of the environment beside venues' addresses: no key, no credential."""

REPOSITORY = Path(__file__).resolve().parents[2]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take which attempt of which job a child runs: only the worker itself says such things."""
    parser.add_argument("--clean", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--job", type=whole(1, WHOLE_MAX), help=argparse.SUPPRESS)
    parser.add_argument("--attempt", type=whole(0, WHOLE_MAX), default=0, help=argparse.SUPPRESS)


def run(args: argparse.Namespace, config: Config) -> int:
    """Work until SIGTERM, SIGINT or the end of the parent. Raises StorageError at the start."""
    if args.job is not None:
        check_schema(config.state_path)
        return run_one(config, args.job, args.attempt)
    if not args.clean:
        # What a process was started with stays readable for as long as it lives: start anew.
        environ = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
        environ |= config.venue_urls
        words = [sys.executable, "-m", "engine", "worker", "--clean"]
        os.execve(sys.executable, words, environ)  # noqa: S606 our own interpreter and arguments
    check_schema(config.state_path)
    lay_first_data(config.data_folder)
    with locked(config.run_folder / LOCK, "worker", LOCK_WAIT_S) as lock:
        Worker(config, lock).work()
    return 0


def lay_first_data(folder: Path) -> None:
    """Lay the shipped bars into a home that never had data, so that its first backtest has some.

    Whoever deletes them does not find them again. What cannot be written is said and left out.
    """
    if folder.exists():
        return
    try:
        folder.mkdir(mode=0o700, parents=True)
        write_whole(folder / SHIPPED.name, SHIPPED.read_bytes(), once=True)
    except OSError as error:
        log.get("worker").warning("worker.no_first_data", reason=os_sentence(error))


class Lane:
    """Runs one job at a time: housekeeping, or everything else."""

    def __init__(self, *, housekeeping: bool) -> None:
        self.housekeeping = housekeeping
        self.job: Job | None = None
        self.child: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> Job:
        """The job that runs, or just ended. Raises BrokenInvariant where none does."""
        if self.job is None:
            raise BrokenInvariant("this lane runs no job")
        return self.job

    def ended(self) -> int:
        """End what runs, where it has not ended by itself; return its exit code."""
        child, self.child = self.child, None
        return 0 if child is None else _terminated(child)


def _terminated(child: subprocess.Popen[bytes]) -> int:
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            child.kill()
    return child.wait()


class Worker:
    """Claims jobs and minds those that run, one in each lane."""

    def __init__(self, config: Config, lock: TextIO) -> None:
        self._config = config
        self._lock = lock
        self._clock = WallClock()
        self._parent = os.getppid()
        self._ending = threading.Event()
        self._log = log.get("worker")
        self._lanes = (Lane(housekeeping=True), Lane(housekeeping=False))
        self._heartbeat_s = 0.0
        self._retain_s = time.monotonic() + RETAIN_EVERY_S

    def work(self) -> None:
        """Run until a signal to end; what refuses is said and tried again."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._end)
        self._log.info("worker.open", pid=os.getpid())
        recovered = False
        path = self._config.state_path
        while not self._must_end():
            self._heartbeat()
            try:
                with closing(connect_writer(path)) as connection, storage_errors(path):
                    if not recovered:
                        self._recover(connection)
                        recovered = True
                    self._run_jobs(connection)
            except StorageError as error:
                self._log.warning("worker.waits", reason=str(error))
                recovered = False  # a job may have ended while its end could not be written
                self._ending.wait(HEARTBEAT_EVERY_S)
        self._log.info("worker.closed")

    def _end(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._ending.set()

    def _must_end(self) -> bool:
        # A worker started by init has no parent to lose.
        return self._ending.is_set() or (self._parent != 1 and os.getppid() != self._parent)

    def _heartbeat(self) -> None:
        """Touch the lock file: its age is how long we have not been heard of."""
        now_s = time.monotonic()
        if now_s - self._heartbeat_s >= HEARTBEAT_EVERY_S:
            self._heartbeat_s = now_s
            os.utime(self._lock.name)

    def _recover(self, connection: sqlite3.Connection) -> None:
        for number, text in jobs.recover(connection, ENGINE_ID, self._clock.now_ns()):
            self._log.warning("job.recovered", job=number, text=text)

    def _run_jobs(self, connection: sqlite3.Connection) -> None:
        try:
            while not self._must_end():
                self._heartbeat()
                housekeeps, _ = [self._turn(connection, lane) for lane in self._lanes]
                if not housekeeps:
                    self._retain(connection)
                self._ending.wait(POLL_S)
        finally:
            # None may be alive where this ends: what runs then is offered again, or settled here.
            ran = [(lane, lane.ended()) for lane in self._lanes if lane.child is not None]
        for lane, code in ran:
            self._settle(connection, lane, code, cancelled=False)

    def _turn(self, connection: sqlite3.Connection, lane: Lane) -> bool:
        """Begin the next job of a lane, or mind the one that runs; say whether one runs."""
        if lane.child is None:
            job = jobs.claim(
                connection,
                ENGINE_ID,
                self._clock.now_ns(),
                kinds=HOUSEKEEPING,
                among=lane.housekeeping,
            )
            if job is not None:
                self._start(lane, job)
            return job is not None
        cancelled = self._cancelled(connection, lane.running)
        if lane.child.poll() is not None or cancelled:
            code = lane.ended()
            self._settle(connection, lane, code, cancelled=bool(cancelled))
        return True

    def _retain(self, connection: sqlite3.Connection) -> None:
        """End long logs of databases; ask for the job that keeps the disk budget, where it must."""
        now_s, now_ns = time.monotonic(), self._clock.now_ns()
        if now_s < self._retain_s:
            return
        self._retain_s = now_s + RETAIN_EVERY_S
        config = self._config
        for path in (config.state_path, config.journal_path, config.decisions_path):
            with suppress(StorageError):  # who needs the file says what is wrong with it
                truncate_logs((path,))
        try:
            why = due(config.history, config.share, now_ns)
        except (StorageError, OSError) as error:
            # The job keeps the other kinds, and its end names this one for a person.
            why = f"one kind of history cannot be measured: {error}"
        if why:
            number = jobs.queue(
                connection,
                engine_id=ENGINE_ID,
                kind=RetainJob.kind(),
                arguments="{}",
                who="worker",
                now_ns=now_ns,
                command=f"retain-{now_ns // HOUR_NS}",
            )
            self._log.info("worker.retains", job=number, why=why)

    def _start(self, lane: Lane, job: Job) -> None:
        words = ["worker", "--job", str(job.id), "--attempt", str(job.attempts)]
        with self._errors_of(lane).open("wb") as errors:
            lane.child = subprocess.Popen(  # noqa: S603 our own interpreter, our own arguments
                [sys.executable, "-m", "engine", *words],
                cwd=REPOSITORY,
                env={**os.environ, "PITBOSS_HOME": str(self._config.home)},
                stdin=subprocess.DEVNULL,
                stderr=errors,
                pass_fds=(self._lock.fileno(),),
            )
        lane.job = job

    def _errors_of(self, lane: Lane) -> Path:
        return self._config.run_folder / (HOUSEKEEPING_ERRORS if lane.housekeeping else ERRORS)

    def _cancelled(self, connection: sqlite3.Connection, job: Job) -> str:
        try:
            return jobs.wants_cancel(connection, ENGINE_ID, job)
        except sqlite3.OperationalError as error:
            # The file refuses for the moment; the next look is a quarter of a second away.
            self._log.warning("worker.waits", reason=str(error))
            return ""

    def _settle(
        self, connection: sqlite3.Connection, lane: Lane, code: int, *, cancelled: bool
    ) -> None:
        """Write the end of a job that did not write it itself; the lane is free then."""
        now_ns, job = self._clock.now_ns(), lane.running
        lane.job = None
        if cancelled:
            who = jobs.wants_cancel(connection, ENGINE_ID, job)
            jobs.finish(
                connection,
                ENGINE_ID,
                job,
                state=JobState.CANCELLED,
                now_ns=now_ns,
                error=f"cancelled by {who}",
            )
            self._log.info("job.cancelled", job=job.id, who=who)
            return
        said = self._child_errors(self._errors_of(lane))
        if code in OUR_MISTAKE:
            text = said[-1] if said else f"it ended with exit code {code} and no message"
            jobs.finish(
                connection, ENGINE_ID, job, state=JobState.FAILED, now_ns=now_ns, error=text
            )
        for number, text in jobs.recover(connection, ENGINE_ID, now_ns, job=job.id):
            self._log.warning("job.died", job=number, code=code, text=text)

    def _child_errors(self, errors: Path) -> list[str]:
        """Return what the job wrote to standard error; it goes into our own log, too."""
        with errors.open("rb") as file:
            text = file.read(ERRORS_BYTES_MAX).decode(errors="replace")
        sys.stderr.write(text)
        return text.splitlines()
