from __future__ import annotations

import subprocess
from pathlib import Path

from engine.lab.simulate.commit import UNKNOWN, commit


def git(folder: Path, *words: str) -> None:
    named = ("-c", "user.name=a", "-c", "user.email=a@b.invalid", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *named, *words], cwd=folder, check=True, capture_output=True)


def test_a_checkout_is_named_by_its_commit_and_by_what_was_changed(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / "a").write_text("1", encoding="utf-8")
    git(tmp_path, "add", "a")
    git(tmp_path, "commit", "-q", "-m", "one")
    clean = commit(tmp_path)
    assert len(clean) == 12
    (tmp_path / "a").write_text("2", encoding="utf-8")
    assert commit(tmp_path) == f"{clean}-dirty"


def test_no_checkout_is_said_and_not_guessed(tmp_path: Path) -> None:
    assert commit(tmp_path) == UNKNOWN
    assert commit(tmp_path / "nowhere") == UNKNOWN
