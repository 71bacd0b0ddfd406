"""One program of a kind per home: the second is refused in words, the end of the first frees it."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from engine.cli import demo
from engine.errors import StorageError
from engine.live import main
from engine.locks import locked


def test_second_program_is_refused_in_words_until_the_first_ends(tmp_path: Path) -> None:
    path = tmp_path / "run" / "lock"
    refused = pytest.raises(StorageError, match=f"another demo exchange runs on {path.parent}")
    with locked(path, "demo exchange"), refused:
        locked(path, "demo exchange")
    locked(path, "demo exchange").close()


def test_one_that_is_just_ending_is_waited_for_and_that_is_said_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "lock"
    held = locked(path, "engine")
    threading.Timer(0.2, held.close).start()
    locked(path, "engine", 30.0).close()
    said = capsys.readouterr().err
    assert said == f"another engine runs on {tmp_path}: waiting 30 s for its end\n"


def test_every_program_locks_by_the_same_rule() -> None:
    assert demo.locked is main.locked is locked  # type: ignore[attr-defined]
