"""Notes and tags that people leave on stored runs: the newest of each run, by whom and when.

A note goes with its run. Whoever writes says which note was seen, so that two people never write
over each other unseen.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from sqlite3 import Connection

import msgspec

from engine.errors import BadInput
from storage.database import Table, note, transaction

TABLE = "run_notes"
TEXT_MAX = 2_000
"""Signs of a note."""
TAGS_MAX = 8
TAG_MAX = 24
"""Signs of a tag."""

_TAG = re.compile(rf"[^\W_][\w.-]{{0,{TAG_MAX - 1}}}")
_UNSEEN = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Signs that control how a text is drawn; a new line is none."""


class RunNote(msgspec.Struct, frozen=True, kw_only=True):
    """What a person left on a run; an empty text and no tags = nothing was left."""

    text: str
    tags: tuple[str, ...]
    who: str
    at_ns: int


NOTHING_LEFT = RunNote(text="", tags=(), who="", at_ns=0)

_NOTES = Table(RunNote, TABLE)


def tags_of(given: Iterable[str]) -> tuple[str, ...]:
    """Return tags in small letters, each once, in their order. Raises BadInput."""
    found = tuple(dict.fromkeys(tag.strip().lower() for tag in given if tag.strip()))
    if len(found) > TAGS_MAX:
        raise BadInput(f"{len(found)} tags are too many: a run takes {TAGS_MAX}")
    for tag in found:
        if not _TAG.fullmatch(tag):
            raise BadInput(
                f"{tag[:60]!r} is no tag: 1 to {TAG_MAX} letters, digits, '.', '-' or '_', "
                "a letter or a digit first"
            )
    return found


def text_of(given: str) -> str:
    """Return a note's text without space around it. Raises BadInput."""
    text = given.replace("\r\n", "\n").strip()
    if len(text) > TEXT_MAX:
        raise BadInput(f"the note has {len(text):,} signs: shorten it to {TEXT_MAX:,}")
    if _UNSEEN.search(text):
        raise BadInput("the note holds control characters: type it as plain text")
    return text


def put_note(
    connection: Connection,
    run: int,
    *,
    text: str | None,
    tags: Iterable[str] | None,
    who: str,
    now_ns: int,
    seen_ns: int | None = None,
) -> RunNote:
    """Keep a run's note in the place of the one before, with a row in the audit; give it.

    None for text or tags leaves them as they are. Both empty = the note is taken off. `seen_ns` =
    when the note was written that the writer saw, 0 = saw none; None = whatever there is.

    Raises BadInput for a text or tags out of bounds, a run that is not there, or a note that
    another person wrote meanwhile; then nothing was changed.
    """
    with transaction(connection):
        owner = connection.execute("SELECT engine_id FROM runs WHERE id = ?", (run,)).fetchone()
        if owner is None:
            raise BadInput(f"there is no run {run}")
        before = note_of(connection, run)
        if seen_ns is not None and before.at_ns != seen_ns:
            raise BadInput(
                f"{before.who or 'another person'} changed the note meanwhile: "
                "read it and write again"
            )
        made = RunNote(
            text=before.text if text is None else text_of(text),
            tags=before.tags if tags is None else tags_of(tags),
            who=who,
            at_ns=max(now_ns, before.at_ns + 1),
        )
        if made.text or made.tags:
            _NOTES.put(connection, owner[0], [made], run=run)
        else:
            connection.execute("DELETE FROM run_notes WHERE run = ?", (run,))
            made = NOTHING_LEFT
        note(connection, owner[0], now_ns, who, f"note on run {run}", tags=list(made.tags))
    return made


def note_of(connection: Connection, run: int) -> RunNote:
    """Return what was left on a run, NOTHING_LEFT where nothing was. Raises BadInput."""
    return _NOTES.one(connection, "run = ?", (run,), f"the note on run {run}") or NOTHING_LEFT


def notes_of(connection: Connection, runs: Iterable[int]) -> dict[int, RunNote]:
    """Return what was left on these runs, by the run; none = left out. Raises BadInput."""
    rows = connection.execute(
        f"SELECT run, {_NOTES.columns} FROM {TABLE} "  # noqa: S608 our own words
        "WHERE run IN (SELECT value FROM json_each(?))",
        (json.dumps(list(runs)),),
    )
    return {run: _NOTES.read(row, f"the note on run {run}") for run, *row in rows}


def tags_used(connection: Connection) -> list[str]:
    """Return every tag that stands on a run, by name."""
    rows = connection.execute(
        "SELECT DISTINCT t.value FROM run_notes n, json_each(n.tags) t "
        "WHERE json_valid(n.tags) ORDER BY t.value"
    )
    return [str(tag) for (tag,) in rows]
