from __future__ import annotations

from pathlib import Path

import pytest

from storage import latch as latch_room
from storage.latch import Latch, prepare_spare, read_latch, set_latch, spare_of


def test_a_latch_is_set_once_and_the_first_stays(tmp_path: Path) -> None:
    path = tmp_path / "var" / "KILL"
    assert read_latch(path) is None
    assert set_latch(path, "ann", 5)
    assert not set_latch(path, "ben", 9)
    assert read_latch(path) == Latch(who="ann", at_ns=5)
    assert [file.name for file in path.parent.iterdir()] == ["KILL"]


def test_a_latch_set_by_hand_counts(tmp_path: Path) -> None:
    (tmp_path / "KILL").touch()
    latch = read_latch(tmp_path / "KILL")
    assert latch is not None
    assert latch.who == ""
    assert not set_latch(tmp_path / "KILL", "ann", 5)


def test_whatever_bears_the_name_counts(tmp_path: Path) -> None:
    (tmp_path / "KILL").mkdir()
    assert read_latch(tmp_path / "KILL") is not None
    assert not set_latch(tmp_path / "KILL", "ann", 5)


def test_a_disk_that_refuses_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        set_latch(tmp_path / "file" / "KILL", "ann", 5)


def test_full_disk_still_takes_the_spare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "KILL"
    prepare_spare(path)
    prepare_spare(path)  # twice is harmless

    def full(file: Path, _latch: Latch) -> None:
        file.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(latch_room, "_write", full)
    assert set_latch(path, "ann", 5)
    found = read_latch(path)
    assert found is not None
    assert found.who == ""
    assert not spare_of(path).exists()
    path.unlink()
    with pytest.raises(OSError, match="No space"):
        set_latch(path, "ann", 5)
    assert list(tmp_path.iterdir()) == []
