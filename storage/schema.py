"""The state file's schema: brought up to date before anything starts, checked by every program.

A new file is made as `storage.tables` declares it. A table, column or index that an older one lacks
is added. Any other change is a script in `storage/migrations/versions`, which runs before that.
`migrate` is what `python -m engine migrate` does: alone (a lock file), with a backup before a
change, whole or not at all. `check_schema` is what the programs do: refuse a schema that is not
exactly theirs.
"""

from __future__ import annotations

import fcntl
import itertools
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import StorageError
from storage.columns import Differences, ExistingTable, compare
from storage.database import connect_reader, connect_writer, storage_errors, transaction
from storage.projected import PROJECTED
from storage.tables import TABLES, TRIGGERS

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy import Connection

# Alembic and SQLAlchemy are imported where scripts run: a program that checks its schema or makes a
# new file starts a second earlier without them.

BASELINE = "0021"
"""The first schema that is brought up to date."""

APPLICATION_ID = 0x50425354
"""`PBST`: what SQLite's header says of our state files."""

SCRIPTS = Path(__file__).parent / "migrations"

VERSIONS = [SCRIPTS / "versions"]
"""Where scripts lie; the name of each begins with its number."""

VERSION_TABLE = (
    "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL, "
    "CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
)
"""Where a file says its schema, as Alembic itself makes it."""

PLUGIN_MARK = "__"
"""Stands in the name of every table of a plug-in, behind the plug-in's, and in no other table's."""


def scripts() -> list[str]:
    """Return the number of every script, in their order."""
    files = (file for folder in VERSIONS for file in folder.glob("[0-9]*.py"))
    return sorted(file.stem.partition("_")[0] for file in files)


def head() -> str:
    """Return the schema that the last script leads to."""
    return scripts()[-1]


def check_schema(path: Path) -> None:
    """Raise StorageError unless `path` has exactly the schema of this code."""
    with closing(connect_reader(path)) as connection, storage_errors(path):
        found = _revision(connection, path)
        lacks = _lacks(path, connection) if found == head() else []
    if found == head() and not lacks:
        return
    _must_be_known(path, found)
    without = f" without {', '.join(lacks)}" if lacks else ""
    raise StorageError(
        f"{path} has schema {found or 'none'}{without}, this program needs {head()}; "
        "run `python -m engine migrate`"
    )


def migrate(path: Path) -> str | None:
    """Bring the schema of `path` to HEAD, creating the file; give the path of the backup, if any.

    Raises StorageError, having changed nothing, for a foreign file, a newer schema, or where
    another program migrates at this moment.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _alone(path):
        with closing(connect_writer(path)) as connection, storage_errors(path):
            found = _revision(connection, path)
            if found == head() and not _lacks(path, connection):
                return None
            _must_be_known(path, found)
            if found is None:
                _create(path, connection)
                return None
            kept = _back_up(connection, path, found)
        _upgrade(path)
    return str(kept)


def _must_be_known(path: Path, found: str | None) -> None:
    """Raise StorageError for a schema that no script leads on from."""
    if found is None or found in scripts():
        return
    if found < BASELINE:
        raise StorageError(
            f"{path} has schema {found}, but schemas before {BASELINE} cannot be brought up to "
            "date: name a new folder as PITBOSS_HOME and begin there; what you want of the old "
            "one, export with the version that wrote it"
        )
    raise _newer(path, f"schema {found}")


def _newer(path: Path, what: str) -> StorageError:
    return StorageError(
        f"{path} has {what}, which this version ({head()}) does not know: it was written by "
        "a newer one; start that one or restore the backup it made"
    )


# -- what a file has, and what it lacks ------------------------------------------------------------


def _has(connection: sqlite3.Connection) -> dict[str, ExistingTable]:
    """Return the tables of a file; SQLite's own and Alembic's are left out."""
    columns: dict[str, dict[str, tuple[str, bool, int]]] = {}
    for table, name, sql, not_null, place in connection.execute(
        'SELECT m.name, c.name, c.type, c."notnull", c.pk FROM sqlite_master m '
        "JOIN pragma_table_info(m.name) c WHERE m.type = 'table' ORDER BY m.name, c.cid"
    ):
        columns.setdefault(table, {})[name] = sql, not not_null, place
    indexes: dict[str, set[str]] = {}
    for table, name in connection.execute(
        "SELECT tbl_name, name FROM sqlite_master WHERE type = 'index'"
    ):
        indexes.setdefault(table, set()).add(name)
    return {
        table: ExistingTable(has, frozenset(indexes.get(table, ())))
        for table, has in columns.items()
        if table != "alembic_version" and not table.startswith("sqlite_")
    }


def _differences(
    path: Path, connection: sqlite3.Connection
) -> tuple[list[str], dict[str, Differences]]:
    """Return the tables that a file lacks, and how others differ.

    Raises StorageError for a table or a column that only a newer version can have made. What a
    plug-in made that is not here any more stays as it is.
    """
    has = _has(connection)
    for name in has.keys() - TABLES.keys():
        if PLUGIN_MARK not in name:
            raise _newer(path, f"a table {name}")
    differ = {
        name: found
        for name, table in TABLES.items()
        if name in has and (found := compare(table, has[name])) is not None
    }
    for name, found in differ.items():
        if found.unknown:
            raise _newer(path, f"a column {name}.{found.unknown[0]}")
    return [name for name in TABLES if name not in has], differ


def _lacks(path: Path, connection: sqlite3.Connection) -> list[str]:
    """Return in words what a file lacks. Raises StorageError for a newer one."""
    missing, differ = _differences(path, connection)
    return [
        *(f"table {name}" for name in missing),
        *(f"{table}.{one.name}" for table, found in differ.items() for one in found.missing),
        *(
            f"{table}.{name} as it is now"
            for table, found in differ.items()
            for name in found.changed
        ),
        *(f"index {name}" for found in differ.values() for name in found.indexes),
    ]


def _add(path: Path, connection: sqlite3.Connection) -> None:
    """Add what is declared and not there, inside the caller's transaction.

    A table of the projection that cannot be added to is made anew, empty: its rows are read from
    the journal again. Raises StorageError for any other one.
    """
    missing, differ = _differences(path, connection)
    projected = {table.name for table in PROJECTED.values()}
    for name, found in differ.items():
        if found.addable:
            for column in found.missing:
                connection.execute(f"ALTER TABLE {name} ADD COLUMN {column.words}")
            for index in found.indexes:
                connection.execute(TABLES[name].indexed[index])
        elif name in projected:
            connection.execute(f"DROP TABLE {name}")
            missing.append(name)
        else:
            columns = ", ".join((*found.changed, *(one.name for one in found.missing)))
            raise StorageError(
                f"{path}: the columns {columns} of {name} cannot be added to what is there; this "
                "version lacks the script that changes them: report it, and start the one before"
            )
    for name in missing:
        for statement in (TABLES[name].created, *TABLES[name].indexed.values()):
            connection.execute(statement)


# -- the file --------------------------------------------------------------------------------------


def _revision(connection: sqlite3.Connection, path: Path) -> str | None:
    """Return the schema version in the file, None where it is empty."""
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    if not tables and application in (0, APPLICATION_ID):
        return None
    if application != APPLICATION_ID or "alembic_version" not in tables:
        raise StorageError(
            f"{path} is not a state file of Pitboss; move it away or name another path"
        )
    rows = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    return str(rows[0][0]) if rows else None


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold the lock file beside `path`; it stays, because removing it would race."""
    with path.with_name(path.name + ".migrate.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StorageError(
                f"{path} is being migrated by another program; wait until it is done"
            ) from None
        yield


def _back_up(connection: sqlite3.Connection, path: Path, found: str) -> Path:
    numbers = itertools.count(1)
    names = (f"{path.stem}.was-{found}.{number}.db" for number in numbers)
    target = next(file for name in names if not (file := path.with_name(name)).exists())
    unfinished = target.with_suffix(".tmp")
    unfinished.unlink(missing_ok=True)
    with closing(sqlite3.connect(unfinished)) as copy:
        connection.backup(copy)
    unfinished.replace(target)
    return target


def config(connection: Connection | None = None) -> Config:
    """Return Alembic's configuration, with the connection its `env.py` shall use."""
    from alembic.config import Config  # noqa: PLC0415 see above

    made = Config()
    made.set_main_option("script_location", _option(SCRIPTS))
    made.set_main_option("path_separator", "newline")
    made.set_main_option("version_locations", "\n".join(map(_option, VERSIONS)))
    made.attributes["connection"] = connection
    return made


def _option(path: Path) -> str:
    """Return a path as Alembic's configuration takes it, which fills in what a % begins."""
    return str(path).replace("%", "%%")


@contextmanager
def alchemy(path: Path) -> Iterator[Connection]:
    """Open `path` for SQLAlchemy with real transactions: BEGIN IMMEDIATE covers the DDL too."""
    from sqlalchemy import create_engine, event  # noqa: PLC0415 see above
    from sqlalchemy.exc import DBAPIError  # noqa: PLC0415 see above
    from sqlalchemy.pool import NullPool  # noqa: PLC0415 see above

    engine = create_engine("sqlite://", creator=lambda: connect_writer(path), poolclass=NullPool)
    event.listen(engine, "begin", _begin)
    try:
        with engine.connect() as connection:
            yield connection
    except DBAPIError as error:
        with storage_errors(path):
            raise error.orig or error from error
    finally:
        engine.dispose()


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _plain(connection: Connection) -> sqlite3.Connection:
    """Return the connection of SQLite below SQLAlchemy's, in the same transaction."""
    plain = connection.connection.driver_connection
    assert isinstance(plain, sqlite3.Connection)
    return plain


def _create(path: Path, connection: sqlite3.Connection) -> None:
    """Make every table at once in an empty file: there are no rows that a script could change."""
    with transaction(connection):
        _add(path, connection)
        for statement in (*TRIGGERS, VERSION_TABLE):
            connection.execute(statement)
        connection.execute("INSERT INTO alembic_version VALUES (?)", (head(),))
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")


def _upgrade(path: Path) -> None:
    from alembic import command  # noqa: PLC0415 see above

    with alchemy(path) as connection, connection.begin():
        command.upgrade(config(connection), "head")
        _add(path, _plain(connection))
        connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION_ID}")
