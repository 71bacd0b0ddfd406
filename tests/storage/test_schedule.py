"""The schedule's rows: replaced by what stands, and they remember what was posted."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from storage.database import connect_writer, transaction
from storage.jobs import ScheduleSeen, ever_posted, last_posted, note_posted, put_schedule
from storage.schema import migrate

ENGINE = "e1"


@pytest.fixture
def state(tmp_path: Path) -> sqlite3.Connection:
    migrate(tmp_path / "state.db")
    return connect_writer(tmp_path / "state.db")


def entry(name: str, next_ns: int | None = 100) -> ScheduleSeen:
    return ScheduleSeen(name=name, cron="0 2 * * *", what="job backup", next_ns=next_ns)


def put(state: sqlite3.Connection, *entries: ScheduleSeen, now_ns: int) -> None:
    with transaction(state):
        put_schedule(state, ENGINE, entries, now_ns)


def test_entries_are_replaced_by_what_stands(state: sqlite3.Connection) -> None:
    put(state, entry("a"), entry("b"), now_ns=1)
    put(state, entry("b", 200), now_ns=2)
    assert state.execute("SELECT name, next_ns FROM schedule").fetchall() == [("b", 200)]


def test_when_an_entry_was_posted_outlives_its_rewriting(state: sqlite3.Connection) -> None:
    put(state, entry("a"), now_ns=1)
    with transaction(state):
        note_posted(state, ENGINE, "a", 50)
    put(state, entry("a", 300), now_ns=60)
    assert last_posted(state, ENGINE) == {"a": 50}
    assert ever_posted(state, ENGINE) == {"a"}


def test_an_entry_never_posted_has_missed_nothing_before_it_was_known(
    state: sqlite3.Connection,
) -> None:
    put(state, entry("a"), now_ns=7)
    assert last_posted(state, ENGINE) == {"a": 7}
    assert ever_posted(state, ENGINE) == frozenset()
    assert last_posted(state, "other") == {}
