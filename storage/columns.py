"""What a table of the state file is: its columns, key and indexes, as data.

A row is a struct: a field is a column, by its type. `storage.schema` compares what is declared with
what a file has, and adds what a file lacks. Nothing here needs SQLAlchemy: every program checks its
schema at its start.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import msgspec
from msgspec.inspect import BoolType, FloatType, IntType, NoneType, StrType, UnionType, type_info

ENGINE = "engine_id"
"""The column that every table has: whose rows they are."""


class Field(NamedTuple):
    """What a column holds, as a struct's field says it."""

    type: Any
    default: object = msgspec.NODEFAULT
    """What rows written before the column was there say; none = a value must be given."""
    sql: str = ""
    """Its type in SQL; empty = it follows from `type`."""
    references: str = ""
    """The table whose `id` it names: the row goes with that one."""


Integer = Field(int, sql="INTEGER")
"""A whole number; alone in the key it is the number SQLite gives a row."""


class Column(NamedTuple):
    """One column of a table."""

    name: str
    sql: str
    nullable: bool
    default: str | None
    """A literal of SQL; None = none."""
    references: str

    @property
    def words(self) -> str:
        """The column as CREATE TABLE and ADD COLUMN write it."""
        default = "" if self.default is None else f" DEFAULT {self.default}"
        return f"{self.name} {self.sql}{default}" + ("" if self.nullable else " NOT NULL")


class Declared(NamedTuple):
    """One table as this version has it."""

    name: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    indexes: tuple[tuple[str, ...], ...]

    @property
    def created(self) -> str:
        """The statement that makes the table."""
        parts = [column.words for column in self.columns]
        parts.append(f"CONSTRAINT pk_{self.name} PRIMARY KEY ({', '.join(self.key)})")
        parts += [
            f"CONSTRAINT fk_{self.name}_{one.name}_{one.references} FOREIGN KEY ({one.name}) "
            f"REFERENCES {one.references} (id) ON DELETE CASCADE"
            for one in self.columns
            if one.references
        ]
        return f"CREATE TABLE {self.name} ({', '.join(parts)})"

    @property
    def indexed(self) -> dict[str, str]:
        """The statement of each index, by the index's name."""
        return {
            name: f"CREATE INDEX {name} ON {self.name} ({', '.join(index)})"
            for index in self.indexes
            for name in (f"ix_{self.name}_{'_'.join(index)}",)
        }


def declare(
    name: str, key: Sequence[str], /, *indexes: Sequence[str], **columns: object
) -> Declared:
    """Declare a table: the columns of its key, the engine, then `columns`, each by its type.

    `int` is a 64-bit whole number; a `Field` stands for itself. A column of the key that is not
    named again is text.
    """
    found = dict.fromkeys(key, str) | {ENGINE: str} | columns
    return Declared(
        name,
        tuple(column for column in found if column in key),
        tuple(_column(column, of) for column, of in found.items()),
        tuple(tuple(index) for index in indexes),
    )


def fields(kind: type[msgspec.Struct]) -> dict[str, Field]:
    """Return the columns of a table whose rows are a struct; `storage.database.Table` reads it."""
    return {
        field.encode_name: Field(field.type, _default(field))
        for field in msgspec.structs.fields(kind)
    }


def _default(field: msgspec.structs.FieldInfo) -> object:
    made = field.default_factory
    return field.default if made is msgspec.NODEFAULT else made()


_SQL = {IntType: "BIGINT", FloatType: "FLOAT", BoolType: "BOOLEAN"}
"""How a field is kept; every other one is text: words, members, JSON."""


def _column(name: str, of: object) -> Column:
    field = of if isinstance(of, Field) else Field(of)
    info = type_info(field.type)
    kinds = {type(one) for one in (info.types if isinstance(info, UnionType) else (info,))}
    (kind,) = kinds - {NoneType} or {StrType}
    return Column(
        name,
        field.sql or _SQL.get(kind, "VARCHAR"),
        NoneType in kinds,
        _literal(field.default),
        field.references,
    )


def _literal(value: object) -> str | None:
    if value is None or value is msgspec.NODEFAULT:
        return None
    if isinstance(value, int | float):
        return repr(float(value)) if isinstance(value, float) else repr(int(value))
    if isinstance(value, enum.Enum):
        value = value.value
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return "'" + text.replace("'", "''") + "'"


class ExistingTable(NamedTuple):
    """A table's columns as a file has them, and the names of its indexes."""

    columns: Mapping[str, tuple[str, bool, int]]
    """By name: type, may it be NULL, which place it has in the key (0 = none)."""
    indexes: frozenset[str]


@cache
def _shape(table: Declared) -> dict[str, tuple[str, bool, int]]:
    return {
        one.name: (
            one.sql,
            one.nullable,
            table.key.index(one.name) + 1 if one.name in table.key else 0,
        )
        for one in table.columns
    }


class Differences(NamedTuple):
    """What a file lacks of a table, and what it has besides."""

    missing: tuple[Column, ...]
    unknown: tuple[str, ...]
    """Columns this version does not declare: a newer one made them."""
    changed: tuple[str, ...]
    """Columns of another type, or of another place in the key."""
    indexes: tuple[str, ...]
    """Names of indexes it lacks."""

    @property
    def addable(self) -> bool:
        """Whether ADD COLUMN and CREATE INDEX make the table what it should be."""
        return not self.changed and all(
            one.nullable or one.default is not None for one in self.missing
        )


def compare(table: Declared, known: ExistingTable) -> Differences | None:
    """Compare a table that a file has with what is declared; None = they are the same.

    Defaults are not compared: every row is written with all of its columns.
    """
    shape = _shape(table)
    found = Differences(
        tuple(one for one in table.columns if one.name not in known.columns),
        tuple(name for name in known.columns if name not in shape),
        tuple(name for name, has in known.columns.items() if name in shape and shape[name] != has),
        tuple(name for name in table.indexed if name not in known.indexes),
    )
    return found if any(found) else None
