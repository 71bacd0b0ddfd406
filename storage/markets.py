"""`markets.db`: every market its venue lists, searchable. It can be fetched anew at any time.

A file of its own: a listing of 85,000 rows is written while the engine writes money to the state
database, and neither may wait for the other. One writer, the worker's job; pages read.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from engine.domain.listings import ListingPage, ListingState, MarketListing
from engine.domain.settings import MarketFilter, SortedBy
from engine.errors import BadInput, StorageError
from storage.database import connect_writer, dicts, may_pass, storage_errors, transaction
from storage.files import set_aside
from storage.views import Row

LIST_NAME_MAX = 64
KEPT_NS = 7 * 86_400 * 1_000_000_000
"""How long a market that is not listed any more can still be found."""

TEXTS = ("description", "source")
"""Columns in a table of their own: rules are long, and a search must not read past them."""

FOUND_BY = ("question", "event", "series", "category", "slug")
"""Columns that a word is looked for in."""

_names = tuple(field.name for field in msgspec.structs.fields(MarketListing))
_columns = tuple(name for name in _names if name not in TEXTS)
_figures = tuple(name for name in _columns if name not in {"id", "venue"})

_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS markets (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, venue TEXT NOT NULL, slug TEXT NOT NULL,
    question TEXT NOT NULL, event TEXT NOT NULL, series TEXT NOT NULL, category TEXT NOT NULL,
    state TEXT NOT NULL, bid REAL, ask REAL, last REAL, volume_24h REAL NOT NULL,
    volume REAL NOT NULL, liquidity REAL NOT NULL, tick REAL NOT NULL, size_min REAL NOT NULL,
    taker_fee_ppm INTEGER NOT NULL, rewards_daily REAL NOT NULL, rewards_size_min REAL NOT NULL,
    rewards_spread_max REAL NOT NULL, neg_risk INTEGER NOT NULL, ends_ns INTEGER,
    first_ns INTEGER NOT NULL, changed_ns INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS markets_volume ON markets (state, volume_24h DESC, number);
CREATE INDEX IF NOT EXISTS markets_liquidity ON markets (state, liquidity DESC, number);
CREATE INDEX IF NOT EXISTS markets_rewards ON markets (state, rewards_daily DESC, number);
CREATE INDEX IF NOT EXISTS markets_ends ON markets (state, ends_ns, number);
CREATE INDEX IF NOT EXISTS markets_all_volume ON markets (volume_24h DESC, number);
CREATE INDEX IF NOT EXISTS markets_all_liquidity ON markets (liquidity DESC, number);
CREATE INDEX IF NOT EXISTS markets_all_rewards ON markets (rewards_daily DESC, number);
CREATE INDEX IF NOT EXISTS markets_all_ends ON markets (ends_ns, number);
CREATE INDEX IF NOT EXISTS markets_category ON markets (category, state);
CREATE TABLE IF NOT EXISTS market_texts (
    number INTEGER PRIMARY KEY, description TEXT NOT NULL, source TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS listed (number INTEGER PRIMARY KEY, venue TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS listings (
    venue TEXT PRIMARY KEY, cursor TEXT NOT NULL, finished_ns INTEGER
);
CREATE TRIGGER IF NOT EXISTS markets_found AFTER INSERT ON markets BEGIN
    INSERT INTO markets_fts (rowid, {", ".join(FOUND_BY)})
    VALUES (new.number, {", ".join(f"new.{name}" for name in FOUND_BY)});
END;
CREATE TRIGGER IF NOT EXISTS markets_renamed AFTER UPDATE OF {", ".join(FOUND_BY)} ON markets
WHEN {" OR ".join(f"old.{name} IS NOT new.{name}" for name in FOUND_BY)} BEGIN
    INSERT INTO markets_fts (markets_fts, rowid, {", ".join(FOUND_BY)})
    VALUES ('delete', old.number, {", ".join(f"old.{name}" for name in FOUND_BY)});
    INSERT INTO markets_fts (rowid, {", ".join(FOUND_BY)})
    VALUES (new.number, {", ".join(f"new.{name}" for name in FOUND_BY)});
END;
CREATE TRIGGER IF NOT EXISTS markets_forgotten AFTER DELETE ON markets BEGIN
    INSERT INTO markets_fts (markets_fts, rowid, {", ".join(FOUND_BY)})
    VALUES ('delete', old.number, {", ".join(f"old.{name}" for name in FOUND_BY)});
    DELETE FROM market_texts WHERE number = old.number;
END;
"""  # noqa: S608 our own words

_PUT = f"""
INSERT INTO markets ({", ".join(_columns)}, first_ns, changed_ns)
VALUES ({", ".join(f":{name}" for name in _columns)}, :now_ns, :now_ns)
ON CONFLICT (id) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in _figures)},
    changed_ns = excluded.changed_ns
WHERE ({", ".join(_figures)}) IS NOT ({", ".join(f"excluded.{name}" for name in _figures)})
"""  # noqa: S608 our own words

_PUT_TEXTS = """
INSERT INTO market_texts (number, description, source) VALUES (:number, :description, :source)
ON CONFLICT (number) DO UPDATE SET description = excluded.description, source = excluded.source
WHERE (description, source) IS NOT (excluded.description, excluded.source)
"""


class MarketStore:
    """The one writer of `markets.db`. Raises StorageError."""

    @classmethod
    def opened(cls, path: Path) -> tuple[MarketStore, str]:
        """Open the store; one that is damaged is set aside and begun anew: it is fetched again.

        Return it, and what a person must hear of that; empty = it was in order.
        """
        try:
            return cls(path), ""
        except (StorageError, sqlite3.Error) as error:
            if isinstance(error, StorageError) and may_pass(error) and not path.is_dir():
                raise
            aside = set_aside(path)
            text = f"{path} was damaged and is fetched anew; the old one is {aside}: {error}"
            return cls(path), text

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path = path
        self._connection = connect_writer(path, synchronous="NORMAL")
        self._connection.row_factory = sqlite3.Row
        try:
            with storage_errors(path):
                self._prepare()
                self._must_be_whole()
        except BaseException:
            self._connection.close()
            raise

    def _prepare(self) -> None:
        import sqlite_utils  # noqa: PLC0415 a second that no page should wait for

        self._connection.executescript(_SCHEMA.partition("CREATE TRIGGER")[0])
        database = sqlite_utils.Database(self._connection)
        if "markets_fts" not in database.table_names():
            database.table("markets").enable_fts(FOUND_BY, tokenize="unicode61 remove_diacritics 2")
        self._connection.executescript(_SCHEMA)

    def _must_be_whole(self) -> None:
        """Raise sqlite3.DatabaseError where a page is damaged: the whole file can be had again."""
        verdict = self._connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if verdict != "ok":
            raise sqlite3.DatabaseError(verdict)

    def close(self) -> None:
        """Close the file, its log folded in."""
        with suppress(sqlite3.Error):
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._connection.close()

    def begin(self, venue: str) -> str:
        """Return where a listing that was interrupted goes on; empty = at its beginning."""
        with storage_errors(self._path):
            row = self._connection.execute(
                "SELECT cursor FROM listings WHERE venue = ?", (venue,)
            ).fetchone()
        return row["cursor"] if row is not None and row["cursor"] else self.restart(venue)

    def restart(self, venue: str) -> str:
        """Begin a listing anew; give its first cursor."""
        with storage_errors(self._path), transaction(self._connection) as c:
            c.execute("DELETE FROM listed WHERE venue = ?", (venue,))
            c.execute("UPDATE listings SET cursor = '' WHERE venue = ?", (venue,))
        return ""

    def open_markets(self, venue: str) -> int:
        """Return how many markets are known that the venue listed as not over yet."""
        return self._number(
            "SELECT count(*) FROM markets WHERE venue = ? "
            "AND state NOT IN ('resolved', 'unlisted')",
            venue,
        )

    def listed(self, venue: str) -> int:
        """Return how many markets the listing under way has named so far."""
        return self._number("SELECT count(*) FROM listed WHERE venue = ?", venue)

    def _number(self, query: str, venue: str) -> int:
        with storage_errors(self._path):
            return int(self._connection.execute(query, (venue,)).fetchone()[0])

    def put(self, venue: str, page: ListingPage, now_ns: int) -> dict[str, int]:
        """Write a page and where the next one begins in one commit; say what was new or changed."""
        counts = {"new": 0, "changed": 0}
        with storage_errors(self._path), transaction(self._connection) as c:
            for market in page.markets:
                row = msgspec.structs.asdict(market) | {"now_ns": now_ns}
                changed = c.execute(_PUT, row).rowcount
                number, first_ns = c.execute(
                    "SELECT number, first_ns FROM markets WHERE id = ?", (market.id,)
                ).fetchone()
                changed += c.execute(_PUT_TEXTS, row | {"number": number}).rowcount
                c.execute(
                    "INSERT OR IGNORE INTO listed (number, venue) VALUES (?, ?)", (number, venue)
                )
                if changed > 0:
                    counts["new" if first_ns == now_ns else "changed"] += 1
            c.execute(
                "INSERT INTO listings (venue, cursor) VALUES (?, ?) "
                "ON CONFLICT (venue) DO UPDATE SET cursor = excluded.cursor",
                (venue, page.cursor),
            )
        return counts

    def finish(self, venue: str, now_ns: int, *, complete: bool) -> int:
        """End a listing: give how many markets it does not name any more, where it is complete."""
        gone = 0
        with storage_errors(self._path), transaction(self._connection) as c:
            if complete:
                gone = c.execute(
                    "UPDATE markets SET state = ?, changed_ns = ? WHERE venue = ? "
                    "AND state NOT IN ('resolved', 'unlisted') "
                    "AND number NOT IN (SELECT number FROM listed)",
                    (ListingState.UNLISTED.value, now_ns, venue),
                ).rowcount
                c.execute(
                    "DELETE FROM markets WHERE venue = ? AND state IN ('resolved', 'unlisted') "
                    "AND changed_ns < ?",
                    (venue, now_ns - KEPT_NS),
                )
            c.execute("DELETE FROM listed WHERE venue = ?", (venue,))
            c.execute(
                "UPDATE listings SET cursor = '', finished_ns = ? WHERE venue = ?", (now_ns, venue)
            )
        return gone


# -- What pages ask --------------------------------------------------------------------------------


def literal(text: str) -> str:
    """Return words as FTS5 looks for them: each a string, so that no sign is an operator."""
    words = ['"' + word.replace('"', '""') + '"' for word in text.split()]
    return " ".join(words) + "*" * bool(words)


def _where(wanted: MarketFilter, among: Sequence[str] | None = None) -> tuple[str, list[Any]]:
    conditions, values = ["TRUE"], list[Any]()
    if {*wanted.states} != {*ListingState}:  # else the order is an index's own
        conditions = [f"state IN ({', '.join('?' * len(wanted.states))})"]
        values += [state.value for state in wanted.states]
    if wanted.text.split():
        conditions.append("number IN (SELECT rowid FROM markets_fts WHERE markets_fts MATCH ?)")
        values.append(literal(wanted.text))
    if wanted.category:
        conditions.append("category = ?")
        values.append(wanted.category)
    if wanted.pays_rewards:
        conditions.append("rewards_daily > 0")
    if wanted.volume_24h_min > 0:
        conditions.append("volume_24h >= ?")
        values.append(wanted.volume_24h_min)
    if wanted.sorted_by is SortedBy.ENDS:
        conditions.append("ends_ns IS NOT NULL")
    if among is not None:
        conditions.append("id IN (SELECT value FROM json_each(?))")
        values.append(json.dumps(among))
    return " AND ".join(conditions), values


def search(
    connection: sqlite3.Connection,
    wanted: MarketFilter,
    after: tuple[float, int] | None = None,
    limit: int = 200,
    *,
    among: Sequence[str] | None = None,
) -> list[Row]:
    """Return markets in their order, from behind `after` on: (the value sorted by, number).

    `among` = only these are looked through.
    """
    conditions, values = _where(wanted, among)
    name = wanted.sorted_by.value
    way, beyond = ("ASC", ">") if wanted.sorted_by is SortedBy.ENDS else ("DESC", "<")
    if after is not None:
        conditions += f" AND ({name} {beyond} ? OR ({name} = ? AND number > ?))"
        values += [after[0], after[0], after[1]]
    query = (
        f"SELECT number, {', '.join(_columns)}, first_ns, changed_ns FROM markets "  # noqa: S608 our own words
        f"WHERE {conditions} ORDER BY {name} {way}, number LIMIT ?"
    )
    return dicts(connection, query, [*values, limit])


def followed(
    connection: sqlite3.Connection,
    wanted: MarketFilter,
    before: Collection[str],
    *,
    venue: str,
    without: Collection[str],
    most: int,
) -> list[str]:
    """Return the markets of a venue a filter leads to, but those in `without`, `most` at most.

    First those of `before` that it still finds, then others in its order: a market that only lost
    its rank is not left.
    """
    conditions, values = _where(wanted, list(before))
    there = "SELECT id FROM markets WHERE venue = ? AND "
    still = connection.execute(f"{there}{conditions}", (venue, *values))
    conditions, values = _where(wanted)
    name = wanted.sorted_by.value
    way = "ASC" if wanted.sorted_by is SortedBy.ENDS else "DESC"
    first = connection.execute(
        f"{there}{conditions} ORDER BY {name} {way}, number LIMIT ?",
        (venue, *values, most + len(before) + len(without)),
    )
    found = dict.fromkeys(one for (one,) in (*still, *first) if one not in without)
    return list(found)[:most]


def matching(
    connection: sqlite3.Connection, wanted: MarketFilter, among: Sequence[str] | None = None
) -> int:
    """Return how many markets a search finds."""
    conditions, values = _where(wanted, among)
    query = f"SELECT count(*) FROM markets WHERE {conditions}"  # noqa: S608 our own words
    return int(connection.execute(query, values).fetchone()[0])


def market(connection: sqlite3.Connection, identifier: str) -> Row | None:
    """Return one market with its rules; None = it is not listed here."""
    found = dicts(
        connection,
        "SELECT * FROM markets JOIN market_texts USING (number) WHERE id = ?",
        [identifier],
    )
    return found[0] if found else None


def categories(connection: sqlite3.Connection) -> list[str]:
    """Return the categories of the markets that are listed, by name."""
    query = "SELECT DISTINCT category FROM markets WHERE category != '' ORDER BY category"
    return [name for (name,) in connection.execute(query)]


def listings(connection: sqlite3.Connection) -> list[Row]:
    """Return each venue's listing: when it was complete last, and whether one is under way."""
    return dicts(
        connection,
        "SELECT venue, finished_ns, cursor != '' AS under_way, "
        "(SELECT count(*) FROM markets m WHERE m.venue = l.venue) AS markets FROM listings l",
        [],
    )


# -- Watch lists of people: in the state database, because they cannot be fetched anew -------------

WATCHED_MAX = 500
"""Markets on one person's lists together."""


def watch(
    connection: sqlite3.Connection,
    engine_id: str,
    who: str,
    name: str,
    *,
    instrument: str,
    now_ns: int,
) -> None:
    """Put a market on a person's list. Raises BadInput for no name, and beyond `WATCHED_MAX`."""
    if not name.strip() or len(name) > LIST_NAME_MAX:
        raise BadInput(f"a watch list has a name of 1 to {LIST_NAME_MAX} signs")
    count = "SELECT count(*) FROM watch_lists WHERE engine_id = ? AND who = ?"
    if connection.execute(count, (engine_id, who)).fetchone()[0] >= WATCHED_MAX:
        raise BadInput(f"{WATCHED_MAX} markets are on your lists: take one off first")
    connection.execute(
        "INSERT OR IGNORE INTO watch_lists (engine_id, who, name, instrument, at_ns) "
        "VALUES (?, ?, ?, ?, ?)",
        (engine_id, who, name.strip(), instrument, now_ns),
    )


def unwatch(
    connection: sqlite3.Connection, engine_id: str, who: str, name: str, instrument: str
) -> None:
    """Take a market off a person's list; a list without markets is gone."""
    connection.execute(
        "DELETE FROM watch_lists WHERE engine_id = ? AND who = ? AND name = ? AND instrument = ?",
        (engine_id, who, name, instrument),
    )


def watch_lists(
    connection: sqlite3.Connection, engine_id: str, who: str
) -> dict[str, tuple[str, ...]]:
    """Return a person's lists by name, each with its markets, the first put there first."""
    found: dict[str, tuple[str, ...]] = {}
    for name, instrument in connection.execute(
        "SELECT name, instrument FROM watch_lists WHERE engine_id = ? AND who = ? "
        "ORDER BY name, at_ns, instrument",
        (engine_id, who),
    ):
        found[name] = (*found.get(name, ()), instrument)
    return found
