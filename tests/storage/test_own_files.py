"""Files a person brings: kept whole, never over another one, refused in a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import StorageError
from storage import own_files
from storage.own_files import keep


def test_a_file_is_kept_for_its_owner_alone_and_never_replaced(tmp_path: Path) -> None:
    kept = keep(tmp_path / "data", "BTC.csv", b"first")
    keep(tmp_path / "data", "BTC.csv", b"second")
    assert kept.read_bytes() == b"first"
    assert kept.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["", "../x.csv", "a/b.csv", ".."])
def test_a_name_that_leads_elsewhere_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="not the name of a file"):
        keep(tmp_path, name, b"x")
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_refuses_is_said(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("in the way", encoding="utf-8")
    with pytest.raises(StorageError, match="data"):
        keep(tmp_path / "data", "BTC.csv", b"x")


def test_too_large_a_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_files, "BYTES_MAX", 3)
    with pytest.raises(StorageError, match="larger than"):
        keep(tmp_path, "BTC.csv", b"four")
