"""The schedule: APScheduler's thread says what is due; who hears it does the work.

Times are UTC. A time that passed while the machine slept or the engine was away is posted once,
late; however many passed, it stays one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from apscheduler.executors.debug import DebugExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger

SECOND_NS = 1_000_000_000


class Schedule:
    """Posts names at their times, on a thread of its own: `post` must only hand over."""

    def __init__(self, post: Callable[[str], None]) -> None:
        self._post = post
        self._scheduler = BackgroundScheduler(
            daemon=True,
            timezone=UTC,
            # What is posted takes no time: it happens on the scheduler's own thread.
            executors={"default": DebugExecutor()},
            job_defaults={"coalesce": True, "misfire_grace_time": None, "max_instances": 1},
        )
        self._scheduler.start()

    def apply(self, entries: Mapping[str, str], last_ns: Mapping[str, int]) -> dict[str, str]:
        """Work by these entries, name → cron, from now on; give what is wrong with which.

        `last_ns` says when each was posted last. What was due since then is posted at once.
        """
        problems: dict[str, str] = {}
        for job in self._scheduler.get_jobs():
            job.remove()
        for name, cron in entries.items():
            try:
                trigger = trigger_of(cron)
            except ValueError as error:
                problems[name] = f"{cron!r} is no time in cron's words: {error}"
                continue
            last = last_ns.get(name)
            # Where a time was missed, the trigger's own next one is that time: it is due now.
            since = {} if last is None else {"next_run_time": _next(trigger, last)}
            self._scheduler.add_job(self._post, trigger, args=(name,), id=name, **since)
        return problems

    def next_ns(self) -> dict[str, int]:
        """Return when each entry is due next, in ns UTC; an entry that never is, is left out."""
        return {
            job.id: _ns(job.next_run_time)
            for job in self._scheduler.get_jobs()
            if job.next_run_time is not None
        }

    def wake(self) -> None:
        """Look at the clock now: it may have been set."""
        self._scheduler.wakeup()

    def close(self) -> None:
        self._scheduler.shutdown(wait=True)


def trigger_of(cron: str) -> CronTrigger:
    """Return the times of `minute hour day month weekday`, UTC. Raises ValueError."""
    return CronTrigger.from_crontab(cron, timezone=UTC)


def _next(trigger: CronTrigger, after_ns: int) -> datetime | None:
    after = datetime.fromtimestamp(after_ns // SECOND_NS, UTC) + timedelta(seconds=1)
    return trigger.get_next_fire_time(None, after)  # type: ignore[no-any-return]


def _ns(moment: datetime) -> int:
    return int(moment.timestamp()) * SECOND_NS
