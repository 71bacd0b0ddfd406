from __future__ import annotations

import fcntl
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from alembic.script import ScriptDirectory

from engine.errors import StorageError
from engine.plugins import installed
from storage import columns as columns_of
from storage import schema
from storage.columns import compare
from storage.schema import check_schema, config, migrate
from storage.tables import TABLES


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "var" / "pitboss.db"


def execute(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


@pytest.fixture
def scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder whose scripts are this version's, too."""
    folder = tmp_path / "scripts"
    folder.mkdir()
    monkeypatch.setattr(schema, "VERSIONS", [*schema.VERSIONS, folder])
    return folder


def declare_more(patch: pytest.MonkeyPatch, name: str, **columns: Any) -> None:
    """Have this version declare a table with these columns."""
    patch.setitem(TABLES, name, columns_of.declare(name, ("engine_id", "key"), **columns))


def shape(path: Path) -> dict[str, Any]:
    with closing(sqlite3.connect(path)) as connection:
        return schema._has(connection)


def test_the_scripts_are_one_line_that_ends_at_head() -> None:
    assert ScriptDirectory.from_config(config()).get_heads() == [schema.head()], (
        "two scripts follow the same one: give the later one the next number and its "
        "`down_revision` the number before"
    )
    assert len(schema.scripts()) == len(set(schema.scripts()))


def test_a_new_file_has_exactly_what_is_declared(path: Path) -> None:
    migrate(path)
    has = shape(path)
    assert has.keys() == TABLES.keys()
    for name, table in TABLES.items():
        assert compare(table, has[name]) is None, name


def made(path: Path) -> list[dict[str, tuple[object, ...]]]:
    """Return what a file has, by name: columns, foreign keys, indexes, triggers, versions."""
    with closing(sqlite3.connect(path)) as connection:
        asked = (
            "SELECT m.name || '.' || c.name, c.type, c.\"notnull\", c.pk, c.hidden "
            "FROM sqlite_master m JOIN pragma_table_xinfo(m.name) c WHERE m.type = 'table'",
            'SELECT m.name || \'.\' || f."from", f."table", f."to", f.on_update, f.on_delete '
            "FROM sqlite_master m JOIN pragma_foreign_key_list(m.name) f WHERE m.type = 'table'",
            "SELECT m.name || '.' || i.seqno, i.name, i.\"desc\", i.coll, i.key "
            "FROM sqlite_master m JOIN pragma_index_xinfo(m.name) i WHERE m.sql IS NOT NULL",
            "SELECT name, sql FROM sqlite_master WHERE type NOT IN ('table', 'index')",
            "SELECT version_num FROM alembic_version",
            "SELECT 'application', application_id FROM pragma_application_id",
        )
        return [{row[0]: row[1:] for row in connection.execute(sql)} for sql in asked]


def test_a_new_file_is_what_the_scripts_would_have_made(path: Path, tmp_path: Path) -> None:
    """Only the order of columns, and what a column says by itself, may differ."""
    migrate(path)
    scripted = tmp_path / "scripted.db"
    schema._upgrade(scripted)
    assert made(path) == made(scripted)
    assert len(made(path)[3]) == 2, "the audit's triggers"
    with closing(sqlite3.connect(scripted)) as connection:
        rows = {name: connection.execute(f"SELECT * FROM {name}").fetchall() for name in TABLES}
    assert not any(rows.values()), "a script leaves rows that a new file lacks"


def test_a_new_file_needs_no_alembic(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes a second to import, and `make run` waits for the first file."""
    for name in ("alembic", "sqlalchemy"):
        monkeypatch.setitem(sys.modules, name, None)  # whoever imports it fails
    migrate(path)
    check_schema(path)


def test_only_a_plugins_table_has_the_mark_of_one() -> None:
    marked = {
        name.partition(schema.PLUGIN_MARK)[0] for name in TABLES if schema.PLUGIN_MARK in name
    }
    assert marked <= {plugin.name for plugin in installed()}


NO_ONES_MONEY = {"instruments", "listings"}
"""What an instrument pays is the same for every account."""


def test_every_table_names_its_engine_and_money_its_mode() -> None:
    for name, table in TABLES.items():
        columns = {column.name for column in table.columns}
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


def test_a_table_that_is_added_is_in_an_old_home(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate(path)
    declare_more(monkeypatch, "later", size=int)
    with pytest.raises(StorageError, match=r"has schema \d+ without table later, .* migrate`"):
        check_schema(path)
    assert migrate(path) is not None
    check_schema(path)
    execute(path, "INSERT INTO later VALUES ('k', 'e1', 5)")


def test_a_column_that_is_added_says_its_default_in_old_rows(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare_more(monkeypatch, "later", size=int)
    migrate(path)
    execute(path, "INSERT INTO later VALUES ('k', 'e1', 5)")
    more = {"owner": columns_of.Field(str, "it's"), "due_ns": int | None}
    declare_more(monkeypatch, "later", size=int, **more)
    with pytest.raises(StorageError, match=r"without later.owner, later.due_ns"):
        check_schema(path)
    backup = migrate(path)
    assert backup is not None
    check_schema(path)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT * FROM later").fetchall() == [
            ("k", "e1", 5, "it's", None)
        ]
    with closing(sqlite3.connect(backup)) as connection:
        assert connection.execute("SELECT * FROM later").fetchall() == [("k", "e1", 5)]


@pytest.mark.parametrize("columns", [{"size": float}, {"size": int, "more": int}])
def test_a_change_that_needs_a_script_and_has_none_is_refused_and_leaves_no_trace(
    path: Path, monkeypatch: pytest.MonkeyPatch, columns: dict[str, Any]
) -> None:
    declare_more(monkeypatch, "later", size=int)
    migrate(path)
    before = shape(path)
    declare_more(monkeypatch, "even_later", size=int)
    declare_more(monkeypatch, "later", **columns)
    with pytest.raises(StorageError, match="this version lacks the script"):
        migrate(path)
    assert shape(path) == before


def test_every_state_a_file_may_be_in_leads_to_the_same_tables(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Added step by step, a file has what a new one has; only the order of columns may differ."""
    migrate(path)
    declare_more(monkeypatch, "later", size=int)
    migrate(path)
    declare_more(monkeypatch, "later", note=columns_of.Field(str, ""), size=int)
    migrate(path)
    fresh = tmp_path / "fresh.db"
    migrate(fresh)
    assert shape(path) == shape(fresh)


def test_a_script_runs_first_and_what_it_leaves_is_added_to(
    path: Path, scripts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare_more(monkeypatch, "later", size=int)
    migrate(path)
    execute(path, "INSERT INTO later VALUES ('k', 'e1', 5)")
    before = schema.head()
    scripts.joinpath("9999_shares.py").write_text(
        "from alembic import op\nimport sqlalchemy as sa\n"
        f"revision = '9999'\ndown_revision = {before!r}\n"
        "def upgrade():\n"
        "    with op.batch_alter_table('later') as batch:\n"
        "        batch.alter_column('size', new_column_name='shares', type_=sa.Float())\n"
    )
    declare_more(monkeypatch, "later", shares=float, note=columns_of.Field(str, ""))
    with pytest.raises(StorageError, match=r"has schema \d+, this program needs 9999"):
        check_schema(path)
    assert migrate(path) is not None
    check_schema(path)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT * FROM later").fetchall() == [("k", "e1", 5.0, "")]


def test_each_migration_keeps_a_backup_of_its_own(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate(path)
    declare_more(monkeypatch, "one", size=int)
    first = migrate(path)
    declare_more(monkeypatch, "two", size=int)
    second = migrate(path)
    assert first is not None
    assert second is not None
    assert "one" not in shape(Path(first))
    assert "one" in shape(Path(second))


def test_a_projected_table_that_cannot_be_added_to_is_made_anew(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate(path)
    execute(path, "INSERT INTO early_news VALUES ('paper', 'f1', 'e1', 'mined', 1)")
    news = TABLES["early_news"]
    monkeypatch.setitem(
        TABLES,
        "early_news",
        columns_of.declare("early_news", news.key, state=str, seq=int, more=int),
    )
    migrate(path)
    check_schema(path)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT * FROM early_news").fetchall() == []


def test_a_failing_script_leaves_no_trace(
    path: Path, scripts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate(path)
    before, bad = shape(path), scripts / "9999_bad.py"
    bad.write_text(
        f"from alembic import op\nrevision = '9999'\ndown_revision = {schema.head()!r}\n"
        "def upgrade():\n"
        "    op.execute('CREATE TABLE half (x)')\n"
        "    op.execute('INSERT INTO nowhere VALUES (1)')\n"
    )
    with pytest.raises(StorageError, match="no such table: nowhere"):
        migrate(path)
    assert shape(path) == before
    bad.unlink()
    check_schema(path)


@pytest.mark.parametrize(
    ("newer", "what"),
    [
        ("CREATE TABLE newer (x)", "a table newer"),
        ("ALTER TABLE accounts ADD COLUMN desk TEXT DEFAULT ''", "a column accounts.desk"),
    ],
)
def test_what_a_newer_version_added_is_refused(path: Path, newer: str, what: str) -> None:
    migrate(path)
    execute(path, newer)
    before = path.read_bytes()
    for ask in (migrate, check_schema):
        with pytest.raises(StorageError, match=f"has {what}, which this version .* a newer one"):
            ask(path)
    assert path.read_bytes() == before


def test_what_a_plugin_made_that_is_gone_stays_as_it_is(path: Path) -> None:
    migrate(path)
    execute(path, "CREATE TABLE marbles__counts (x)", "INSERT INTO marbles__counts VALUES (1)")
    assert migrate(path) is None
    check_schema(path)


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
