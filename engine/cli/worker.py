"""`python -m engine worker`: runs the jobs of the job table, one at a time, each in a child.

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
from engine.domain.jobs import RetainJob
from engine.errors import StorageError
from engine.jobs.run import run_one
from engine.locks import locked
from storage import jobs
from storage.database import connect_writer, storage_errors
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
ERRORS = "job.err"
ERRORS_BYTES_MAX = 64 * 1024
OUR_MISTAKE = (1, 2, 3, 5)
"""Exit codes with which a job would end again if it were offered again."""

ENVIRONMENT = (
    "PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "VIRTUAL_ENV",
    "PITBOSS_HOME", "PITBOSS_DATA", "DATABASE_URL", "PITBOSS_LOG_LEVEL",
    "PITBOSS_DISK_BUDGET",
)  # fmt: skip
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
    with locked(config.run_folder / LOCK, "worker", LOCK_WAIT_S) as lock:
        Worker(config, lock).work()
    return 0


class Worker:
    """Claims jobs and minds the one that runs."""

    def __init__(self, config: Config, lock: TextIO) -> None:
        self._config = config
        self._lock = lock
        self._clock = WallClock()
        self._parent = os.getppid()
        self._ending = threading.Event()
        self._log = log.get("worker")
        self._heartbeat_s = 0.0
        self._retain_s = time.monotonic() + RETAIN_EVERY_S

    def work(self) -> None:
        """Run until told to end; what refuses is said and tried again."""
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
        """Touch the lock file: its age is how long nobody has heard of us."""
        now_s = time.monotonic()
        if now_s - self._heartbeat_s >= HEARTBEAT_EVERY_S:
            self._heartbeat_s = now_s
            os.utime(self._lock.name)

    def _recover(self, connection: sqlite3.Connection) -> None:
        for number, text in jobs.recover(connection, ENGINE_ID, self._clock.now_ns()):
            self._log.warning("job.recovered", job=number, text=text)

    def _run_jobs(self, connection: sqlite3.Connection) -> None:
        while not self._must_end():
            self._heartbeat()
            job = jobs.claim(connection, ENGINE_ID, self._clock.now_ns())
            if job is None:
                self._retain(connection)
                self._ending.wait(POLL_S)
            else:
                self._run_job(connection, job)

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
                connection, engine_id=ENGINE_ID, kind=RetainJob.kind(), arguments="{}",
                who="worker", now_ns=now_ns, command=f"retain-{now_ns // HOUR_NS}",
            )  # fmt: skip
            self._log.info("worker.retains", job=number, why=why)

    def _run_job(self, connection: sqlite3.Connection, job: Job) -> None:
        """Mind a job to its end; it writes its own, unless it cannot any more."""
        child = self._start(job)
        why = ""
        try:
            while child.poll() is None and not why:
                self._heartbeat()
                self._ending.wait(POLL_S)
                stopped = "the worker was stopped" if self._must_end() else ""
                why = stopped or self._cancelled(connection, job)
        finally:
            code = _terminated(child)
        self._settle(connection, job, code, cancelled=bool(why) and not self._must_end())

    def _start(self, job: Job) -> subprocess.Popen[bytes]:
        words = ["worker", "--job", str(job.id), "--attempt", str(job.attempts)]
        with (self._config.run_folder / ERRORS).open("wb") as errors:
            return subprocess.Popen(  # noqa: S603 our own interpreter, our own arguments
                [sys.executable, "-m", "engine", *words],
                cwd=REPOSITORY,
                env={**os.environ, "PITBOSS_HOME": str(self._config.home)},
                stdin=subprocess.DEVNULL,
                stderr=errors,
                pass_fds=(self._lock.fileno(),),
            )

    def _cancelled(self, connection: sqlite3.Connection, job: Job) -> str:
        try:
            return jobs.wants_cancel(connection, ENGINE_ID, job)
        except sqlite3.OperationalError as error:
            # The file refuses for the moment; the next look is a quarter of a second away.
            self._log.warning("worker.waits", reason=str(error))
            return ""

    def _settle(
        self, connection: sqlite3.Connection, job: Job, code: int, *, cancelled: bool
    ) -> None:
        """Write the end of a job that did not write it itself."""
        now_ns = self._clock.now_ns()
        if cancelled:
            who = jobs.wants_cancel(connection, ENGINE_ID, job)
            jobs.finish(
                connection, ENGINE_ID, job, state=JobState.CANCELLED, now_ns=now_ns,
                error=f"cancelled by {who}",
            )  # fmt: skip
            self._log.info("job.cancelled", job=job.id, who=who)
            return
        said = self._child_errors()
        if code in OUR_MISTAKE:
            text = said[-1] if said else f"it ended with exit code {code} and no message"
            jobs.finish(
                connection, ENGINE_ID, job, state=JobState.FAILED, now_ns=now_ns, error=text
            )
        for number, text in jobs.recover(connection, ENGINE_ID, now_ns):
            self._log.warning("job.died", job=number, code=code, text=text)

    def _child_errors(self) -> list[str]:
        """Return what the job wrote to standard error; it goes into our own log, too."""
        with (self._config.run_folder / ERRORS).open("rb") as file:
            text = file.read(ERRORS_BYTES_MAX).decode(errors="replace")
        sys.stderr.write(text)
        return text.splitlines()


def _terminated(child: subprocess.Popen[bytes]) -> int:
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            child.kill()
    return child.wait()
