"""A backup put back: checked before anything moves, whole or marked, and never beside a start."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.errors import BadInput, StorageError
from storage import restore
from storage.backup import MANIFEST, digest
from storage.files import check_swapped, under_way
from storage.projection import bring_up_to_date, check_new
from storage.restore import checked, mark, staged, swap

NAMES = ("pitboss.db", "decisions.db", "journal.db")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with files that stand, and a backup of others."""
    backup = tmp_path / "backups" / "then"
    backup.mkdir(parents=True)
    for name in NAMES:
        (backup / name).write_text(f"then {name}")
        for suffix in ("", "-wal", "-shm"):
            (tmp_path / f"{name}{suffix}").write_text(f"now {name}{suffix}")
    seen = {name: {"bytes": 1, "sha256": digest(backup / name)} for name in NAMES}
    (backup / MANIFEST).write_text(json.dumps({"made": "then", "files": seen}))
    return tmp_path


def begun(home: Path) -> list[Path]:
    staged(home, checked(home / "backups" / "then"))
    mark(home, "then", "aside-now")
    return [home / name for name in NAMES]


def test_what_stood_is_kept_and_the_backup_stands_in_its_place(home: Path) -> None:
    aside = swap(home, begun(home))
    for name in NAMES:
        assert (home / name).read_text() == f"then {name}"
        assert not (home / f"{name}-wal").exists()
        for suffix in ("", "-wal", "-shm"):
            assert (aside / f"{name}{suffix}").read_text() == f"now {name}{suffix}"
    assert under_way(home) == {}
    check_swapped(home)


def test_a_swap_that_dies_at_any_move_is_refused_by_starts_and_finished_later(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    targets, moves = begun(home), 0
    move = Path.replace

    def dies(path: Path, target: Path) -> Path:
        nonlocal moves
        moves += 1
        if moves % 2:
            raise OSError("the power is cut")
        return move(path, target)

    monkeypatch.setattr(restore.Path, "replace", dies)
    for _ in range(100):
        for refused in (
            lambda: check_swapped(home),
            lambda: check_new(home / "journal.db", home / "pitboss.db"),
            lambda: bring_up_to_date(home / "pitboss.db", home / "journal.db"),
        ):
            with pytest.raises(StorageError, match=r"python -m engine restore then` again"):
                refused()
        try:
            aside = swap(home, targets)
            break
        except OSError:
            continue
    for name in NAMES:
        assert (home / name).read_text() == f"then {name}"
        for suffix in ("", "-wal", "-shm"):
            assert (aside / f"{name}{suffix}").read_text() == f"now {name}{suffix}"


def test_a_backup_whose_bytes_are_not_those_of_its_manifest_is_refused(home: Path) -> None:
    backup = home / "backups" / "then"
    (backup / "journal.db").write_text("flipped")
    with pytest.raises(BadInput, match=r"journal\.db is not what was backed up"):
        checked(backup)
    (backup / "journal.db").unlink()
    with pytest.raises(BadInput, match=r"lacks journal\.db"):
        checked(backup)
    for text in ("[]", "{", '{"files": {"a": 1}}', '{"files": {"../a": {"sha256": ""}}}'):
        (backup / MANIFEST).write_text(text)
        with pytest.raises(BadInput):
            checked(backup)
    with pytest.raises(BadInput, match="is no backup"):
        checked(home / "backups")
