"""The schedule as it stands: what the engine posts when, and when it did so last."""

from __future__ import annotations

import sqlite3

import msgspec

from storage.views import Row, rows_of


class ScheduleSeen(msgspec.Struct, frozen=True, kw_only=True):
    """One entry. `next_ns` None = it is off, or never due; `problem` = why it cannot be."""

    name: str
    cron: str
    what: str
    next_ns: int | None
    problem: str = ""


def put_schedule(
    connection: sqlite3.Connection,
    engine_id: str,
    entries: tuple[ScheduleSeen, ...],
    now_ns: int,
) -> None:
    """Write all entries inside the caller's transaction; those not among them are gone."""
    connection.execute(
        "DELETE FROM schedule WHERE engine_id = ? AND name NOT IN (SELECT value FROM json_each(?))",
        (engine_id, msgspec.json.encode([entry.name for entry in entries]).decode()),
    )
    connection.executemany(
        "INSERT INTO schedule (engine_id, name, cron, what, next_ns, problem, updated_ns) "
        "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (engine_id, name) DO UPDATE SET "
        "cron = excluded.cron, what = excluded.what, next_ns = excluded.next_ns, "
        "problem = excluded.problem, updated_ns = excluded.updated_ns",
        [(engine_id, *msgspec.structs.astuple(entry), now_ns) for entry in entries],
    )


def note_posted(connection: sqlite3.Connection, engine_id: str, name: str, at_ns: int) -> None:
    """Note inside the caller's transaction when an entry was posted."""
    connection.execute(
        "UPDATE schedule SET last_ns = ? WHERE engine_id = ? AND name = ?",
        (at_ns, engine_id, name),
    )


def last_posted(connection: sqlite3.Connection, engine_id: str) -> dict[str, int]:
    """Return when each entry was posted last; for one that never was, when it was first written.

    An entry that is new has missed nothing.
    """
    rows = connection.execute(
        "SELECT name, coalesce(last_ns, updated_ns) FROM schedule WHERE engine_id = ?",
        (engine_id,),
    )
    return {name: int(at_ns) for name, at_ns in rows}


def schedule(connection: sqlite3.Connection, engine_id: str) -> list[Row]:
    """Return the schedule as the engine reported it last, what is due first first."""
    return rows_of(
        connection.execute(
            "SELECT * FROM schedule WHERE engine_id = ? ORDER BY next_ns IS NULL, next_ns, name",
            (engine_id,),
        )
    )
