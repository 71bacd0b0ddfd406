"""Backups: whole or not there, consistent while others write, only the newest kept."""

from __future__ import annotations

import resource
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from engine.errors import StorageError
from storage import backup
from storage.backup import back_up, backup_of, backups
from storage.database import connect_writer, transaction
from storage.journal import take_lease
from storage.retention import keep_bytes
from tests.storage.kept import differing

NAME = "2026-03-01T02-00-00Z"


def made(path: Path, rows: int = 1) -> Path:
    with closing(connect_writer(path)) as connection:
        connection.execute("CREATE TABLE t (a INTEGER, b INTEGER, filler BLOB)")
        with transaction(connection):
            connection.executemany(
                "INSERT INTO t VALUES (?, ?, zeroblob(500))", [(n, -n) for n in range(rows)]
            )
    return path


def quiet(done: int, total: int, what: str) -> None:
    assert 0 <= done <= total, what


def test_a_backup_holds_every_database_with_its_checksum(tmp_path: Path) -> None:
    files = {"a.db": made(tmp_path / "a.db", 10), "b.db": made(tmp_path / "b.db", 20)}
    folder = tmp_path / "backups"
    manifest = back_up(files, folder, name=NAME, on_progress=quiet)
    [kept] = backups(folder)
    assert sorted(path.name for path in kept.iterdir()) == ["a.db", "b.db", "manifest.json"]
    assert manifest["made"] == NAME
    assert differing(kept) == []
    with closing(sqlite3.connect(kept / "b.db")) as connection:
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (20,)


def test_the_journal_of_a_backup_says_so_until_somebody_works_with_it(tmp_path: Path) -> None:
    live, copied = tmp_path / "journal.db", tmp_path / "k" / NAME / "journal.db"
    take_lease(live, "e1")
    back_up({"journal.db": live}, tmp_path / "k", name=NAME, on_progress=quiet)
    assert (backup_of(live), backup_of(copied)) == ("", NAME)
    assert differing(copied.parent) == []
    assert take_lease(copied, "e1") == 2
    assert backup_of(copied) == ""
    assert backup_of(tmp_path / "none.db") == ""


def test_a_database_that_is_written_all_the_time_is_copied_as_of_one_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows come in pairs whose sum is nought; a copy of half a transaction would show it."""
    monkeypatch.setattr(backup, "PAGES_AT_ONCE", 20)
    path = made(tmp_path / "a.db", 3_000)
    ended, written, wrote = threading.Event(), threading.Event(), []

    def until_more_is_written(done: int, total: int, what: str) -> None:
        quiet(done, total, what)
        written.clear()
        assert written.wait(60), "nobody wrote meanwhile: the test proves nothing"

    def write() -> None:
        with closing(connect_writer(path, synchronous="OFF")) as connection:
            while not ended.is_set():
                with transaction(connection):
                    connection.execute("INSERT INTO t VALUES (7, 0, zeroblob(500))")
                    connection.execute("INSERT INTO t VALUES (0, -7, zeroblob(500))")
                wrote.append(1)
                written.set()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert written.wait(60)
        back_up({"a.db": path}, tmp_path / "k", name=NAME, on_progress=until_more_is_written)
    finally:
        ended.set()
        writer.join()
    with closing(sqlite3.connect(tmp_path / "k" / NAME / "a.db")) as connection:
        total, rows = connection.execute("SELECT sum(a) + sum(b), count(*) FROM t").fetchone()
    assert total == 0
    assert 3_000 < rows < 3_000 + 2 * len(wrote) + 1


def test_an_interrupted_backup_leaves_nothing(tmp_path: Path) -> None:
    def stop(done: int, total: int, what: str) -> None:
        del done, total, what
        raise KeyboardInterrupt

    folder = tmp_path / "k"
    with pytest.raises(KeyboardInterrupt):
        back_up({"a.db": made(tmp_path / "a.db", 100)}, folder, name=NAME, on_progress=stop)
    assert list(folder.iterdir()) == []


def test_what_a_killed_backup_left_is_swept_by_the_next(tmp_path: Path) -> None:
    left = tmp_path / "k" / f"{backup.UNFINISHED}2026-01-01T00-00-00Z"
    left.mkdir(parents=True)
    (left / "a.db").touch()
    back_up({"a.db": made(tmp_path / "a.db")}, tmp_path / "k", name=NAME, on_progress=quiet)
    assert [path.name for path in (tmp_path / "k").iterdir()] == [NAME]


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    names = [f"2026-03-0{day}T02-00-00Z" for day in range(1, 6)]
    for name in [*names, "my-own-folder"]:
        (tmp_path / name).mkdir()
    gone = keep_bytes(backups(tmp_path), 10**9, least=1, most=2)
    assert [path.name for path in gone] == names[:3]
    assert [path.name for path in backups(tmp_path)] == names[3:]
    assert (tmp_path / "my-own-folder").is_dir()


def test_a_damaged_database_is_said_and_never_kept(tmp_path: Path) -> None:
    path = made(tmp_path / "a.db", 500)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with path.open("r+b") as file:
        file.seek(5 * 4096)
        file.write(b"\xff" * 4096)
    with pytest.raises(StorageError, match="damaged"):
        back_up({"a.db": path}, tmp_path / "k", name=NAME, on_progress=quiet)
    assert backups(tmp_path / "k") == []


def test_a_disk_that_fills_while_it_is_copied_is_named_and_nothing_is_left(tmp_path: Path) -> None:
    source = made(tmp_path / "a.db", 1_000)
    folder = tmp_path / "backups"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(StorageError) as refused:
            back_up({"a.db": source}, folder, name=NAME, on_progress=quiet)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(refused.value).startswith(f"{folder} ")
    assert list(folder.iterdir()) == []
