"""The state file's schema: brought up to date before anything starts, checked by every program.

`migrate` is what `python -m engine migrate` does: alone (a lock file), with a backup before a
change, whole or not at all. `check_schema` is what the programs do: refuse a schema that is not
exactly theirs.
"""

from __future__ import annotations

import fcntl
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import StorageError
from storage.database import connect_reader, connect_writer, storage_errors

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy import Connection

# Alembic and SQLAlchemy are imported where they are used: a program that only checks its schema
# starts a second earlier without them.

BASELINE = "0021"
"""The first schema version that can be brought up to date. Before version 0.2 of the product none
has to be: until then a changed table gives this the next number."""

HEAD = BASELINE
"""The schema version this code works with; a test compares it with the scripts."""

APPLICATION_ID = 0x50425354
"""`PBST`: what SQLite's header says of our state files."""

SCRIPTS = Path(__file__).parent / "migrations"


def check_schema(path: Path) -> None:
    """Raise StorageError unless `path` has exactly the schema of this code."""
    with closing(connect_reader(path)) as connection, storage_errors(path):
        found = _revision(connection, path)
    if found == HEAD:
        return
    _must_be_known(path, found)
    raise StorageError(
        f"{path} has schema {found or 'none'}, this program needs {HEAD}; "
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
            if found == HEAD:
                return None
            _must_be_known(path, found)
            kept = _back_up(connection, path, found) if found is not None else None
        _upgrade(path)
    return str(kept) if kept is not None else None


def _must_be_known(path: Path, found: str | None) -> None:
    """Raise StorageError for a schema that no script leads on from."""
    if found is None or found in _known():
        return
    if found < BASELINE:
        raise StorageError(
            f"{path} has schema {found}, but schemas before {BASELINE} cannot be brought up to "
            "date: name a new folder as PITBOSS_HOME and begin there; what you want of the old "
            "one, export with the version that wrote it"
        )
    raise StorageError(
        f"{path} has schema {found}, which this version ({HEAD}) does not know: it was written by "
        "a newer one; start that one or restore the backup it made"
    )


def _known() -> set[str]:
    from alembic.script import ScriptDirectory  # noqa: PLC0415 see above

    scripts = ScriptDirectory.from_config(config())
    return {script.revision for script in scripts.walk_revisions()}


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
    target = path.with_name(f"{path.stem}.before-{HEAD}-was-{found}.db")
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
    made.set_main_option("script_location", str(SCRIPTS))
    made.attributes["connection"] = connection
    return made


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


def _upgrade(path: Path) -> None:
    from alembic import command  # noqa: PLC0415 see above

    with alchemy(path) as connection, connection.begin():
        command.upgrade(config(connection), "head")
        connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION_ID}")
