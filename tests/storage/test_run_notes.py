"""Notes and tags on runs: bounded, kept with who and when, gone with their run."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from engine.domain.instruments import BotId
from engine.errors import BadInput
from storage.database import connect_writer
from storage.run_notes import (
    NOTHING_LEFT,
    TAG_MAX,
    TAGS_MAX,
    TEXT_MAX,
    RunNote,
    note_of,
    notes_of,
    put_note,
    tags_used,
)
from storage.runs import Run, RunKind, RunStatus, save_run
from storage.schema import check_schema, migrate
from storage.views import runs


@pytest.fixture
def path(tmp_path: Path) -> Path:
    migrate(tmp_path / "pitboss.db")
    return tmp_path / "pitboss.db"


@pytest.fixture
def connection(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(connect_writer(path)) as opened:
        opened.row_factory = sqlite3.Row
        yield opened


def stored(connection: sqlite3.Connection) -> int:
    run = Run(
        engine_id="replay", account="paper:replay", kind=RunKind.REPLAY, recording="day",
        bot=BotId("b"), strategy="s", started_ns=1, status=RunStatus.DONE,
    )  # fmt: skip
    return save_run(connection, run)


def left(
    connection: sqlite3.Connection, run: int, text: str | None, *tags: str, seen_ns: int | None = 0
) -> RunNote:
    return put_note(connection, run, text=text, tags=tags, who="ann", now_ns=7, seen_ns=seen_ns)


def test_a_note_is_kept_found_by_tag_and_taken_off(connection: sqlite3.Connection) -> None:
    first, second = stored(connection), stored(connection)
    made = left(connection, first, " wide\r\nbook ", "Maker", "v2", "maker")
    assert made == RunNote(text="wide\nbook", tags=("maker", "v2"), who="ann", at_ns=7)
    assert notes_of(connection, [first, second]) == {first: made}
    assert [row["id"] for row in runs(connection, "replay", tag="v2")] == [first]
    assert len(runs(connection, "replay")) == 2
    assert tags_used(connection) == ["maker", "v2"]
    kept = put_note(connection, first, text="new", tags=None, who="bob", now_ns=7)
    assert (kept.tags, kept.who, kept.at_ns) == (("maker", "v2"), "bob", 8)
    assert left(connection, first, "", seen_ns=8) == NOTHING_LEFT
    assert note_of(connection, first) == NOTHING_LEFT
    rows = connection.execute("SELECT who, what FROM audit ORDER BY rowid").fetchall()
    assert [tuple(row) for row in rows] == [
        ("ann", f"note on run {first}"), ("bob", f"note on run {first}"),
        ("ann", f"note on run {first}"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "tags", "said"),
    [
        ("x" * (TEXT_MAX + 1), (), "shorten it"),
        ("a\u202eb", (), "control characters"),
        ("", [f"t{n}" for n in range(TAGS_MAX + 1)], "too many"),
        ("", ["x" * (TAG_MAX + 1)], "is no tag"),
        ("", ["<b>"], "is no tag"),
        ("", ["two words"], "is no tag"),
    ],
)
def test_what_is_out_of_bounds_changes_nothing(
    connection: sqlite3.Connection, text: str, tags: list[str], said: str
) -> None:
    run = stored(connection)
    made = left(connection, run, "stays", "kept")
    with pytest.raises(BadInput, match=said):
        left(connection, run, text, *tags, seen_ns=7)
    assert note_of(connection, run) == made
    assert connection.execute("SELECT count(*) FROM audit").fetchone()[0] == 1


def test_a_note_written_meanwhile_is_not_written_over(connection: sqlite3.Connection) -> None:
    run = stored(connection)
    left(connection, run, "first")
    with pytest.raises(BadInput, match="ann changed the note meanwhile"):
        left(connection, run, "second")
    with pytest.raises(BadInput, match="there is no run 99"):
        left(connection, 99, "none")


def test_a_note_goes_with_its_run(connection: sqlite3.Connection) -> None:
    run = stored(connection)
    left(connection, run, "text", "tag")
    connection.execute("DELETE FROM runs WHERE id = ?", (run,))
    assert note_of(connection, run) == NOTHING_LEFT
    assert tags_used(connection) == []


def test_a_home_without_the_table_gets_it_and_keeps_its_runs(path: Path) -> None:
    with closing(connect_writer(path)) as connection:
        run = stored(connection)
        connection.execute("DROP TABLE run_notes")
    migrate(path)
    check_schema(path)
    with closing(connect_writer(path)) as connection:
        assert left(connection, run, "here").text == "here"
