"""Accounts that journal and state ever knew, for a KILL: each table and each row asked for itself.

Nothing here needs a schema, a checksum or the settings in force: what can be read counts, and what
cannot be is said in a sentence: the rest is not everything.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import zstandard

EXECUTOR = "executor:"
"""Begins the name of an account's snapshot."""

LOCKED_MS = 1_000
"""How long another program's lock is waited for."""


class KnownAccounts(msgspec.Struct, kw_only=True):
    """What the sources gave."""

    places: dict[str, set[tuple[str, str]]] = {}
    """By account, every (venue, mode) that a source says of it; empty = the source does not say."""
    unread: list[str] = []
    """A sentence for whatever could not be read."""

    def add(self, name: str, venue: str = "", mode: str = "") -> None:
        """Take an account as one source has it: where two differ, both are asked."""
        self.places.setdefault(name, set()).add((venue, mode))


def known_accounts(journal: Path, state: Path) -> KnownAccounts:
    """Return every account that the two files name in any row. Never raises."""
    known = KnownAccounts()
    _ask(state, known, (_of_accounts, _of_settings))
    _ask(journal, known, (_of_snapshots, _of_records))
    return known


_Source = Callable[[sqlite3.Connection, KnownAccounts], None]


def _ask(path: Path, known: KnownAccounts, sources: tuple[_Source, ...]) -> None:
    try:
        connection = _opened(path, known)
    except (OSError, sqlite3.Error, ValueError) as error:
        known.unread.append(f"{path.name} cannot be read ({error})")
        return
    with closing(connection):
        for source in sources:
            try:
                source(connection, known)
            except Exception as error:  # noqa: BLE001 whatever is wrong with it, the others are asked
                what = source.__name__.removeprefix("_of_")
                known.unread.append(f"the {what} in {path.name} cannot be read ({error})")


def _opened(path: Path, known: KnownAccounts) -> sqlite3.Connection:
    """Open a file to be read; where its log cannot be (a read-only folder), the file alone."""
    if not path.is_file():
        raise FileNotFoundError("it is missing" if not path.exists() else "it is no file")
    if not path.stat().st_size:
        raise FileNotFoundError("it is empty")
    uri = path.absolute().as_uri()
    connection = _connected(f"{uri}?mode=ro")
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.OperationalError as error:
        connection.close()
        known.unread.append(f"the newest part of {path.name} cannot be read ({error})")
        connection = _connected(f"{uri}?immutable=1")
    return connection


def _connected(uri: str) -> sqlite3.Connection:
    connection = sqlite3.connect(uri, uri=True, timeout=LOCKED_MS / 1000, isolation_level=None)
    connection.text_factory = bytes  # a row of bytes that are no text must not hide the others
    return connection


def _text(found: Any) -> str:
    """Return a column as text. Raises ValueError where it is none."""
    if not isinstance(found, bytes):
        raise ValueError(f"{found!r} is no text")  # noqa: TRY004 one kind of error for a bad row
    return found.decode()


@contextmanager
def _noting_unread(known: KnownAccounts, what: str) -> Iterator[None]:
    """Tell what cannot be read; whatever is wrong with it, the next one is."""
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        known.unread.append(f"{what} cannot be read ({error})")


def _of_accounts(connection: sqlite3.Connection, known: KnownAccounts) -> None:
    for name, venue, mode in connection.execute("SELECT account, venue, mode FROM accounts"):
        with _noting_unread(known, "a row of accounts"):
            known.add(_text(name), _text(venue), _text(mode))


def _of_settings(connection: sqlite3.Connection, known: KnownAccounts) -> None:
    for version, body in connection.execute(
        "SELECT version, body FROM settings ORDER BY version DESC"
    ):
        with _noting_unread(known, f"version {version} of the settings"):
            for name, one in json.loads(_text(body))["accounts"].items():
                known.add(name, str(one["venue"]), str(one["mode"]))


def _of_snapshots(connection: sqlite3.Connection, known: KnownAccounts) -> None:
    for (name,) in connection.execute("SELECT DISTINCT name FROM snapshots"):
        with _noting_unread(known, "a snapshot's name"):
            if (text := _text(name)).startswith(EXECUTOR):
                known.add(text.removeprefix(EXECUTOR))


def _of_records(connection: sqlite3.Connection, known: KnownAccounts) -> None:
    """Take every account a record is of; behind a damaged page it goes on from the end."""
    damage: sqlite3.Error | None = None
    seen: set[object] = set()
    for way in ("", " DESC"):
        try:
            for (name,) in connection.execute(f"SELECT account FROM records ORDER BY seq{way}"):  # noqa: S608 one of two words
                seen.add(name)
            break
        except sqlite3.Error as error:
            damage = error
    seen |= _of_archive(connection, known)
    for name in seen - {b""}:  # records without an account concern every account
        with _noting_unread(known, "an account's name in the journal"):
            text = _text(name)
            if not any(venue for venue, _ in known.places.get(text, ())):
                known.add(text, _venue_of(connection, text))
    if damage is not None:
        raise damage


def _of_archive(connection: sqlite3.Connection, known: KnownAccounts) -> set[bytes]:
    """Return the accounts of the archived records: each block names them beside what it holds."""
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'archive'").fetchone() is None:
        return set()
    seen = set()
    for first, names in connection.execute("SELECT first, accounts FROM archive"):
        with _noting_unread(known, f"the accounts of the archive's block {first}"):
            seen |= {str(name).encode() for name in json.loads(_text(names))}
    return seen


def _venue_of(connection: sqlite3.Connection, account: str) -> str:
    """Return where an account's first readable order went; empty = no order says it."""
    try:
        for (body,) in connection.execute(
            "SELECT body FROM records WHERE kind = 'PlaceOrder' AND account = ? LIMIT 20",
            (account,),
        ):
            with suppress(*UNREADABLE):
                return _venue_in(body)
        return _archived_venue_of(connection, account)
    except sqlite3.Error:
        pass  # the reader of the names reports the damage
    return ""


def _archived_venue_of(connection: sqlite3.Connection, account: str) -> str:
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'archive'").fetchone() is None:
        return ""
    for (packed,) in connection.execute("SELECT body FROM archive ORDER BY first"):
        with suppress(*UNREADABLE):
            for _, _, name, kind, body, *_ in msgspec.msgpack.decode(zstandard.decompress(packed)):
                if (name, kind) == (account, "PlaceOrder"):
                    return _venue_in(body)
    return ""


UNREADABLE = (zstandard.ZstdError, msgspec.MsgspecError, KeyError, TypeError, ValueError)


def _venue_in(placing: bytes) -> str:
    """Return where an order went. Raises one of `UNREADABLE` where its record is damaged."""
    return str(msgspec.msgpack.decode(placing)["order"]["instrument"]).partition(":")[0]
