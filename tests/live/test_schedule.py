"""The schedule by a clock that is told the time: posted once, and late rather than never."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, tzinfo

import pytest
from apscheduler.schedulers import base

from engine.domain.instruments import Mode
from engine.domain.settings import AccountSettings, SettingsDocument
from engine.live.commands.jobs import Schedule, _off, _switched, trigger_of
from tests.clocks import ManualClock

SECOND_NS = 1_000_000_000
HOUR_NS = 3_600 * SECOND_NS
DAY_NS = 24 * HOUR_NS


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * SECOND_NS


class Posts:
    """A schedule, what it posted, and the clock it looks at."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.posted: list[str] = []
        self.threads: set[str] = set()
        self.schedule = Schedule(self._post, clock.now_ns)

    def _post(self, name: str) -> None:
        self.posted.append(name)
        self.threads.add(threading.current_thread().name)

    def goes_on(self, hours: float) -> None:
        """Let time pass at once, as for a machine that slept, and let the schedule look."""
        self.clock.advance(round(hours * HOUR_NS))
        self.schedule._scheduler.wakeup()

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
def posts(monkeypatch: pytest.MonkeyPatch) -> Iterator[Posts]:
    clock = ManualClock(at("2026-03-01T01:00:00"))

    class Set(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:
            return datetime.fromtimestamp(clock.now_ns() / SECOND_NS, tz)

    monkeypatch.setattr(base, "datetime", Set)
    made = Posts(clock)
    yield made
    made.schedule.close()


def test_an_entry_is_posted_at_its_time_and_not_before(posts: Posts) -> None:
    assert posts.schedule.apply({"backup": "10 2 * * *"}, {}) == {}
    assert posts.schedule.next_ns() == {"backup": at("2026-03-01T02:10:00")}
    posts.goes_on(1.16)
    time.sleep(0.05)
    assert posts.posted == []
    posts.goes_on(0.01)
    posts.until(lambda: posts.posted == ["backup"])
    posts.looked()
    assert posts.schedule.next_ns() == {"backup": at("2026-03-02T02:10:00")}


def test_it_posts_on_one_thread_that_is_not_ours(posts: Posts) -> None:
    posts.schedule.apply({"a": "0 * * * *", "b": "0 * * * *"}, {})
    posts.goes_on(1)
    posts.until(lambda: sorted(posts.posted) == ["a", "b"])
    assert len(posts.threads) == 1
    assert threading.current_thread().name not in posts.threads


def test_a_night_slept_through_is_posted_once_and_late(posts: Posts) -> None:
    posts.schedule.apply({"backup": "10 2 * * *"}, {})
    posts.goes_on(5 * 24)
    posts.until(lambda: bool(posts.posted))
    posts.looked()
    assert posts.posted == ["backup"]


def test_what_was_due_while_the_engine_was_away_is_posted_at_its_start(posts: Posts) -> None:
    last = {"missed": at("2026-02-27T02:10:00"), "fresh": at("2026-02-28T02:10:00")}
    posts.schedule.apply({"missed": "10 2 * * *", "fresh": "10 2 * * *"}, last)
    posts.until(lambda: posts.posted == ["missed"])
    posts.looked()
    assert posts.posted == ["missed"]


def test_an_entry_that_is_first_at_once_is_posted_in_seconds_and_then_at_its_times(
    posts: Posts,
) -> None:
    cron = {"listing": "*/5 * * * *", "nightly": "0 3 * * *"}
    posts.schedule.apply(cron, {}, first={"listing"})
    assert posts.schedule.next_ns()["listing"] - posts.clock.now_ns() <= 5 * SECOND_NS
    posts.goes_on(0.001)
    posts.until(lambda: posts.posted == ["listing"])
    posts.looked()
    assert posts.schedule.next_ns()["listing"] == at("2026-03-01T01:05:00")
    posts.schedule.apply(cron, {"listing": posts.clock.now_ns()})
    assert posts.schedule.next_ns()["listing"] == at("2026-03-01T01:05:00")


def test_new_settings_replace_the_old_ones(posts: Posts) -> None:
    posts.schedule.apply({"a": "0 * * * *"}, {})
    posts.schedule.apply({"b": "30 * * * *"}, {})
    assert posts.schedule.next_ns() == {"b": at("2026-03-01T01:30:00")}
    posts.goes_on(1)
    posts.until(lambda: posts.posted == ["b"])


def test_a_time_that_cannot_be_read_is_a_sentence_and_harms_no_other(posts: Posts) -> None:
    problems = posts.schedule.apply({"bad": "10 25 * * *", "good": "0 * * * *"}, {})
    assert list(problems) == ["bad"]
    assert "'10 25 * * *'" in problems["bad"]
    assert list(posts.schedule.next_ns()) == ["good"]


def test_sunday_is_sunday() -> None:
    trigger = trigger_of("40 2 * * sun")
    due = trigger.get_next_fire_time(None, datetime(2026, 3, 2, tzinfo=UTC))
    assert (due.weekday(), due.hour, due.utcoffset().total_seconds()) == (6, 2, 0)


@pytest.mark.parametrize(
    ("now", "hours", "due"),
    [("2026-03-28T08:00:00", 48, 2), ("2026-10-24T08:00:00", 48, 2)],
)
def test_an_entry_of_a_zone_is_posted_once_a_day_over_a_change_of_the_clock(
    posts: Posts, now: str, hours: int, due: int
) -> None:
    posts.clock.advance(at(now) - posts.clock.now_ns())
    zones = {"report": "Europe/Berlin"}
    assert posts.schedule.apply({"report": "30 2 * * *"}, {}, zones) == {}
    for _ in range(hours):
        posts.goes_on(1)
        posts.looked()
    assert posts.posted == ["report"] * due


@pytest.mark.parametrize("restarted", [False, True])
def test_a_clock_set_back_neither_repeats_a_daily_entry_nor_silences_a_frequent_one(
    posts: Posts, *, restarted: bool
) -> None:
    entries = {"backup": "10 2 * * *", "markets": "*/5 * * * *"}
    posts.schedule.apply(entries, {})
    posts.goes_on(1.2)  # 02:12
    posts.until(lambda: sorted(posts.posted) == ["backup", "markets"])
    posts.looked()
    posts.clock.set_back(2 * HOUR_NS)  # 00:12
    if restarted:
        last_ns = at("2026-03-01T02:12:00")
        posts.schedule.apply(entries, dict.fromkeys(entries, last_ns))
    else:
        posts.schedule.follow_clock()
    assert posts.schedule.next_ns() == {
        "markets": at("2026-03-01T00:15:00"), "backup": at("2026-03-02T02:10:00"),
    }  # fmt: skip
    posts.goes_on(2.5)  # past 02:10 once more
    posts.until(lambda: posts.posted.count("markets") == 2)
    posts.looked()
    assert posts.posted.count("backup") == 1


def test_a_zone_that_is_none_is_a_sentence(posts: Posts) -> None:
    problems = posts.schedule.apply({"report": "0 8 * * *"}, {}, {"report": "Mars/Base"})
    assert "Mars/Base" in problems["report"]


@pytest.mark.parametrize(
    ("venue", "on", "off"),
    [
        ("demo", False, "waits for an account whose venue lists markets"),
        ("polymarket", True, ""),
    ],
)
def test_the_list_of_markets_is_on_by_itself_where_an_account_trades_what_is_listed(
    venue: str, on: bool, off: str
) -> None:
    account = AccountSettings(name="a", venue=venue, mode=Mode.PAPER, starting_cash=1.0)
    document = SettingsDocument(accounts={"a": account})
    entry = _switched(document)["markets"]
    assert (entry.on, _off(entry)) == (on, off)
    by_hand = entry.model_copy(update={"on": False, "by_itself": False})
    document = document.model_copy(update={"schedule": {"markets": by_hand}})
    assert _off(_switched(document)["markets"]) == "switched off"
