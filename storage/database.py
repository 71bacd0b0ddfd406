"""The only way to a SQLite file: how it is opened, how it commits, and what its refusals mean.

Writers hold one connection and take the write lock at the start of a transaction; readers are
`query_only`. Every refusal of SQLite becomes a `StorageError` whose text says what to do.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from engine.errors import JournalCorrupt, StorageError

BUSY_MS = 5_000
"""How long a statement waits for another process's lock before it is refused."""

WAL_PAGES_MAX = 4_096
"""A commit checkpoints by itself beyond this; 16 MiB at 4 KiB pages."""

WAL_BYTES_KEPT = 16 * 1024 * 1024

_ADVICE = {
    sqlite3.SQLITE_BUSY: "is locked by another process; it is tried again, close that program "
    "if this lasts",
    sqlite3.SQLITE_LOCKED: "is locked by another statement; it is tried again",
    sqlite3.SQLITE_FULL: "cannot grow, the disk is full; free some space and writing goes on",
    sqlite3.SQLITE_READONLY: "cannot be written; check the owner and permissions of file and "
    "folder",
    sqlite3.SQLITE_PERM: "may not be opened; check the owner and permissions of file and folder",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened; check that its folder exists and is writable",
    sqlite3.SQLITE_CORRUPT: "is damaged; stop the programs and restore it from the "
    "latest backup as README's Recovery says",
    sqlite3.SQLITE_NOTADB: "is not a SQLite database; stop the programs and restore it from "
    "the latest backup as README's Recovery says",
    sqlite3.SQLITE_IOERR: "could not be read or written; check the disk, its free space and the "
    "limits of this process",
    sqlite3.SQLITE_SCHEMA: "has changed its schema under us; restart the program",
    sqlite3.SQLITE_ERROR: "does not look as expected; run `python -m engine migrate`",
}

LEGIBLE = partial(str, encoding="utf-8", errors="backslashreplace")
"""How text is read: bytes that are none are shown as such, so that one damaged cell does not keep a
whole table from being read. Who must know whether a text is sound asks for its bytes as well."""

RETRIABLE = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_CANTOPEN,
    }
)
"""Refusals that a person or time can lift without a restart: what was refused is tried again."""

OF_THE_VALUE = frozenset(
    {
        0,  # Python's own, before SQLite was asked: no type of SQLite
        sqlite3.SQLITE_ERROR,
        sqlite3.SQLITE_CONSTRAINT,
        sqlite3.SQLITE_MISMATCH,
        sqlite3.SQLITE_RANGE,
        sqlite3.SQLITE_TOOBIG,
    }
)
"""Refusals of what was to be written, not of the file: tried again it is refused again."""


def sentence(path: Path | str, error: sqlite3.Error) -> str:
    advice = _ADVICE.get(primary_code(error), "was refused by SQLite")
    return f"{path} {advice} ({error})"


def primary_code(error: sqlite3.Error) -> int:
    """Return the primary result code: the low byte of SQLite's extended code, 0 where none."""
    code = getattr(error, "sqlite_errorcode", None)
    return code & 0xFF if isinstance(code, int) else 0


def may_pass(error: StorageError) -> bool:
    """Say whether what was refused is worth another try: nobody has to restart or restore first."""
    cause = error.__cause__
    if isinstance(error, JournalCorrupt) or isinstance(cause, ValueError):  # a damaged value stays
        return False
    return not isinstance(cause, sqlite3.Error) or primary_code(cause) in RETRIABLE


@contextmanager
def refusals_told(path: Path | str) -> Iterator[None]:
    """Turn SQLite's refusals into `StorageError`. Constraint violations pass: they are values."""
    try:
        yield
    except sqlite3.IntegrityError:
        raise
    except sqlite3.Error as error:
        raise StorageError(sentence(path, error)) from error


def connect_writer(
    path: Path | str, *, synchronous: str = "FULL", busy_ms: int = BUSY_MS, any_thread: bool = False
) -> sqlite3.Connection:
    """Open `path` for writing, creating it: WAL, autocommit, foreign keys on.

    `any_thread` is for an owner who guards the connection himself. Raises StorageError.
    """
    if synchronous not in {"FULL", "NORMAL", "OFF"}:
        raise ValueError(f"synchronous {synchronous!r} is not FULL, NORMAL or OFF")
    with refusals_told(path):
        connection = sqlite3.connect(
            path, timeout=busy_ms / 1000, isolation_level=None, check_same_thread=not any_thread
        )
        connection.text_factory = LEGIBLE
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA synchronous = {synchronous}")
            connection.execute(f"PRAGMA wal_autocheckpoint = {WAL_PAGES_MAX}")
            connection.execute(f"PRAGMA journal_size_limit = {WAL_BYTES_KEPT}")
            connection.execute("PRAGMA foreign_keys = ON")
        except sqlite3.Error:
            connection.close()
            raise
    return connection


def connect_reader(path: Path | str, *, busy_ms: int = BUSY_MS) -> sqlite3.Connection:
    """Open an existing `path` for reading only. Raises StorageError where there is none."""
    if not Path(path).is_file():
        raise StorageError(f"{path} does not exist; run `python -m engine migrate` first")
    uri = Path(path).absolute().as_uri() + "?mode=ro"
    with refusals_told(path):
        connection = sqlite3.connect(uri, uri=True, timeout=busy_ms / 1000, isolation_level=None)
        connection.text_factory = LEGIBLE
        try:
            connection.execute("PRAGMA query_only = ON")
        except sqlite3.Error:
            connection.close()
            raise
    return connection


def file_id(path: Path) -> tuple[int, int]:
    """Return what names a file itself, whatever path leads to it; zeros = there is none."""
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_dev, found.st_ino


def must_be(path: Path, known: tuple[int, int]) -> None:
    """Raise StorageError where `path` is not the file any more that was opened under it.

    SQLite goes on writing a file that was deleted, and nobody would ever read that.
    """
    if file_id(path) != known:
        raise StorageError(
            f"{path} was deleted, moved or replaced while it was open: nothing is written to it; "
            "put the same file back, or stop the programs and restore it as README's Recovery says"
        )


@contextmanager
def reading(path: Path | str) -> Iterator[sqlite3.Connection]:
    """Open a reader for one visit, one snapshot of the file, and close it."""
    connection = connect_reader(path)
    try:
        with refusals_told(path):
            connection.execute("BEGIN")
            yield connection
    finally:
        connection.close()


@contextmanager
def writing(
    path: Path | str, *, synchronous: str = "FULL", busy_ms: int = BUSY_MS
) -> Iterator[sqlite3.Connection]:
    """Open an existing `path` for one visit of a writer (a page, the worker), and close it."""
    if not Path(path).is_file():
        raise StorageError(f"{path} does not exist; run `python -m engine migrate` first")
    connection = connect_writer(path, synchronous=synchronous, busy_ms=busy_ms)
    try:
        with refusals_told(path):
            yield connection
    finally:
        connection.close()


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Hold the write lock from the first statement; commit at the end or leave no trace."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
        connection.execute("COMMIT")
    except BaseException:
        # SQLite itself rolls back on some errors (a full disk); rolling back again would hide why.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def data_version(connection: sqlite3.Connection) -> int:
    """Return a number that changes when another connection committed; blind to our own commits."""
    row = connection.execute("PRAGMA data_version").fetchone()
    return int(row[0])
