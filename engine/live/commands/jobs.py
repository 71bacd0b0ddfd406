"""Long work on a live engine: jobs queued for the worker, and the schedule.

The engine only hands over: the worker runs the jobs, the schedule's thread posts what is due, and
what is due becomes a command like any other, with its audit row and its answer.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime, timedelta
from sqlite3 import Connection
from types import MappingProxyType
from zoneinfo import ZoneInfo

from apscheduler.executors.debug import DebugExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger

from engine.domain.commands import AnyCommand, CancelJob, RunJob, SyncMarkets
from engine.domain.effects import caution
from engine.domain.jobs import arguments_of
from engine.domain.settings import ScheduleEntry, SettingsDocument
from engine.errors import BadInput
from engine.live.commands.registry import Pending, command, part, where_files_are_written
from engine.live.engine import Engine
from engine.venues.registry import plugins
from storage import jobs
from storage.commands import leave
from storage.database import transaction
from storage.jobs import ScheduleSeen, ever_posted, last_posted, note_posted, put_schedule

WHO = "schedule"
ZONE = "UTC"
NO_ZONES: Mapping[str, str] = MappingProxyType({})
MINUTE_NS = 60 * 1_000_000_000
LOOK_NS = 1_000_000_000
COMMAND_TTL_NS = 600 * 1_000_000_000
"""A scheduled command may wait for an engine that is just recovering."""


@part
class Schedules:
    """The schedule of one engine. Everything here is on the loop's thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._loop = engine.ended.get_loop()
        self._schedule: Schedule | None = None
        self._version = -1
        self._entries: dict[str, ScheduleEntry] = {}
        self._problems: dict[str, str] = {}
        self._zone = ZONE
        self._written: tuple[ScheduleSeen, ...] | None = None
        engine.watch_every(LOOK_NS, self.watch)

    def watch(self, now_ns: int) -> None:
        """Once a second: begin when the engine runs, follow the settings, write what stands."""
        engine = self._engine
        if self._version != engine.settings.version:
            self._version = engine.settings.version
            entries = _switched(engine.settings.document)
            self._zone = engine.settings.document.alerts.zone
            engine.state.do(
                lambda c: self._loop.call_soon_threadsafe(
                    self._apply,
                    entries,
                    last_posted(c, engine.engine_id),
                    ever_posted(c, engine.engine_id),
                )
            )
        if self._schedule is not None:
            self._schedule.follow_clock()
            if (rows := self._rows()) == self._written:
                return
            self._written = rows
            engine.state.put_row("schedule", put_schedule, rows, now_ns)

    # -- the schedule ------------------------------------------------------------------------------

    def _apply(
        self,
        entries: dict[str, ScheduleEntry],
        last_ns: dict[str, int],
        posted: frozenset[str],
    ) -> None:
        self._entries = entries
        wrong = {name: problem for name, entry in entries.items() if (problem := _wrong(entry))}
        on = {name: entry.cron for name, entry in entries.items() if entry.on and name not in wrong}
        if self._schedule is None and on:  # it has a thread of its own
            self._schedule = Schedule(self._post, self._engine.said_ns)
            self._engine.ended.add_done_callback(lambda _: self._close())
        refused = (
            {}
            if self._schedule is None
            else self._schedule.apply(
                on,
                last_ns,
                {name: self._zone_of(entry) for name, entry in entries.items()},
                first={name for name in on if entries[name].at_once} - posted,
            )
        )
        self._problems = {**wrong, **refused}
        for name, why in self._problems.items():
            text = f"schedule {name}: {why}"
            self._engine.alert(caution("schedule", text), self._engine.clock.now_ns())

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
                name=name,
                cron=entry.cron,
                what=_what(entry),
                next_ns=due.get(name),
                problem=self._problems.get(name, _off(entry)),
                zone=self._zone_of(entry),
            )
            for name, entry in self._entries.items()
        )

    def _zone_of(self, entry: ScheduleEntry) -> str:
        return self._zone if entry.local else ZONE

    def _due(self, name: str) -> None:
        """Leave the command an entry stands for; the same minute never leaves two."""
        entry = self._entries.get(name)
        if entry is None:
            return
        engine = self._engine
        now_ns = engine.clock.now_ns()
        engine.log.info("schedule.due", name=name)

        def post(connection: Connection) -> None:
            leave(
                connection,
                engine_id=engine.engine_id,
                command=_command(entry),
                who=WHO,
                id=f"{WHO}-{name}-{now_ns // MINUTE_NS}",
                now_ns=now_ns,
                ttl_ns=COMMAND_TTL_NS,
            )
            with transaction(connection):
                note_posted(connection, engine.engine_id, name, now_ns)

        engine.state.do(post)


def _switched(document: SettingsDocument) -> dict[str, ScheduleEntry]:
    """Return the entries, on those that are so by themselves: an account trades what is listed."""
    listed = {name for name, one in plugins().items() if one.listing is not None}
    venues = listed & {one.venue for one in document.accounts.values()}
    return {
        name: entry.model_copy(update={"on": True})
        if entry.by_itself and not _wrong(entry) and _venue(entry) in venues
        else entry
        for name, entry in document.schedule.items()
    }


def _venue(entry: ScheduleEntry) -> str:
    """Return the venue an entry's job is about; empty = about none."""
    return str(getattr(arguments_of(entry.job, json.dumps(entry.arguments)), "venue", ""))


def _wrong(entry: ScheduleEntry) -> str:
    """Return why an entry's job cannot be asked for, '' = it can."""
    if not entry.job:
        return ""
    try:
        arguments_of(entry.job, json.dumps(entry.arguments))
    except BadInput as error:
        return str(error)
    return ""


def _off(entry: ScheduleEntry) -> str:
    if entry.on:
        return ""
    return "waits for an account whose venue lists markets" if entry.by_itself else "switched off"


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
    arguments_of(command.job, command.arguments)
    now_ns = engine.clock.now_ns()

    def do(connection: Connection) -> str:
        number = jobs.queue(
            connection,
            engine_id=engine.engine_id,
            kind=command.job,
            arguments=command.arguments,
            who=who,
            now_ns=now_ns,
        )
        return f"{jobs.QUEUED}{number}"

    return where_files_are_written(engine, do)


@command(CancelJob)
def cancel_job(engine: Engine, command: CancelJob, who: str) -> Pending:
    """End a job, or ask the worker to."""
    name, job, now_ns = engine.engine_id, command.job, engine.clock.now_ns()
    return where_files_are_written(
        engine, lambda c: jobs.cancel(c, engine_id=name, job=job, who=who, now_ns=now_ns)
    )


# -- APScheduler's thread says what is due; who receives it does the work --------------------------

SECOND_NS = 1_000_000_000
FIRST_AFTER = timedelta(seconds=3)


class Schedule:
    """Posts names at their times, on a thread of its own: `post` must only hand over."""

    def __init__(self, post: Callable[[str], None], now_ns: Callable[[], int]) -> None:
        """`now_ns` gives what the machine's clock says, which may be set, in ns UTC."""
        self._post = post
        self._now_ns = now_ns
        self._followed_ns = now_ns()
        self._scheduler = BackgroundScheduler(
            daemon=True,
            timezone=UTC,
            # What is posted takes no time: it happens on the scheduler's own thread.
            executors={"default": DebugExecutor()},
            job_defaults={"coalesce": True, "misfire_grace_time": None, "max_instances": 1},
        )
        self._scheduler.start()

    def apply(
        self,
        entries: Mapping[str, str],
        last_ns: Mapping[str, int],
        zones: Mapping[str, str] = NO_ZONES,
        first: Collection[str] = (),
    ) -> dict[str, str]:
        """Work by these entries, name → cron, from now on; give what is wrong with which.

        `last_ns` says when each was posted last. What was due since then is posted at once. `zones`
        names the zone of an entry's times, by default UTC. Those `first` names are due in seconds,
        once what the schedule writes of itself has been written. A time that a change of the clock
        skips is due when it would have been, one that comes twice is due once. A last time that
        lies ahead, because the clock was set back, puts off no more than one time.
        """
        problems: dict[str, str] = {}
        for job in self._scheduler.get_jobs():
            job.remove()
        for name, cron in entries.items():
            try:
                trigger = trigger_of(cron, zones.get(name, ZONE))
            except (ValueError, LookupError, OSError) as error:
                problems[name] = f"{cron!r} is not a valid cron schedule: {error}"
                continue
            last = last_ns.get(name)
            # Where a time was missed, the trigger's own next one is that time: it is due now.
            due = None if last is None else self._near(trigger, _next(trigger, last))
            if name in first:
                due = datetime.fromtimestamp(self._now_ns() // SECOND_NS, UTC) + FIRST_AFTER
            since = {} if due is None else {"next_run_time": due}
            self._scheduler.add_job(self._post, trigger, args=(name,), id=name, **since)
        return problems

    def follow_clock(self) -> None:
        """Bring times near again that a clock set back has put far off; call it each second."""
        before_ns, self._followed_ns = self._followed_ns, self._now_ns()
        if self._followed_ns >= before_ns:
            return
        for job in self._scheduler.get_jobs():
            due = self._near(job.trigger, job.next_run_time)
            if due != job.next_run_time:
                job.modify(next_run_time=due)

    def _near(self, trigger: CronTrigger, due: datetime | None) -> datetime | None:
        """Return a due time; the next one from now where two more would come before it.

        So a daily entry is due once a day though the clock was set back by hours, and one of each
        five minutes does not wait for hours.
        """
        now = datetime.fromtimestamp(self._now_ns() // SECOND_NS, UTC) + timedelta(seconds=1)
        soon = trigger.get_next_fire_time(None, now)
        then = soon and trigger.get_next_fire_time(soon, soon + timedelta(seconds=1))
        if due is None or soon is None or then is None or due - now <= 2 * (then - soon):
            return due
        return soon  # type: ignore[no-any-return]

    def next_ns(self) -> dict[str, int]:
        """Return when each entry is due next, in ns UTC; an entry that never is, is left out."""
        return {
            job.id: _ns(job.next_run_time)
            for job in self._scheduler.get_jobs()
            if job.next_run_time is not None
        }

    def close(self) -> None:
        self._scheduler.shutdown(wait=True)


class OnceTrigger(CronTrigger):  # type: ignore[misc]
    """Cron's times, one that a change of the clock repeats once: 02:30 is no second 02:30."""

    def get_next_fire_time(self, previous: datetime | None, now: datetime) -> datetime | None:
        """Return the next time after the previous one, None where there is none."""
        found: datetime | None = super().get_next_fire_time(previous, now)
        if found is None or previous is None or found.fold == previous.fold:
            return found
        if found.replace(tzinfo=None, fold=0) == previous.replace(tzinfo=None, fold=0):
            found = super().get_next_fire_time(found, found.astimezone(UTC) + timedelta(seconds=1))
        return found


def trigger_of(cron: str, zone: str = ZONE) -> CronTrigger:
    """Return the times of `minute hour day month weekday` in a zone.

    Raises ValueError, of a zone that is unknown LookupError or OSError.
    """
    return OnceTrigger.from_crontab(cron, timezone=UTC if zone == ZONE else ZoneInfo(zone))


def _next(trigger: CronTrigger, after_ns: int) -> datetime | None:
    after = datetime.fromtimestamp(after_ns // SECOND_NS, UTC) + timedelta(seconds=1)
    return trigger.get_next_fire_time(None, after)  # type: ignore[no-any-return]


def _ns(moment: datetime) -> int:
    return int(moment.timestamp()) * SECOND_NS
