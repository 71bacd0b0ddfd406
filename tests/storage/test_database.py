from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from engine.errors import StorageError
from storage.database import (
    connect_reader,
    connect_writer,
    data_version,
    reading,
    storage_errors,
    transaction,
)

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "a.db"
    with closing(connect_writer(path)) as connection:
        connection.execute("CREATE TABLE t (x INTEGER PRIMARY KEY)")
    return path


def test_a_writer_keeps_a_log_and_waits_for_the_disk(path: Path) -> None:
    with closing(connect_writer(path)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        assert connection.execute("PRAGMA synchronous").fetchone()[0] == 2
    with pytest.raises(ValueError, match="is not FULL"):
        connect_writer(path, synchronous="SOMETIMES")


def test_a_reader_cannot_write(path: Path) -> None:
    with (
        closing(connect_reader(path)) as connection,
        pytest.raises(StorageError, match="cannot be written; check the owner"),
        storage_errors(path),
    ):
        connection.execute("INSERT INTO t VALUES (1)")


def test_a_reader_does_not_create(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="does not exist"):
        connect_reader(tmp_path / "none.db")
    assert not (tmp_path / "none.db").exists()


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="check that its folder exists"):
        connect_writer(tmp_path / "none" / "a.db")


def test_a_reader_sees_one_moment(path: Path) -> None:
    with closing(connect_writer(path)) as writer, reading(path) as reader:
        assert reader.execute("SELECT count(*) FROM t").fetchone()[0] == 0
        writer.execute("INSERT INTO t VALUES (1)")
        assert reader.execute("SELECT count(*) FROM t").fetchone()[0] == 0


def insert(path: Path, connection: sqlite3.Connection, *values: int) -> None:
    with storage_errors(path), transaction(connection):
        for value in values:
            connection.execute("INSERT INTO t VALUES (?)", (value,))
        if 13 in values:
            raise KeyError


def test_a_failed_transaction_leaves_no_trace(path: Path) -> None:
    with closing(connect_writer(path)) as connection:
        with pytest.raises(KeyError):
            insert(path, connection, 1, 13)
        with pytest.raises(sqlite3.IntegrityError):
            insert(path, connection, 1, 1)
        assert not connection.in_transaction
        assert connection.execute("SELECT count(*) FROM t").fetchone()[0] == 0


def test_data_version_sees_only_the_commits_of_others(path: Path) -> None:
    with closing(connect_writer(path)) as ours, closing(connect_writer(path)) as other:
        before = data_version(ours)
        ours.execute("INSERT INTO t VALUES (1)")
        assert data_version(ours) == before
        other.execute("INSERT INTO t VALUES (2)")
        assert data_version(ours) != before


def test_a_strange_schema_is_told(path: Path) -> None:
    with (
        closing(connect_writer(path)) as connection,
        pytest.raises(StorageError, match="does not look as expected"),
        storage_errors(path),
    ):
        connection.execute("SELECT * FROM nothing")


def test_a_full_disk_is_told(path: Path) -> None:
    with closing(connect_writer(path)) as connection:
        connection.execute("PRAGMA max_page_count = 1")
        with pytest.raises(StorageError, match="disk is full"), storage_errors(path):
            connection.execute("CREATE TABLE big AS SELECT randomblob(100000)")


def test_a_lock_is_told(path: Path) -> None:
    with (
        closing(connect_writer(path)) as one,
        closing(connect_writer(path, busy_ms=10)) as two,
        transaction(one),
        pytest.raises(StorageError, match="is locked by another process"),
        storage_errors(path),
        transaction(two),
    ):
        pass


FIRST_READS = """
import enum, sys, threading
import msgspec
from storage.database import Table
sys.setswitchinterval(1e-6)
for _ in range(100):
    letter = enum.Enum("Letter", {"A": "a"})
    fields = [*((f"f{number}", str | None) for number in range(20)), ("letter", letter)]
    table = Table(msgspec.defstruct("Row", fields), "rows")
    both = threading.Barrier(2)
    def read():
        both.wait()
        assert table.read([*("x" * 20), "a"]).letter is letter.A
    other = threading.Thread(target=read)
    other.start()
    read()
    other.join()
print("read")
"""


FIRST_CONVERSIONS = """
import enum, sys, threading
import msgspec
from storage.database import prepare_kinds
sys.setswitchinterval(1e-6)
for _ in range(100):
    letter = enum.Enum("Letter", {"A": "a"})
    fields = [*((f"f{number}", str | None) for number in range(20)), ("letter", letter)]
    kind = msgspec.defstruct("Row", fields)
    prepare_kinds()
    both = threading.Barrier(2)
    def read():
        both.wait()
        row = {f"f{number}": "x" for number in range(20)} | {"letter": "a"}
        assert msgspec.convert([row], list[kind])[0].letter is letter.A
    other = threading.Thread(target=read)
    other.start()
    read()
    other.join()
print("read")
"""


@pytest.mark.parametrize("script", [FIRST_READS, FIRST_CONVERSIONS])
def test_two_threads_may_read_the_first_rows_of_a_kind_at_once(script: str) -> None:
    """Without what a table prepares msgspec ends the process (SIGSEGV) within a few kinds."""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "read\n"), done.stderr
