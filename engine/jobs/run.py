"""One job, in the process that runs it: its arguments, its progress, its end.

The worker starts this as a child, so that a job can be ended at any moment and one that dies takes
nobody with it. The child has no credential: its environment holds none.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

from engine import log
from engine.clock import WallClock
from engine.config import Config
from engine.domain.effects import caution
from engine.domain.jobs import JOB_KINDS, JobArguments, arguments_of
from engine.domain.plain import PlainDict, PlainView
from engine.errors import BadInput, PitbossError, StorageError, os_sentence
from engine.plugins import found
from storage.alerts import raise_alert
from storage.database import connect_reader, connect_writer, storage_errors
from storage.jobs import Job, JobProgress, JobState, find, finish, report_progress
from storage.runs import run_of_job
from storage.users import ENGINE_ID

PROGRESS_EVERY_S = 0.5
PARENT_EVERY_S = 0.25
RETRY_S = 0.5
PATIENCE_S = 600.0
"""How long the end of a job waits for a file that refuses; then the worker offers it again."""

NICENESS = 10
"""Trading goes first: a job takes what the engine leaves over."""

ORPHANED = 71
"""Exit code of a child whose worker is gone."""


class Cancelled(Exception):
    """The worker asked this job to end."""


class JobContext:
    """What a job may use: where things are, and how it tells its progress."""

    def __init__(self, config: Config, job: Job) -> None:
        self.config = config
        self.job = job
        self._clock = WallClock()
        self._written_s = 0.0

    def now_ns(self) -> int:
        """Return the time in ns UTC."""
        return self._clock.now_ns()

    def alert(self, kind: str, text: str) -> None:
        """Raise a caution for a person; a state file that refuses it leaves it to the log."""
        log.get("job").warning("job.alert", job=self.job.id, kind=kind, text=text)
        path = self.config.state_path
        try:
            with closing(connect_writer(path)) as connection, storage_errors(path):
                raise_alert(connection, ENGINE_ID, caution(kind, text), None, self.now_ns())
        except StorageError as error:
            log.get("job").warning("job.alert", job=self.job.id, refused=str(error))

    def recording(self, text: str) -> Path:
        """Return where a recording is, as `Config.recording` finds it. Raises BadInput."""
        return self.config.recording(text)

    def stored(self) -> PlainDict | None:
        """Return the result where an earlier attempt has stored its run; None = none has."""
        if not self.config.state_path.is_file():
            return None
        with closing(connect_reader(self.config.state_path)) as connection:
            known = run_of_job(connection, self.job.id)
        note = "an earlier attempt had stored it already"
        return None if known is None else {"run": known, "note": note}

    def progress(self, done: int, total: int, unit: str, note: str = "") -> None:
        """Tell how far it is, `done` of `total` units; quick to call, written twice a second.

        Raises Cancelled where this attempt does not count any more.
        """
        if _cancel_asked.is_set():
            raise Cancelled
        now_s = time.monotonic()
        if now_s - self._written_s < PROGRESS_EVERY_S:
            return
        self._written_s = now_s
        progress = JobProgress(done=done, total=total, unit=unit, note=note)
        try:
            path = self.config.state_path
            with closing(connect_writer(path, synchronous="NORMAL")) as c, storage_errors(path):
                goes_on = report_progress(c, ENGINE_ID, self.job, progress, self.now_ns())
        except StorageError as error:
            # Progress is for the eye; the job goes on and tells it later.
            log.get("job").warning("progress", job=self.job.id, refused=str(error))
            return
        if not goes_on:
            raise Cancelled


Work = Callable[[Any, JobContext], PlainView]
"""A kind of job: takes its arguments and the context, gives its result as a JSON object."""

STUDIES = ("studies.compare.job",)
"""Jobs of studies, which stand beside the product: the worker loads them by name."""

_works: dict[str, Work] = {}


def job(model: type[JobArguments]) -> Callable[[Work], Work]:
    def declare(work: Work) -> Work:
        _works[model.kind()] = work
        return work

    return declare


@cache
def works() -> Mapping[str, Work]:
    """Return what each kind of job does, by name: of this folder, of studies and of plug-ins."""
    for one in found("jobs", "engine.jobs"):
        for model in one.defined(JobArguments) if one.plugin else ():
            if JOB_KINDS.get(model.kind()) is model:
                _works[model.kind()] = one.guarded(one.module.run, Cancelled)
    for name in STUDIES:
        importlib.import_module(name)
    return _works


def run_one(config: Config, number: int, attempt: int) -> int:
    """Run the attempt the worker has claimed, and write its end. Gives the exit code.

    Raises StorageError where the end cannot be written.
    """
    _exit_when_orphaned(os.getppid())
    os.nice(NICENESS)
    with closing(connect_writer(config.state_path)) as connection:
        job = find(connection, ENGINE_ID, number)
    if job is None or job.state is not JobState.RUNNING or job.attempts != attempt:
        raise BadInput(f"job {number} is not at attempt {attempt}; only the worker starts a job")
    context = JobContext(config, job)
    logger = log.get("job")
    logger.info("job.begin", job=job.id, kind=job.kind, attempt=attempt)
    signal.signal(signal.SIGTERM, _on_sigterm)
    try:
        arguments: JobArguments = arguments_of(job.kind, job.arguments)
        result = works()[job.kind](arguments, context)
    except Cancelled:
        logger.info("job.cancelled", job=job.id)
        return 0
    except (PitbossError, OSError) as error:
        said = os_sentence(error) if isinstance(error, OSError) else str(error)
        logger.warning("job.failed", job=job.id, error=said)
        _write_end(context, JobState.FAILED, error=said)
        return 0
    logger.info("job.done", job=job.id)
    _write_end(context, JobState.DONE, result=json.dumps(result))
    return 0


def _write_end(context: JobContext, state: JobState, *, result: str = "", error: str = "") -> None:
    """Write the end; a file that refuses is tried again. Raises StorageError after the patience."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # what is done is done: it is written
    path = context.config.state_path
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            with closing(connect_writer(path)) as c, storage_errors(path):
                now_ns = context.now_ns()
                finish(
                    c,
                    ENGINE_ID,
                    context.job,
                    state=state,
                    now_ns=now_ns,
                    result=result,
                    error=error,
                )
        except StorageError:
            if time.monotonic() >= until:
                raise
            threading.Event().wait(RETRY_S)
        else:
            return


_cancel_asked = threading.Event()
"""The worker asked this process to end. It is looked at, too: an exception that a signal raises
inside a destructor or a callback is lost."""


def _on_sigterm(number: int, frame: FrameType | None) -> None:
    del number, frame
    _cancel_asked.set()
    raise Cancelled


def _exit_when_orphaned(parent: int) -> None:
    """End this process when its worker is gone: the job would otherwise run twice."""

    def watch() -> None:
        tick = threading.Event()
        while os.getppid() == parent:
            tick.wait(PARENT_EVERY_S)
        os._exit(ORPHANED)

    threading.Thread(target=watch, name="parent", daemon=True).start()
