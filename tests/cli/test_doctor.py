from __future__ import annotations

import argparse
import json
import os
import sqlite3
from contextlib import closing
from importlib import metadata
from pathlib import Path
from typing import NoReturn

import pytest

from engine.cli import doctor
from engine.cli.doctor import GB
from engine.config import Config
from engine.domain.catalog import Finding, Grade
from engine.errors import StorageError
from storage import schema
from storage.database import sentence
from storage.tape_blocks import FILE_MAGIC, framed


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(doctor, "WRITE_LOCK_WAIT_S", 0.01)
    monkeypatch.setattr(doctor, "CLOCK_WATCH_S", 0.001)
    return Config(home=tmp_path / "var")


def migrated(config: Config) -> Path:
    config.home.mkdir(mode=0o700)
    schema.migrate(config.state_path)
    return config.state_path


def assert_found(check: Finding, grade: Grade, *words: str) -> None:
    assert check.grade is grade, check
    for word in words:
        assert word in f"{check.said} → {check.fix}"
    assert bool(check.fix) is (grade is not Grade.OK), "what is wrong carries what mends it"


def test_python_is_compared_with_what_the_code_needs() -> None:
    assert_found(doctor.python(), Grade.OK)
    assert_found(doctor.python((3, 10, 9)), Grade.FAIL, "3.10.9", "3.11")


def test_installed_packages_are_the_pinned_ones() -> None:
    check = doctor.packages(doctor.REPOSITORY / "requirements.txt")
    assert_found(check, Grade.OK, "packages, all at their pinned versions")


def test_missing_and_foreign_package_versions_are_named(tmp_path: Path) -> None:
    pins = tmp_path / "requirements.txt"
    pins.write_text(
        f"msgspec=={metadata.version('msgspec')} \\\n    --hash=sha256:00\n"
        "pydantic==0.0.1 \\\n    --hash=sha256:00\n    # via x\n"
        "nobody-wrote-this==1 \\\n    --hash=sha256:00\n"
        "winloop==1 ; sys_platform == 'win32' \\\n    --hash=sha256:00\n"
    )
    check = doctor.packages(pins)
    assert_found(check, Grade.FAIL, "nobody-wrote-this is missing, not ==1", "make venv")
    assert "pydantic is" in check.said
    assert "msgspec" not in check.said
    assert "winloop" not in check.said


@pytest.mark.parametrize(
    ("free", "grade"),
    [(GB, Grade.OK), (GB - 1, Grade.WARN), (GB // 4 - 1, Grade.FAIL)],
)
def test_memory_is_judged_by_what_is_available(free: int, grade: Grade) -> None:
    assert_found(doctor.memory(free), grade)


def test_disk_is_judged_where_the_state_will_lie(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path] = []

    def usage(place: Path) -> object:
        asked.append(place)
        return argparse.Namespace(free=GB // 2)

    monkeypatch.setattr(doctor.shutil, "disk_usage", usage)
    assert_found(doctor.disk(tmp_path / "not" / "yet"), Grade.FAIL, "500.0 MB free")
    assert asked == [tmp_path]


def test_clock_before_the_installation_fails() -> None:
    assert_found(doctor.past(doctor.REPOSITORY), Grade.OK, "no venue was asked")
    early = doctor.past(doctor.REPOSITORY, lambda: 0)
    assert_found(early, Grade.FAIL, "the clock shows 1970-01-01")


@pytest.mark.parametrize(("jump_ns", "grade"), [(0, Grade.OK), (-25_000_000, Grade.WARN)])
def test_clock_that_is_being_set_is_seen(jump_ns: int, grade: Grade) -> None:
    wall, monotonic = iter([10**18, 10**18 + 10**9 + jump_ns]), iter([5, 5 + 10**9])
    check = doctor.drift(lambda: next(wall), lambda: next(monotonic), lambda _: None)
    assert_found(check, grade, f"{jump_ns / 1e6:+.3f} ms")


def test_home_is_there_writable_and_its_owners_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "var"
    assert_found(doctor.home(folder), Grade.WARN, "does not exist yet", "migrate")
    folder.mkdir(mode=0o700)
    assert_found(doctor.home(folder), Grade.OK)
    folder.chmod(0o755)
    assert_found(doctor.home(folder), Grade.WARN, "mode 755", "chmod 700")
    monkeypatch.setattr(doctor.os, "access", lambda *_: False)
    assert_found(doctor.home(folder), Grade.FAIL, "cannot be written")


def test_env_file_open_to_others_is_seen(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    assert_found(doctor.env_file(file), Grade.OK)
    file.touch(0o644)
    assert_found(doctor.env_file(file), Grade.WARN, "chmod 600")
    file.chmod(0o600)
    assert_found(doctor.env_file(file), Grade.OK)


def test_kill_latch_is_seen(config: Config) -> None:
    assert_found(doctor.latch(config.kill_path), Grade.OK)
    config.home.mkdir()
    config.kill_path.touch()
    assert_found(doctor.latch(config.kill_path), Grade.WARN, "KILL is set")


def test_schema_is_compared_with_the_codes(config: Config) -> None:
    assert_found(doctor.schema(config.state_path), Grade.WARN, "does not exist yet", "migrate")
    path = migrated(config)
    assert_found(doctor.schema(path), Grade.OK, schema.head())
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    assert_found(doctor.schema(path), Grade.FAIL, "9999")


def test_damaged_database_is_found(config: Config) -> None:
    path = migrated(config)
    assert_found(doctor.integrity(path), Grade.OK, "whole")
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 8192)
    assert_found(doctor.integrity(path), Grade.FAIL, "backup")


def test_file_that_is_no_database_is_found(tmp_path: Path) -> None:
    path = tmp_path / "pitboss.db"
    path.write_bytes(b"not a database at all" * 100)
    assert_found(doctor.integrity(path), Grade.FAIL, "not a SQLite database")
    assert_found(doctor.lock(path), Grade.FAIL, "not a SQLite database")


def test_file_that_cannot_be_opened_is_not_called_damaged(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> NoReturn:
        refused = sqlite3.OperationalError("unable to open database file")
        refused.sqlite_errorcode = sqlite3.SQLITE_CANTOPEN
        raise StorageError(sentence(path, refused)) from refused

    monkeypatch.setattr("engine.cli.doctor.reading", refuse)
    found = doctor.integrity(migrated(config))
    assert found.grade is Grade.FAIL
    assert found.fix.startswith("check that its folder exists and is writable")


def test_write_lock_held_by_another_is_found(config: Config) -> None:
    path = migrated(config)
    assert_found(doctor.lock(path), Grade.OK)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert_found(doctor.lock(path), Grade.WARN, "holds the write lock")
    assert_found(doctor.lock(path), Grade.OK)


def test_doctor_changes_nothing(config: Config) -> None:
    path = migrated(config)
    before = {file: file.read_bytes() for file in config.home.iterdir()}
    list(doctor.examine(config))
    assert {file: file.read_bytes() for file in config.home.iterdir()} == before
    assert path in before


def test_warnings_alone_give_0_and_a_failure_gives_1(
    config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    args = argparse.Namespace(json=False)
    assert doctor.run(args, config) == 0
    assert "0 failed, 3 warned" in capsys.readouterr().out
    migrated(config).write_bytes(b"")
    assert doctor.run(args, config) == 1
    output = capsys.readouterr().out
    assert "fail  schema" in output
    assert "→ run `python -m engine migrate`" in output


def test_json_is_one_object_with_every_check(
    config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    migrated(config)
    assert doctor.run(argparse.Namespace(json=True), config) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["failed"] == 0
    assert {"name", "grade", "said", "fix", "asked"} == set(report["checks"][0])
    assert [check["grade"] for check in report["checks"]].count("ok") == len(report["checks"]) - 1
    assert [one["name"] for one in report["checks"] if one["grade"] == "warn"] == ["reach"]


def test_what_history_takes_is_said_and_what_is_beyond_its_part_is_warned_of(
    tmp_path: Path,
) -> None:
    config = Config(home=tmp_path, disk_budget=100_000_000)
    config.tape_folder.mkdir()
    segment = config.tape_folder / f"{1:020d}.tape"
    day = 86_400 * 10**9
    segment.write_bytes(FILE_MAGIC + framed(b"", 1, 1, 10 * day, 10 * day))
    os.truncate(segment, 30_000_000)
    found = {one.name: one for one in doctor.history(config, 12 * day)}
    assert list(found) == [
        "journal", "state", "decisions", "tape", "runs", "backups", "ticks",
    ]  # fmt: skip
    assert_found(found["journal"], Grade.OK, "0.0 MB of 15.0 MB")
    assert_found(
        found["tape"], Grade.WARN, "30.0 MB of 15.0 MB, complete since 1970-01-11T00:00; 15.0 MB "
            "per day, pruning in 0 days", "start the worker; or raise PITBOSS_DISK_BUDGET",
    )  # fmt: skip
