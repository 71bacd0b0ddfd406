"""Rows of `watch.db`: events that are counted, times of a clock set back, rows that cannot be read.

A row that cannot be read (another program's hand, a disk that lies) must not end the watch at each
of its starts. It is taken out, and what it was is said.
"""

from __future__ import annotations

import json
import re
import sqlite3

import msgspec

from storage import watch as log
from storage.database import dicts, insert
from storage.watch import Delivery, Notice, WatchRequest

SHOWN_MAX = 5
"""Most removed rows that are named; the others are counted."""

CURSOR, STOPPED = "alerts cursor", "stopped"
"""Rows of `meta`: how far the engine's alerts were read, when the watch was stopped."""

_NUMBERS = {CURSOR: re.compile(r"-?\d{1,19} -?\d{1,19}"), STOPPED: re.compile(r"\d{0,19}")}
"""What rows of `meta` look like that hold numbers."""

_OBJECTS = (log.MEMORY, "beat", "ping")
"""Rows of `meta` that hold a JSON object."""


def remove_unreadable(connection: sqlite3.Connection) -> str:
    """Remove the rows that cannot be read, inside a transaction; say which. Empty = there are none.

    The copy of the settings in `meta` is judged by who reads it.
    """
    removed: list[str] = []
    for table, number in (("notices", "key"), ("deliveries", "id"), ("requests", "id")):
        cursor = connection.execute(f"SELECT rowid AS row_number, * FROM {table}")  # noqa: S608 our own words
        names = [column[0] for column in cursor.description]
        bad = []
        for values in cursor:
            row = dict(zip(names, values, strict=True))
            at = row.pop("row_number")
            try:
                _judge(table, row)
            except (ValueError, TypeError) as error:
                bad.append(at)
                removed.append(f"{table} {row[number]}: {error}")
        connection.executemany(
            f"DELETE FROM {table} WHERE rowid = ?",  # noqa: S608 our own words
            [(at,) for at in bad],
        )
    for row in dicts(connection, "SELECT name, value FROM meta", ()):
        if not _is_readable(row["name"], row["value"]):
            connection.execute("DELETE FROM meta WHERE name = ?", (row["name"],))
            removed.append(f"what was kept as {row['name']!r}")
    if not removed:
        return ""
    more = f"; {len(removed) - SHOWN_MAX:,} more" if len(removed) > SHOWN_MAX else ""
    return "; ".join(removed[:SHOWN_MAX]) + more


def _judge(table: str, row: dict[str, object]) -> None:
    """Read a row as its readers do. Raises ValueError, TypeError."""
    if table == "notices":
        log.notice_of(row)
    elif table == "deliveries":
        msgspec.convert(row, Delivery, strict=False)
    elif row["done_ns"] is None:
        msgspec.convert(row, WatchRequest, strict=False)


def _is_readable(name: object, value: object) -> bool:
    if not isinstance(value, str):
        return False
    if name in _NUMBERS:
        return bool(_NUMBERS[str(name)].fullmatch(value))
    if name not in _OBJECTS:
        return True
    try:
        kept = json.loads(value)
    except ValueError:
        return False
    if not isinstance(kept, dict):
        return False
    return name != log.MEMORY or all(isinstance(one, str) for one in kept.values())


# -- What happened, and is counted -----------------------------------------------------------------


def happened(connection: sqlite3.Connection, kind: str, subject: str) -> bool:
    """Say whether the watch has made a notice of a subject before, or counted it on another's."""
    query = (
        "SELECT 1 FROM notices WHERE source = 'watch' AND kind = ?1 AND subject = ?2 UNION ALL "
        "SELECT 1 FROM counted WHERE kind = ?1 AND subject = ?2 LIMIT 1"
    )
    return connection.execute(query, (kind, subject)).fetchone() is not None


def note_counted(connection: sqlite3.Connection, kind: str, subject: str, now_ns: int) -> None:
    """Note that what happened was counted on another's notice."""
    insert(connection, "counted", kind=kind, subject=subject, at_ns=now_ns)


def unseen_event(
    connection: sqlite3.Connection,
    kind: str,
    account: str | None,
    bot: str | None,
    instrument: str | None,
) -> Notice | None:
    """Return the newest notice of what happened at a place that no person has seen."""
    found = log.notices_where(
        connection,
        "source = 'watch' AND kind = ? AND acked_ns IS NULL AND ended_ns IS NULL "
        "AND account IS ? AND bot IS ? AND instrument IS ? ORDER BY last_ns DESC LIMIT 1",
        (kind, account, bot, instrument),
    )
    return found[0] if found else None


# -- A clock that went back ------------------------------------------------------------------------


def set_back(connection: sqlite3.Connection, by_ns: int, now_ns: int) -> list[Delivery]:
    """Take times along with a clock that went back: what is due keeps its distance from now.

    A time later than `now_ns` is of the clock before. An engine's alert keeps its last time, by
    which its report is found. Return what waits and was not tried yet.
    """
    connection.execute(
        "UPDATE deliveries SET due_ns = due_ns - ? WHERE state = 'waiting'", (by_ns,)
    )
    for table, column, where in (
        ("deliveries", "created_ns", ""),
        ("deliveries", "sent_ns", ""),
        ("notices", "first_ns", ""),
        ("notices", "last_ns", " AND source = 'watch'"),
        ("notices", "look_ns", f" AND look_ns != {log.NEVER_NS}"),
    ):
        connection.execute(
            f"UPDATE {table} SET {column} = {column} - ? WHERE {column} > ?{where}",  # noqa: S608 our own words
            (by_ns, now_ns),
        )
    untried = "SELECT * FROM deliveries WHERE state = 'waiting' AND attempts = 0"
    return [msgspec.convert(row, Delivery, strict=False) for row in dicts(connection, untried)]
