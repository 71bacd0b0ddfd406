from __future__ import annotations

import fcntl
import hashlib
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.schema import CreateIndex, CreateTable

from engine.errors import StorageError
from storage import schema
from storage.schema import alchemy, check_schema, config, migrate
from storage.tables import METADATA


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "var" / "pitboss.db"


def execute(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def with_scripts_of(folder: Path) -> Callable[..., Config]:
    plain = schema.config

    def config(connection: Connection | None = None) -> Config:
        made = plain(connection)
        made.set_main_option("path_separator", "space")
        made.set_main_option("version_locations", f"{schema.SCRIPTS / 'versions'} {folder}")
        return made

    return config


def test_the_scripts_end_at_head() -> None:
    assert ScriptDirectory.from_config(config()).get_heads() == [schema.HEAD]


def test_models_and_migrations_do_not_differ(path: Path) -> None:
    migrate(path)
    with alchemy(path) as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "render_as_batch": True}
        )
        assert compare_metadata(context, METADATA) == []
        command.check(config(connection))


NO_ONES_MONEY = {"instruments", "listings"}
"""What an instrument pays is the same for every account."""


def test_every_table_names_its_engine_and_money_its_mode() -> None:
    for name, table in METADATA.tables.items():
        columns = set(table.columns.keys())
        assert "engine_id" in columns, name
        if any(column.endswith("_micro") for column in columns) and name not in NO_ONES_MONEY:
            assert {"mode", "account"} <= columns, name


def test_migrating_twice_changes_nothing(path: Path) -> None:
    assert migrate(path) is None
    before = path.read_bytes()
    assert migrate(path) is None
    assert path.read_bytes() == before
    check_schema(path)


def test_an_unmigrated_file_is_refused(path: Path) -> None:
    with pytest.raises(StorageError, match=r"does not exist; run `python -m engine migrate`"):
        check_schema(path)
    path.parent.mkdir()
    path.touch()
    with pytest.raises(StorageError, match=r"has schema none, .*run `python -m engine migrate`"):
        check_schema(path)


def test_an_older_schema_is_backed_up_and_brought_up(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate(path)
    execute(path, "INSERT INTO accounts VALUES ('e1', 'paper', 'paper', 'v', 'USD')")
    newer = "9999_test"
    script = path.parent / "9999_test.py"
    script.write_text(
        "from alembic import op\nimport sqlalchemy as sa\n"
        f"revision = {newer!r}\ndown_revision = {schema.HEAD!r}\n"
        "def upgrade():\n"
        "    with op.batch_alter_table('accounts') as batch:\n"
        "        batch.add_column(sa.Column('note', sa.String(), nullable=True))\n"
    )
    with_more = with_scripts_of(script.parent)
    monkeypatch.setattr(schema, "config", with_more)
    monkeypatch.setattr(schema, "HEAD", newer)
    with pytest.raises(StorageError, match=r"has schema \d+, this program needs 9999_test"):
        check_schema(path)
    backup = migrate(path)
    assert backup is not None
    check_schema(path)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT * FROM accounts").fetchall() == [
            ("e1", "paper", "paper", "v", "USD", None)
        ]
    with closing(sqlite3.connect(backup)) as connection:
        assert len(connection.execute("SELECT * FROM accounts").fetchone()) == 5


def test_a_failing_migration_leaves_no_trace(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    migrate(path)
    script = path.parent / "9999_bad.py"
    script.write_text(
        f"from alembic import op\nrevision = '9999_bad'\ndown_revision = {schema.HEAD!r}\n"
        "def upgrade():\n"
        "    op.execute('CREATE TABLE half (x)')\n"
        "    op.execute('INSERT INTO nowhere VALUES (1)')\n"
    )
    with_more = with_scripts_of(script.parent)
    with monkeypatch.context() as patch:
        patch.setattr(schema, "config", with_more)
        patch.setattr(schema, "HEAD", "9999_bad")
        with pytest.raises(StorageError, match="no such table: nowhere"):
            migrate(path)
    check_schema(path)
    with closing(sqlite3.connect(path)) as connection:
        names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    assert "half" not in names


def test_a_newer_schema_is_refused(path: Path) -> None:
    migrate(path)
    execute(path, "UPDATE alembic_version SET version_num = '0999'")
    for ask in (migrate, check_schema):
        with pytest.raises(StorageError, match=r"schema 0999, which this version .* a newer one"):
            ask(path)


def test_a_schema_from_before_the_baseline_is_refused_and_left_as_it_is(path: Path) -> None:
    migrate(path)
    execute(path, "UPDATE alembic_version SET version_num = '0009'")
    before = path.read_bytes()
    for ask in (migrate, check_schema):
        with pytest.raises(StorageError, match=r"has schema 0009, .* a new folder as PITBOSS_HOME"):
            ask(path)
    assert path.read_bytes() == before
    assert not list(path.parent.glob("*.before-*"))


TABLES = {"0021": "bf807a2579767254"}
"""A digest of all tables by the schema version that has them."""


def test_a_changed_table_has_a_new_schema_version() -> None:
    """Before 0.2 `BASELINE` takes the next number; from 0.2 on a migration does."""
    made = [CreateTable(table) for table in METADATA.sorted_tables]
    for table in METADATA.sorted_tables:
        made += [CreateIndex(index) for index in sorted(table.indexes, key=lambda one: one.name)]
    ddl = "".join(map(str, made))
    digest = hashlib.blake2b(ddl.encode(), digest_size=8).hexdigest()
    assert {schema.HEAD: digest} == TABLES


def test_a_foreign_file_is_refused(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.db"
    execute(foreign, "CREATE TABLE alembic_version (version_num)", "CREATE TABLE other (x)")
    for ask in (migrate, check_schema):
        with pytest.raises(StorageError, match="is not a state file of Pitboss"):
            ask(foreign)


def test_only_one_program_migrates(path: Path) -> None:
    migrate(path)
    with path.with_name(path.name + ".migrate.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(StorageError, match="is being migrated by another program"):
            migrate(path)


def test_audit_rows_are_never_changed_or_deleted(path: Path) -> None:
    migrate(path)
    execute(path, "INSERT INTO audit VALUES (1, 'e1', 5, 'ann', 'settings', '{}')")
    for statement in ("UPDATE audit SET who = 'bob'", "DELETE FROM audit"):
        with pytest.raises(sqlite3.IntegrityError, match="insert-only"):
            execute(path, statement)
