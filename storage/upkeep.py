"""Upkeep of the databases: thinned equity, fresh statistics, space given back. SQL only.

It shares the files with programs that trade: every transaction is short, and a rewrite that would
hold the lock for longer than `LOCK_S` is given up and changes nothing.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import sqlite_utils

from storage.database import connect_reader, connect_writer, pages_of, storage_errors, transaction
from storage.files import said_bytes

MINUTE_NS = 60 * 1_000_000_000
HOUR_NS = 60 * MINUTE_NS
LOCK_S = 2.0
"""Longest time a rewrite may keep others from writing; a page waits 5 s before it complains."""

EMPTY_SHARE = 0.25
EMPTY_BYTES_MIN = 1 << 20
STEPS = 20_000
"""Instructions of SQLite's machine between two looks at the watch."""

_THIN = """
DELETE FROM equity WHERE engine_id = ?1 AND account = ?2 AND at_ns >= ?3 AND at_ns < ?4
AND EXISTS (SELECT 1 FROM equity later WHERE later.engine_id = ?1 AND later.account = ?2
  AND later.at_ns > equity.at_ns AND later.at_ns < (equity.at_ns / ?5 + 1) * ?5)
"""


def thin_equity(path: Path, before_ns: int, on_progress: Callable[[int, int], None]) -> int:
    """Keep of older equity the last value of each minute; give how many rows went.

    `on_progress` gets hours done and hours in all. Raises StorageError.
    """
    gone = 0
    with closing(connect_writer(path, synchronous="NORMAL")) as connection, storage_errors(path):
        spans = connection.execute(
            "SELECT engine_id, account, min(at_ns), max(at_ns) FROM equity WHERE at_ns < ? "
            "GROUP BY engine_id, account",
            (before_ns,),
        ).fetchall()
        hours = [
            (engine_id, account, start)
            for engine_id, account, first, last in spans
            for start in range(first - first % HOUR_NS, last + 1, HOUR_NS)
        ]
        for number, (engine_id, account, start) in enumerate(hours):
            on_progress(number, len(hours))
            end = min(start + HOUR_NS, before_ns)
            with transaction(connection):
                values = (engine_id, account, start, end, MINUTE_NS)
                gone += connection.execute(_THIN, values).rowcount
    return gone


def look_after(path: Path, *, vacuum: bool) -> str:
    """Renew the statistics of a database and give its space back; say what was done.

    Raises StorageError.
    """
    with closing(connect_writer(path, synchronous="NORMAL")) as connection, storage_errors(path):
        # A look at 1,000 rows of each index is enough for the planner, and quick on any size.
        connection.execute("PRAGMA analysis_limit = 1000")
        database = sqlite_utils.Database(connection)
        database.analyze()
        connection.execute("PRAGMA optimize")
        done = _vacuum(database, path) if vacuum else "statistics renewed"
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
    return done


def _vacuum(database: sqlite_utils.Database, path: Path) -> str:
    connection = database.conn
    pages, empty, size = pages_of(connection)
    if empty * size < EMPTY_BYTES_MIN or empty < pages * EMPTY_SHARE:
        return f"statistics renewed; {said_bytes(empty * size)} empty, not worth a rewrite"
    until = time.monotonic() + LOCK_S
    connection.set_progress_handler(lambda: int(time.monotonic() > until), STEPS)
    before = path.stat().st_size
    try:
        database.vacuum()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
            raise
        return (
            f"statistics renewed; {said_bytes(empty * size)} empty, but a rewrite takes longer "
            f"than the {LOCK_S:g} s others may be kept waiting: not done"
        )
    finally:
        connection.set_progress_handler(None, STEPS)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return f"rewritten, {said_bytes(before - path.stat().st_size)} given back"


def known_runs(path: Path) -> list[int]:
    """Return when each stored run was started, newest first: its folder has that name."""
    with closing(connect_reader(path)) as connection, storage_errors(path):
        rows = connection.execute("SELECT started_ns FROM runs ORDER BY started_ns DESC")
        return [int(started_ns) for (started_ns,) in rows]
