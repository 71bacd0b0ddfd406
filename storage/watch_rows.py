"""Rows of `watch.db` that cannot be read: another program's hand, a disk that lies.

One such row must not end the watch at each of its starts. It is taken out, and what it was is said.
"""

from __future__ import annotations

import json
import re
import sqlite3

import msgspec

from storage import watch as log
from storage.database import dicts
from storage.watch import Delivery, WatchRequest

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
