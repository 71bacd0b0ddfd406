"""Long work on a live engine: jobs queued for the worker, and the schedule.

The engine only hands over: the worker runs the jobs, the schedule's thread posts what is due, and
what is due becomes a command like any other, with its audit row and its answer.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from engine.domain.commands import (
    AnyCommand,
    CancelJob,
    RunJob,
    StartRecording,
    StopRecording,
    SyncMarkets,
)
from engine.domain.effects import RaiseAlert, Severity
from engine.domain.jobs import arguments_of
from engine.domain.settings import ScheduleEntry
from engine.errors import BadInput
from engine.live.commands.registry import Pending, command, part
from engine.live.engine import Engine
from engine.live.recordings import CommandReply, Recordings
from engine.live.schedule import Schedule
from storage import jobs
from storage.commands import CommandState, leave
from storage.database import transaction
from storage.jobs import ScheduleSeen, last_posted, note_posted, put_schedule

DONE, REFUSED = CommandState.DONE, CommandState.REFUSED
WHO = "schedule"
MINUTE_NS = 60 * 1_000_000_000
LOOK_NS = 1_000_000_000
COMMAND_TTL_NS = 600 * 1_000_000_000
"""A scheduled command may wait for an engine that is just recovering."""


@part
class Jobs:
    """Jobs, schedule and recordings of one engine. Everything here is on the loop's thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._loop = engine.ended.get_loop()
        self._schedule: Schedule | None = None
        self._version = -1
        self._entries: dict[str, ScheduleEntry] = {}
        self._problems: dict[str, str] = {}
        self._look_ns = 0
        self._written: tuple[ScheduleSeen, ...] | None = None
        self.recordings = Recordings(engine, self._ask)
        engine.watchers.append(self.watch)

    # -- jobs --------------------------------------------------------------------------------------

    def run_job(self, command: RunJob, who: str) -> Pending:
        """Queue a job; answered when it stands in the table. Raises BadInput."""
        arguments_of(command.job, command.arguments)
        engine, pending = self._engine, Pending()
        now_ns = engine.clock.now_ns()

        def do(connection: Any) -> str:
            number = jobs.queue(
                connection, engine_id=engine.engine_id, kind=command.job,
                arguments=command.arguments, who=who, now_ns=now_ns,
            )  # fmt: skip
            return f"job {number} waits for the worker"

        self._ask(do, pending.reply)
        return pending

    def cancel_job(self, command: CancelJob, who: str) -> Pending:
        """End a job, or ask the worker to."""
        engine, pending = self._engine, Pending()
        now_ns = engine.clock.now_ns()
        self._ask(
            lambda c: jobs.cancel(
                c, engine_id=engine.engine_id, job=command.job, who=who, now_ns=now_ns
            ),
            pending.reply,
        )
        return pending

    def _ask(self, do: Callable[[Any], str], reply: CommandReply) -> None:
        """Do something where files are written; answer with its words, or with its refusal."""

        def run(connection: Any) -> None:
            try:
                text, state = do(connection), DONE
            except OSError as error:
                text, state = str(error), REFUSED
            self._loop.call_soon_threadsafe(reply, state, text)

        def refused(why: str) -> None:
            self._loop.call_soon_threadsafe(reply, REFUSED, why)

        self._engine.state.do(run, refused=refused)

    # -- as time passes ----------------------------------------------------------------------------

    def watch(self, now_ns: int) -> None:
        """Once a second: begin when the engine runs, follow the settings, write what stands."""
        engine = self._engine
        if now_ns < self._look_ns or engine.phase != "RUNNING":
            return
        self._look_ns = now_ns + LOOK_NS
        self.recordings.watch(now_ns)
        if self._version != engine.settings.version:
            self._version = engine.settings.version
            entries = dict(engine.settings.document.schedule)
            engine.state.do(
                lambda c: self._loop.call_soon_threadsafe(
                    self._apply, entries, last_posted(c, engine.engine_id)
                )
            )
        if self._schedule is not None:
            if (rows := self._rows()) == self._written:
                return
            self._written = rows
            engine.state.put("schedule", lambda c: put_schedule(c, engine.engine_id, rows, now_ns))

    # -- the schedule ------------------------------------------------------------------------------

    def _apply(self, entries: dict[str, ScheduleEntry], last_ns: dict[str, int]) -> None:
        self._entries = entries
        wrong = {name: problem for name, entry in entries.items() if (problem := _wrong(entry))}
        on = {name: entry.cron for name, entry in entries.items() if entry.on and name not in wrong}
        if self._schedule is None and on:  # it has a thread of its own
            self._schedule = Schedule(self._post)
            self._engine.ended.add_done_callback(lambda _: self._close())
        refused = {} if self._schedule is None else self._schedule.apply(on, last_ns)
        self._problems = {**wrong, **refused}
        for name, text in self._problems.items():
            told = f"schedule {name}: {text}"
            alert = RaiseAlert(severity=Severity.WARNING, kind="schedule", text=told)
            self._engine.alert(alert, self._engine.clock.now_ns())

    def _post(self, name: str) -> None:
        """Hand over what is due; called on the schedule's thread."""
        self._loop.call_soon_threadsafe(self._due, name)

    def _close(self) -> None:
        if self._schedule is not None:
            self._schedule.close()

    def _rows(self) -> tuple[ScheduleSeen, ...]:
        due = self._schedule.next_ns() if self._schedule is not None else {}
        return tuple(
            ScheduleSeen(
                name=name, cron=entry.cron, what=_what(entry), next_ns=due.get(name),
                problem=self._problems.get(name, "" if entry.on else "switched off"),
            )
            for name, entry in self._entries.items()
        )  # fmt: skip

    def _due(self, name: str) -> None:
        """Leave the command an entry stands for; the same minute never leaves two."""
        entry = self._entries.get(name)
        if entry is None:
            return
        engine = self._engine
        now_ns = engine.clock.now_ns()
        engine.log.info("schedule.due", name=name)

        def post(connection: Any) -> None:
            leave(
                connection, engine_id=engine.engine_id, command=_command(entry), who=WHO,
                id=f"{WHO}-{name}-{now_ns // MINUTE_NS}", now_ns=now_ns, ttl_ns=COMMAND_TTL_NS,
            )  # fmt: skip
            with transaction(connection):
                note_posted(connection, engine.engine_id, name, now_ns)

        engine.state.do(post)


def _wrong(entry: ScheduleEntry) -> str:
    """Return why an entry's job cannot be asked for, '' = it can."""
    if not entry.job:
        return ""
    try:
        arguments_of(entry.job, json.dumps(entry.arguments))
    except BadInput as error:
        return str(error)
    return ""


def _command(entry: ScheduleEntry) -> AnyCommand:
    if entry.job:
        return RunJob(job=entry.job, arguments=json.dumps(entry.arguments))
    return SyncMarkets(venue=entry.sync)


def _what(entry: ScheduleEntry) -> str:
    if not entry.job:
        return f"sync the markets of {entry.sync}"
    given = ", ".join(f"{name} {value}" for name, value in entry.arguments.items())
    return f"job {entry.job}" + (f" ({given})" if given else "")


@command(RunJob)
def run_job(engine: Engine, command: RunJob, who: str) -> Pending:
    """Queue a job for the worker; answered with its number."""
    return engine.part(Jobs).run_job(command, who)


@command(CancelJob)
def cancel_job(engine: Engine, command: CancelJob, who: str) -> Pending:
    """End a job, or ask the worker to."""
    return engine.part(Jobs).cancel_job(command, who)


@command(StartRecording)
def start_recording(engine: Engine, command: StartRecording, who: str) -> Pending:
    """Record the feeds of these instruments; answered when that has begun."""
    pending = Pending()
    engine.part(Jobs).recordings.start(command, who, pending.reply)
    return pending


@command(StopRecording)
def stop_recording(engine: Engine, command: StopRecording, who: str) -> Pending:
    """End a recording; answered when everything received is in a file."""
    pending = Pending()
    engine.part(Jobs).recordings.stop(command, who, pending.reply)
    return pending
