"""The only way to a SQLite file: how it is opened, read, written, and what its refusals mean.

Writers hold one connection and take the write lock at the start of a transaction; readers are
`query_only`. Every refusal of SQLite becomes a `StorageError` whose text says what to do.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec
from msgspec.inspect import (
    BoolType,
    BytesType,
    EnumType,
    FloatType,
    IntType,
    NoneType,
    StrType,
    UnionType,
    type_info,
)

from engine.domain.plain import PlainDict, PlainView
from engine.errors import BadInput, BrokenInvariant, JournalCorrupt, StorageError

SqlValues = Sequence[Any] | PlainView

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
    """Say whether what was refused is worth another try, without a restart or a restore."""
    cause = error.__cause__
    if isinstance(error, JournalCorrupt) or isinstance(cause, ValueError):  # a damaged value stays
        return False
    return not isinstance(cause, sqlite3.Error) or primary_code(cause) in RETRIABLE


_PREPARING = threading.Lock()
_PREPARED: set[type[msgspec.Struct]] = set()


def prepare_kinds() -> None:
    """Work out what msgspec must know of every kind that is loaded, before threads convert to it.

    msgspec 0.22 does so at the first conversion and without a lock: two threads that do it together
    end the process by SIGSEGV. A kind whose annotations cannot be read is never converted to.
    """
    with _PREPARING:
        waiting = [msgspec.Struct]
        while waiting:
            for kind in waiting.pop().__subclasses__():
                waiting.append(kind)
                if kind not in _PREPARED:
                    _PREPARED.add(kind)
                    with suppress(NameError, TypeError):
                        msgspec.json.Decoder(kind)


@contextmanager
def storage_errors(path: Path | str) -> Iterator[None]:
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
    with storage_errors(path):
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
    with storage_errors(path):
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


def filled(path: Path) -> bool:
    """Say whether a file is there and holds anything; SQLite itself leaves empty ones."""
    return path.is_file() and path.stat().st_size > 0


def must_be(path: Path, known: tuple[int, int]) -> None:
    """Raise StorageError where `path` is not the file any more that was opened under it.

    SQLite goes on writing a file that was deleted, and no program would ever read that.
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
        with storage_errors(path):
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
        with storage_errors(path):
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


def dicts(connection: sqlite3.Connection, sql: str, values: SqlValues = ()) -> list[PlainDict]:
    """Return a query's rows by the names of its columns."""
    cursor = connection.execute(sql, values)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]


HALF = 10**9
"""Where an amount is cut to be summed: both halves of an int64 stay far below its bound."""


def halves(column: str) -> str:
    """Return the SQL of a column's sum as `high` and `low`, for `whole`.

    Of 18 decimals an int64 holds 9.2 units, and a `sum` beyond it ends in an error of SQLite.
    """
    return f"sum({column} / {HALF}) AS high, sum({column} % {HALF}) AS low"


def whole(high: int, low: int) -> int:
    """Return the sum of which these are the halves."""
    return high * HALF + low


def scaled(amount: str, factor: str, divisor: str) -> str:
    """Return the SQL of `amount * factor / divisor`, divided towards zero.

    The product never stands alone: beyond an int64 SQLite goes on in floats.
    """
    return f"({amount} / {divisor} * {factor} + {amount} % {divisor} * {factor} / {divisor})"


def data_version(connection: sqlite3.Connection) -> int:
    """Return a number that changes when another connection committed; blind to our own commits."""
    row = connection.execute("PRAGMA data_version").fetchone()
    return int(row[0])


def pages_of(connection: sqlite3.Connection) -> tuple[int, int, int]:
    """Return how many pages a database has, how many of them are empty, and the bytes of one."""
    pages, empty, size = (
        int(connection.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("page_count", "freelist_count", "page_size")
    )
    return pages, empty, size


# -- Rows: how one is read and judged, and written -------------------------------------------------
# A table's rows are structs: a field is a column, one of a compound type is JSON in it. Any cell
# may be damaged, by a disk or a foreign hand; what cannot be read is `BadInput`, never a guess.

WHY_LENGTH_MAX = 300
"""How long the reason may be why a row cannot be read: it may quote what was planted there."""

_SCALARS = (BytesType, EnumType, FloatType, IntType, NoneType, StrType)

RowType = TypeVar("RowType", bound=msgspec.Struct)


def upsert(key: Iterable[str], moves: Iterable[str]) -> str:
    """Return the end of an INSERT that changes these columns alone of a row that is there.

    REPLACE would take the row and its entry in every index out and put them in anew: whole pages.
    """
    changes = ", ".join(f"{name} = excluded.{name}" for name in moves)
    return f" ON CONFLICT ({', '.join(('engine_id', *key))}) DO UPDATE SET {changes}"


def insert(
    connection: sqlite3.Connection,
    table: str,
    /,
    *,
    verb: str = "INSERT",
    ends: str = "",
    **cells: object,
) -> sqlite3.Cursor:
    """Write one row, column by column, inside the caller's transaction; see `Table.put`."""
    marks = ", ".join("?" * len(cells))
    return connection.execute(
        f"{verb} INTO {table} ({', '.join(cells)}) VALUES ({marks})" + ends, tuple(cells.values())
    )


def update(
    connection: sqlite3.Connection, table: str, which: Mapping[str, object], /, **cells: object
) -> int:
    """Write cells of the rows with these values, inside the caller's transaction; give how many."""
    changes = ", ".join(f"{name} = ?" for name in cells)
    where = " AND ".join(f"{name} = ?" for name in which)
    return connection.execute(
        f"UPDATE {table} SET {changes} WHERE {where}",  # noqa: S608 our own words
        (*cells.values(), *which.values()),
    ).rowcount


def keep_only(
    connection: sqlite3.Connection, table: str, engine_id: str, columns: str, keys: Iterable[object]
) -> None:
    """Delete an engine's rows but those with one of `keys`, by one column or by two."""
    one, many = columns.count(",") == 0, list(keys)
    value = "value" if one else "value ->> 0, value ->> 1"
    connection.execute(
        f"DELETE FROM {table} WHERE engine_id = ? AND ({columns}) NOT IN "  # noqa: S608 our own words
        f"(SELECT {value} FROM json_each(?))",
        (engine_id, msgspec.json.encode(many).decode()),
    )


class Table(Generic[RowType]):
    """The rows of one table as structs of one kind. `columns` are their names, for a SELECT."""

    def __init__(self, kind: type[RowType], name: str) -> None:
        fields = msgspec.structs.fields(kind)
        self._kind = kind
        self.name = name
        self._names = tuple(field.encode_name for field in fields)
        self.columns = ", ".join(self._names)
        self._flags = []
        self._json = {}
        for place, field in enumerate(fields):
            info = type_info(field.type)
            if isinstance(info, BoolType):
                self._flags.append(place)
            elif not all(
                isinstance(one, _SCALARS)
                for one in (info.types if isinstance(info, UnionType) else (info,))
            ):
                self._json[place] = msgspec.json.Decoder(field.type).decode
        self._encode = msgspec.json.Encoder().encode
        # msgspec 0.22 ends the process where two threads convert to a kind for the first time at
        # once; what it must know of the kind is worked out here, before any thread reads.
        msgspec.json.Decoder(kind)

    def read(self, row: Sequence[Any], what: str = "it") -> RowType:
        """Return `columns` as what they are. Raises BadInput where a cell cannot be."""
        cells = dict(zip(self._names, row, strict=True))
        try:
            for place, decode in self._json.items():
                cells[self._names[place]] = decode(str(row[place]))
            for place in self._flags:
                if row[place] in (0, 1):
                    cells[self._names[place]] = bool(row[place])
            return msgspec.convert(cells, self._kind)
        except (ValueError, RecursionError) as error:  # of msgspec, of an encoding; nested too deep
            raise BadInput(f"{what} cannot be read: {str(error)[:WHY_LENGTH_MAX]}") from error

    def all(self, connection: sqlite3.Connection, where: str, values: SqlValues) -> list[RowType]:
        """Return the rows that a WHERE gives, in its order. Raises BadInput for a damaged one."""
        query = f"SELECT {self.columns} FROM {self.name} WHERE {where}"  # noqa: S608 our own words
        return [self.read(row) for row in connection.execute(query, values)]

    def one(
        self, connection: sqlite3.Connection, where: str, values: SqlValues, what: str = "it"
    ) -> RowType | None:
        """Return the row that a WHERE gives, None where there is none. Raises BadInput."""
        query = f"SELECT {self.columns} FROM {self.name} WHERE {where}"  # noqa: S608 our own words
        row = connection.execute(query, values).fetchone()
        return None if row is None else self.read(row, what)

    def put(
        self,
        connection: sqlite3.Connection,
        engine_id: str,
        rows: Iterable[RowType],
        verb: str = "INSERT OR REPLACE",
        ends: str = "",
        **more: Any,
    ) -> sqlite3.Cursor:
        """Write rows inside the caller's transaction; `more` are columns that are no fields.

        `ends` stands behind the values, for example `upsert`.
        """
        names = ("engine_id", *self._names, *more)
        return connection.executemany(
            f"{verb} INTO {self.name} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"
            + ends,
            [(engine_id, *self.cells(row), *more.values()) for row in rows],
        )

    def moving(self, key: Sequence[str], *more: str) -> str:
        """Return the end of an INSERT that moves every column but `key`, and `more`."""
        return upsert(key, [name for name in (*self._names, *more) if name not in key])

    def cells(self, row: RowType) -> list[object]:
        cells = list(msgspec.structs.astuple(row))
        for place in self._json:
            cells[place] = self._encode(cells[place]).decode()
        return cells


# -- Audit: who changed what. Rows are only ever added; triggers in the file forbid the rest -------


def note(
    connection: sqlite3.Connection,
    engine_id: str,
    at_ns: int,
    who: str,
    what: str,
    /,
    **detail: Any,
) -> None:
    """Add a row inside the caller's transaction: the change and its trace live or die together.

    `detail` must hold no secret. Raises BrokenInvariant outside a transaction.
    """
    if not connection.in_transaction:
        raise BrokenInvariant("an audit row belongs to the transaction of what it tells")
    text = msgspec.json.encode(detail).decode()
    insert(connection, "audit", engine_id=engine_id, at_ns=at_ns, who=who, what=what, detail=text)


# -- many rows per statement -----------------------------------------------------------------------
# A busy engine thread does not slow a writing one to a row per switch.
#
# SQLite gives Python's lock back for every statement that it runs, and a thread that wants the lock
# again waits for as long as another one may keep it. So rows go in by hundreds where there are so
# many, then by tens, and only a rest one by one. No more at once: while the values of a statement
# are handed over, no other thread runs, and a trading loop must not feel that.

ROWS = (500, 50, 5)
"""Rows per statement, while there are so many. 500 decisions (12 columns) take 0.6 ms in all, of
which handing over is a part. SQLite takes 32,766 variables."""


class Bulk:
    """One INSERT: what stands before the values, and behind them (for example ON CONFLICT)."""

    def __init__(self, begins: str, columns: int, ends: str = "") -> None:
        row = f" ({','.join('?' * columns)})"
        self._one = begins + row + ends
        self._many = [(count, begins + ",".join([row] * count) + ends) for count in ROWS]

    def write(self, connection: sqlite3.Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        """Insert the rows in their order, inside the caller's transaction."""
        first = 0
        for count, statement in self._many:
            while len(rows) - first >= count:
                block = rows[first : first + count]
                connection.execute(statement, tuple(chain.from_iterable(block)))
                first += count
        connection.executemany(self._one, rows[first:])
