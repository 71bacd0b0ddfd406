"""How nouns are folded from the journal: rows found when asked for, written back in batches.

A noun is a file in `storage/projected`: its tables, and what each kind of record means to them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from hashlib import blake2b
from sqlite3 import Connection
from typing import Any, NamedTuple

import msgspec

from engine.domain.instruments import Mode
from engine.errors import StorageError
from storage.columns import ENGINE, Declared, declare, fields
from storage.database import RowType, Table, upsert
from storage.journal import Record, decode

Key = tuple[str | int, ...]


class ProjectedTable(msgspec.Struct, frozen=True, dict=True):
    """One table of the projection: its rows are structs of one kind."""

    kind: type[msgspec.Struct]
    name: str
    key: tuple[str, ...]
    """What names a row, behind its engine."""
    indexes: tuple[tuple[str, ...], ...] = ()
    """Columns of each further index, behind the engine."""
    moves: tuple[str, ...] = ()
    """Fields that ever change; empty = every one beside the key."""

    @cached_property
    def rows(self) -> Table[Any]:
        return Table(self.kind, self.name)

    @cached_property
    def upsert(self) -> str:
        """The end of an INSERT that moves a row that is there."""
        return upsert(self.key, self.moves) if self.moves else self.rows.moving(self.key)

    @cached_property
    def declared(self) -> Declared:
        indexes = ((ENGINE, *index) for index in self.indexes)
        return declare(self.name, (ENGINE, *self.key), *indexes, **fields(self.kind))


class Rows:
    """All rows of one engine, cached since the last `flush`."""

    def __init__(
        self,
        connection: Connection,
        engine_id: str,
        modes: Mapping[str, Mode],
        tables: Mapping[type[msgspec.Struct], ProjectedTable],
    ) -> None:
        self._connection = connection
        self._engine_id = engine_id
        self._modes = modes
        self._currencies: dict[str, str | None] = {}
        self._tables = tables
        self._cache: dict[type[msgspec.Struct], dict[Key, Any]] = {kind: {} for kind in tables}
        self._dirty: dict[type[msgspec.Struct], dict[Key, Any]] = {kind: {} for kind in tables}

    def mode(self, account: str) -> Mode:
        """Return an account's mode. Raises StorageError where the engine never registered it."""
        mode = self._modes.get(account)
        if mode is None:
            raise StorageError(
                f"account {account!r} stands in the journal but not in the state file; start the "
                "engine once, it registers its accounts"
            )
        return mode

    def currency(self, account: str) -> str | None:
        """Return what an account counts in, None where the engine never registered it."""
        if account not in self._currencies:
            row = self._connection.execute(
                "SELECT currency FROM accounts WHERE engine_id = ? AND account = ?",
                (self._engine_id, account),
            ).fetchone()
            self._currencies[account] = None if row is None else row[0]
        return self._currencies[account]

    def find(self, kind: type[RowType], *key: str | int) -> RowType | None:
        """Return the row with this key, None where there is none."""
        cache = self._cache[kind]
        found: RowType | None
        if key in cache:
            found = cache[key]
            return found
        one = self._tables[kind]
        found = one.rows.one(self._connection, _where(one.key), (self._engine_id, *key))
        cache[key] = found
        return found

    def matching(self, kind: type[RowType], **columns: str | int) -> list[RowType]:
        """Return the rows with these values, in the order of their key.

        All that changed is written first. They are copies: `put` one that you change.
        """
        self.flush()
        one = self._tables[kind]
        where = f"{_where(columns)} ORDER BY {', '.join(one.key)}"
        return one.rows.all(self._connection, where, (self._engine_id, *columns.values()))

    def put(self, row: msgspec.Struct) -> None:
        """Take a new or changed row; `flush` writes it."""
        kind, key = type(row), self._key_of(row)
        self._cache[kind][key] = self._dirty[kind][key] = row

    def drop(self, row: msgspec.Struct) -> None:
        """Delete a row."""
        kind, key = type(row), self._key_of(row)
        self._cache[kind][key] = None
        self._dirty[kind].pop(key, None)
        one = self._tables[kind]
        self._connection.execute(
            f"DELETE FROM {one.name} WHERE {_where(one.key)}",  # noqa: S608 our own words
            (self._engine_id, *key),
        )

    def flush(self) -> None:
        """Write what changed, inside the caller's transaction, and keep nothing in memory."""
        for kind, dirty in self._dirty.items():
            one = self._tables[kind]
            one.rows.put(self._connection, self._engine_id, dirty.values(), "INSERT", one.upsert)
            dirty.clear()
            self._cache[kind].clear()

    def _key_of(self, row: msgspec.Struct) -> Key:
        return tuple([getattr(row, name) for name in self._tables[type(row)].key])


def _where(columns: Iterable[str]) -> str:
    return " AND ".join(f"{name} = ?" for name in (ENGINE, *columns))


PROBLEMS_MAX = 100


class Fold:
    """Folds records into `rows`. `problems`: a sentence for each record that could not be used."""

    def __init__(self, rows: Rows, handlers: Mapping[str, Sequence[NounHandler]]) -> None:
        self.rows = rows
        self.problems: list[str] = []
        self._handlers = handlers

    def take(self, record: Record) -> None:
        """Fold one record; kinds that no noun handles pass by undecoded."""
        handlers = self._handlers.get(record.kind)
        if handlers is not None:
            message = decode(record)
            for handler in handlers:
                handler(self, message, record)

    def emit(self, message: msgspec.Struct, record: Record) -> None:
        """Hand what a noun made of a record to the nouns that handle that."""
        for handler in self._handlers.get(type(message).__name__, ()):
            handler(self, message, record)

    def report(self, sentence: str) -> None:
        """Keep a problem, of the first hundred."""
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append(sentence)


NounHandler = Callable[[Fold, Any, Record], None]
"""Takes a decoded message and its record."""


class Noun(NamedTuple):
    """What the file of a noun declares: its tables, and what messages mean to them.

    A message is a record of the journal, or what another noun emits while it folds one. Of several
    nouns that handle one message, the first by name comes first.
    """

    tables: tuple[ProjectedTable, ...]
    handlers: Mapping[type[msgspec.Struct], NounHandler]
    version: int = 1
    """Raise it with every change of what a message means to a row: everything is built anew."""

    @property
    def mark(self) -> str:
        """What tells this version of the noun from others; its columns are part of it."""
        columns = repr([table.declared for table in self.tables]).encode()
        return f"{self.version}.{blake2b(columns, digest_size=4).hexdigest()}"
