"""Whether the markets that settings name exist at their venue, by what was listed so far.

A venue's list of markets is fetched by a job into `markets.db`, beside the state file; what a feed
listed stands in `instruments`. A list that is older than a day is taken for none: markets come.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from difflib import get_close_matches
from pathlib import Path
from sqlite3 import Connection
from typing import NamedTuple

from engine.domain.settings import SettingsDocument
from engine.errors import StorageError
from storage.database import connect_reader, storage_errors

FILE = "markets.db"
LIST_NS_MAX = 86_400 * 1_000_000_000
NEAR, NEAR_RATIO, AMONG_MAX = 3, 0.5, 2_000
"""Names that are offered, how alike they are at least, and how many are compared: 85,000 of one
venue would take seconds."""
WORDS_MAX = 8
MINUTE_NS = 60 * 1_000_000_000


class MarketsJudged(NamedTuple):
    """What is to be said of the markets that settings newly name."""

    refusal: str = ""
    """Why they are not saved: a market that its venue does not list; empty = none is that."""
    note: str = ""
    """Which are not known yet; empty = all are."""


class _Named(NamedTuple):
    """A market or a series that is newly named."""

    by: str
    """What names it, in words: `bot grid`."""
    venue: str
    name: str
    column: str
    """`id` of a market, `series` of a series."""

    @property
    def words(self) -> str:
        return f"{'series' if self.column == 'series' else 'market'} {self.name}"


def markets_judged(
    connection: Connection,
    engine_id: str,
    before: SettingsDocument,
    after: SettingsDocument,
    now_ns: int,
) -> MarketsJudged:
    """Judge the markets and series that bots name in `after` and did not in `before`.

    `connection` is of the state file. A list that cannot be read counts as none.
    """
    return _judged_by_lists(connection, engine_id, _named(before, after), now_ns)


def price_alerts_refusal(
    connection: Connection,
    engine_id: str,
    before: SettingsDocument,
    after: SettingsDocument,
    now_ns: int,
) -> str:
    """Return why price alerts that are new or changed can never come true; empty = they can.

    One names an account that is not there, no venue, or a market that its venue does not list. A
    list that cannot be read, or is none of the last day, refuses nothing.
    """
    named = []
    for name, one in after.alerts.prices.items():
        if one == before.alerts.prices.get(name):
            continue
        by, venue = f"price alert {name}", one.instrument.partition(":")[0]
        if venue == one.instrument:
            return f"{by}: {one.instrument!r} names no venue: write VENUE:MARKET, as Markets does"
        if one.account and one.account not in after.accounts:
            known = ", ".join(sorted(after.accounts)) or "none yet"
            return f"{by}: there is no account {one.account!r}; there are: {known}"
        named.append(_Named(by, venue, one.instrument, "id"))
    return _judged_by_lists(connection, engine_id, named, now_ns).refusal


def _judged_by_lists(
    connection: Connection, engine_id: str, names: Iterable[_Named], now_ns: int
) -> MarketsJudged:
    named = [one for one in names if not _was_listed(connection, engine_id, one)]
    path = _beside(connection)
    if not named or path is None:
        return MarketsJudged(note=_unknown(named))
    try:
        with storage_errors(path), closing(connect_reader(path)) as markets:
            return _judged(markets, named, now_ns)
    except StorageError:
        return MarketsJudged(note=_unknown(named))


def _judged(markets: Connection, named: Sequence[_Named], now_ns: int) -> MarketsJudged:
    unknown = []
    for one in named:
        age_ns = _age_ns(markets, one.venue, now_ns)
        if age_ns is None:
            unknown.append(one)
        elif not _lists(markets, one):
            near = ", ".join(_nearest(markets, one)) or "none is alike"
            return MarketsJudged(
                f"{one.by}: {one.venue} lists no {one.words}; the nearest: {near} (its list "
                f"is {age_ns // MINUTE_NS} min old: where the market is newer, fetch it on Markets)"
            )
    return MarketsJudged(note=_unknown(unknown))


def _unknown(named: Sequence[_Named]) -> str:
    if not named:
        return ""
    words = ", ".join(dict.fromkeys(one.words for one in named))
    venues = " and ".join(dict.fromkeys(one.venue for one in named))
    return f"not known yet: {words}; no list of the markets of {venues} was fetched in the last day"


def _named(before: SettingsDocument, after: SettingsDocument) -> Iterator[_Named]:
    """Give what bots newly name; what moves to another venue is new there."""
    for name, bot in after.bots.items():
        account = after.accounts.get(bot.account)
        if account is None:
            continue
        old = before.bots.get(name)
        known = before.accounts.get(old.account) if old else None
        same = old if known is not None and known.venue == account.venue else None
        then = () if same is None else (*same.instruments, *same.series)
        for column, names in (("id", bot.instruments), ("series", bot.series)):
            for one in names:
                if one not in then:
                    yield _Named(f"bot {name}", account.venue, one, column)


def _was_listed(connection: Connection, engine_id: str, one: _Named) -> bool:
    """Say whether a feed ever listed it here."""
    found = connection.execute(
        f"SELECT 1 FROM instruments WHERE engine_id = ? AND {one.column} = ? LIMIT 1",  # noqa: S608 our own word
        (engine_id, one.name),
    ).fetchone()
    return found is not None


def _beside(connection: Connection) -> Path | None:
    """Return the file of lists in the home of a state file; None = there is none."""
    file = next(file for _, name, file in connection.execute("PRAGMA database_list"))
    path = Path(file).with_name(FILE) if file else None
    return path if path is not None and path.is_file() else None


def _age_ns(markets: Connection, venue: str, now_ns: int) -> int | None:
    """Return how old a venue's whole list is; None = there is none of the last day."""
    row = markets.execute("SELECT finished_ns FROM listings WHERE venue = ?", (venue,)).fetchone()
    if row is None or row[0] is None or now_ns - row[0] > LIST_NS_MAX:
        return None
    return max(0, now_ns - int(row[0]))


def _lists(markets: Connection, one: _Named) -> bool:
    found = markets.execute(
        f"SELECT 1 FROM markets WHERE venue = ? AND {one.column} = ? LIMIT 1",  # noqa: S608 our own word
        (one.venue, one.name),
    ).fetchone()
    if found is None and one.column == "series":  # a window's name begins with its series
        found = markets.execute(
            "SELECT 1 FROM markets WHERE venue = ? AND substr(slug, 1, ?) = ? LIMIT 1",
            (one.venue, len(one.name) + 1, f"{one.name}-"),
        ).fetchone()
    return found is not None


def _nearest(markets: Connection, one: _Named) -> list[str]:
    """Return what is named most like it, of markets that are open; first what shares a word.

    A market is looked for by its id and by its slug: the ids of some venues are numbers.
    """
    wanted = one.name.removeprefix(f"{one.venue}:").lower()
    column = "series" if one.column == "series" else "slug"
    words = [word for word in re.split(r"[^a-z0-9]+", wanted) if len(word) > 2][:WORDS_MAX]
    shares = " + ".join([f"(instr(lower({column}), ?) > 0)"] * len(words)) or "0"
    rows = markets.execute(
        f"SELECT DISTINCT {column}, {one.column} FROM markets WHERE venue = ? "  # noqa: S608 our own words
        f"AND {column} <> '' AND state NOT IN ('resolved', 'unlisted') "
        f"ORDER BY {shares} DESC LIMIT ?",
        (one.venue, *words, AMONG_MAX),
    )
    names = {
        alias.removeprefix(f"{one.venue}:").lower(): name if slug in name else f"{name} ({slug})"
        for slug, name in rows
        for alias in (slug, name)
    }
    found = get_close_matches(wanted, names, NEAR, NEAR_RATIO)
    return list(dict.fromkeys(names[alias] for alias in found))
