"""The rows of recordings: a name once, figures while it runs, an end once."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from engine.errors import BadInput
from storage.database import connect_writer, transaction
from storage.jobs import (
    RecordingFigures,
    RecordingState,
    begin_recording,
    end_recording,
    note_figures,
    unended,
)
from storage.schema import migrate

ENGINE = "e1"


@pytest.fixture
def state(tmp_path: Path) -> sqlite3.Connection:
    migrate(tmp_path / "state.db")
    return connect_writer(tmp_path / "state.db")


def begin(state: sqlite3.Connection, name: str) -> None:
    begin_recording(state, engine_id=ENGINE, name=name, instruments=("a", "b"), who="ann", now_ns=1)


def test_a_name_is_taken_once(state: sqlite3.Connection) -> None:
    begin(state, "day")
    with pytest.raises(BadInput, match="already"):
        begin(state, "day")


def test_what_has_not_ended_goes_on_with_its_figures(state: sqlite3.Connection) -> None:
    begin(state, "day")
    begin(state, "over")
    with transaction(state):
        figures = RecordingFigures(events=5, bytes=9, gaps=1, first_ns=2, last_ns=3)
        note_figures(state, ENGINE, "day", figures, 4)
        end_recording(
            state, ENGINE, "over", state=RecordingState.STOPPED, reason="stopped", now_ns=4
        )
    [seen] = unended(state, ENGINE)
    assert (seen.name, seen.instruments, seen.events, seen.gaps) == ("day", ("a", "b"), 5, 1)
    assert (seen.first_ns, seen.last_ns, seen.started_ns) == (2, 3, 1)


def test_an_end_is_not_overwritten(state: sqlite3.Connection) -> None:
    begin(state, "day")
    for reason in ("first", "second"):
        with transaction(state):
            end_recording(
                state, ENGINE, "day", state=RecordingState.STOPPED, reason=reason, now_ns=4
            )
    assert state.execute("SELECT reason FROM recordings").fetchall() == [("first",)]
