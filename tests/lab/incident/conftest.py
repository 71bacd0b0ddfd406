"""One recording played to the live loop: a past to live again, and copies of it to harm."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.config import Config
from storage.journal_writer import names_sum, record_sum
from tests.lab.conftest import QUOTING, write_recording
from tests.live.programs import LONG_S, Programs
from tests.ports import free_port

PARAMETERS = [word for key, value in QUOTING.items() for word in ("--param", f"{key}={value}")]


@pytest.fixture(scope="session")
def played(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which a recording of two markets was traded."""
    tape = write_recording(tmp_path_factory.mktemp("recording") / "day.jsonl", frames=80)
    home = tmp_path_factory.mktemp("played")
    programs = Programs(home, free_port())
    try:
        words = ("run", "--feed", f"tape:{tape}", "--speed", "max", "--json", *PARAMETERS)
        assert programs.start(*words).wait(LONG_S) == 0
    finally:
        programs.end()
    return home


@pytest.fixture
def past(played: Path, tmp_path: Path) -> Config:
    """A copy of that home, to do with as one likes."""
    home = tmp_path / "home"
    shutil.copytree(played, home)
    return Config(home=home)


class Journal:
    """A journal somebody changes behind the engine's back."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def rows(self, sql: str, *values: object) -> list[tuple[object, ...]]:
        connection = sqlite3.connect(self.path)
        try:
            found = connection.execute(sql, values).fetchall()
            connection.commit()
        finally:
            connection.close()
        return found

    def of(self, kind: str) -> int:
        """Return the middle record of a kind."""
        found = self.rows("SELECT seq FROM records WHERE kind = ? ORDER BY seq", kind)
        return int(str(found[len(found) // 2][0]))

    def at_ns(self, seq: int) -> int:
        return int(str(self.rows("SELECT at_ns FROM records WHERE seq = ?", seq)[0][0]))

    def change(self, seq: int, change: Callable[[bytes], bytes], *, proven: bool = True) -> None:
        """Change a record's bytes; `proven` True = with the checksum that fits them."""
        ((at_ns, account, kind, body, tape, crc),) = self.rows(
            "SELECT at_ns, account, kind, body, tape, crc FROM records WHERE seq = ?", seq
        )
        made = change(bytes(body))  # type: ignore[call-overload]
        if proven:
            names = names_sum(str(account), str(kind))
            crc = record_sum(names, seq, int(str(at_ns)), int(str(tape)), made)
        self.rows("UPDATE records SET body = ?, crc = ? WHERE seq = ?", made, crc, seq)


@pytest.fixture
def journal(past: Config) -> Journal:
    return Journal(past.journal_path)
