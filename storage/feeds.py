"""What feeds leave behind: names of markets in words, and gaps. Inside the caller's transaction."""

from __future__ import annotations

from sqlite3 import Connection

from storage.database import insert, update, upsert
from storage.views import PageKey, Row, page

GAPS_KEPT = 5_000
TITLES_MAX = 5_000


def put_title(
    connection: Connection, engine_id: str, instrument: str, *, title: str, slug: str, now_ns: int
) -> None:
    insert(
        connection,
        "titles",
        ends=upsert(["instrument"], ["title", "slug", "updated_ns"]),
        engine_id=engine_id,
        instrument=instrument,
        title=title,
        slug=slug,
        updated_ns=now_ns,
    )


def titles(connection: Connection, engine_id: str) -> dict[str, str]:
    """Return how instruments are called, the newest `TITLES_MAX`; the rest has no name in words."""
    rows = connection.execute(
        "SELECT instrument, title FROM titles WHERE engine_id = ? ORDER BY updated_ns DESC LIMIT ?",
        (engine_id, TITLES_MAX),
    )
    return dict(rows.fetchall())


def begin_gap(
    connection: Connection,
    engine_id: str,
    feed: str,
    *,
    instrument: str,
    since_ns: int,
    reason: str,
) -> None:
    """Note that a feed, or one instrument's book, cannot be trusted; the newest are kept."""
    insert(
        connection,
        "feed_gaps",
        verb="INSERT OR IGNORE",
        engine_id=engine_id,
        feed=feed,
        instrument=instrument,
        since_ns=since_ns,
        reason=reason,
    )
    connection.execute(
        "DELETE FROM feed_gaps WHERE engine_id = ? AND since_ns < coalesce((SELECT since_ns FROM "
        "feed_gaps WHERE engine_id = ? ORDER BY since_ns DESC LIMIT 1 OFFSET ?), 0)",
        (engine_id, engine_id, GAPS_KEPT - 1),
    )


def end_gap(
    connection: Connection,
    engine_id: str,
    feed: str,
    *,
    instrument: str,
    since_ns: int,
    until_ns: int,
) -> None:
    which = {"engine_id": engine_id, "feed": feed, "instrument": instrument, "since_ns": since_ns}
    update(connection, "feed_gaps", which, until_ns=until_ns)


GAP_KEY = ("since_ns", "feed", "instrument")
"""What gaps are sorted by, downwards."""


def gaps(connection: Connection, engine_id: str, before: PageKey | None = None) -> list[Row]:
    """Return gaps, newest first, at most `ROWS_MAX`."""
    return page(connection, engine_id, "feed_gaps t", key=GAP_KEY, before=before)
