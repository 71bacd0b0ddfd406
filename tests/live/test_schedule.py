"""The schedule by a clock that is told the time: posted once, and late rather than never."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, tzinfo

import pytest
from apscheduler.schedulers import base

from engine.live.commands.jobs import Schedule, trigger_of
from tests.clocks import ManualClock

SECOND_NS = 1_000_000_000
HOUR_NS = 3_600 * SECOND_NS
DAY_NS = 24 * HOUR_NS


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * SECOND_NS


class Told:
    """A schedule, what it posted, and the clock it looks at."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.posted: list[str] = []
        self.threads: set[str] = set()
        self.schedule = Schedule(self._post)

    def _post(self, name: str) -> None:
        self.posted.append(name)
        self.threads.add(threading.current_thread().name)

    def goes_on(self, hours: float) -> None:
        """Let time pass at once, as for a machine that slept, and let the schedule look."""
        self.clock.advance(round(hours * HOUR_NS))
        self.schedule.wake()

    def until(self, true: Callable[[], bool]) -> None:
        end = time.monotonic() + 20
        while not true():
            assert time.monotonic() < end, self.posted
            time.sleep(0.005)

    def looked(self) -> None:
        """Wait until the schedule has no time left that has passed."""
        self.until(
            lambda: all(due > self.clock.now_ns() for due in self.schedule.next_ns().values())
        )


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[Told]:
    clock = ManualClock(at("2026-03-01T01:00:00"))

    class Set(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:
            return datetime.fromtimestamp(clock.now_ns() / SECOND_NS, tz)

    monkeypatch.setattr(base, "datetime", Set)
    made = Told(clock)
    yield made
    made.schedule.close()


def test_an_entry_is_posted_at_its_time_and_not_before(told: Told) -> None:
    assert told.schedule.apply({"backup": "10 2 * * *"}, {}) == {}
    assert told.schedule.next_ns() == {"backup": at("2026-03-01T02:10:00")}
    told.goes_on(1.16)
    time.sleep(0.05)
    assert told.posted == []
    told.goes_on(0.01)
    told.until(lambda: told.posted == ["backup"])
    told.looked()
    assert told.schedule.next_ns() == {"backup": at("2026-03-02T02:10:00")}


def test_it_posts_on_one_thread_that_is_not_ours(told: Told) -> None:
    told.schedule.apply({"a": "0 * * * *", "b": "0 * * * *"}, {})
    told.goes_on(1)
    told.until(lambda: sorted(told.posted) == ["a", "b"])
    assert len(told.threads) == 1
    assert threading.current_thread().name not in told.threads


def test_a_night_slept_through_is_posted_once_and_late(told: Told) -> None:
    told.schedule.apply({"backup": "10 2 * * *"}, {})
    told.goes_on(5 * 24)
    told.until(lambda: bool(told.posted))
    told.looked()
    assert told.posted == ["backup"]


def test_what_was_due_while_the_engine_was_away_is_posted_at_its_start(told: Told) -> None:
    last = {"missed": at("2026-02-27T02:10:00"), "fresh": at("2026-02-28T02:10:00")}
    told.schedule.apply({"missed": "10 2 * * *", "fresh": "10 2 * * *"}, last)
    told.until(lambda: told.posted == ["missed"])
    told.looked()
    assert told.posted == ["missed"]


def test_new_settings_replace_the_old_ones(told: Told) -> None:
    told.schedule.apply({"a": "0 * * * *"}, {})
    told.schedule.apply({"b": "30 * * * *"}, {})
    assert told.schedule.next_ns() == {"b": at("2026-03-01T01:30:00")}
    told.goes_on(1)
    told.until(lambda: told.posted == ["b"])


def test_a_time_that_cannot_be_read_is_a_sentence_and_harms_no_other(told: Told) -> None:
    problems = told.schedule.apply({"bad": "10 25 * * *", "good": "0 * * * *"}, {})
    assert list(problems) == ["bad"]
    assert "'10 25 * * *'" in problems["bad"]
    assert list(told.schedule.next_ns()) == ["good"]


def test_sunday_is_sunday() -> None:
    trigger = trigger_of("40 2 * * sun")
    due = trigger.get_next_fire_time(None, datetime(2026, 3, 2, tzinfo=UTC))
    assert (due.weekday(), due.hour, due.utcoffset().total_seconds()) == (6, 2, 0)
