"""`python -m engine strategies`: a new user's way from nothing to a strategy that is checked."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.__main__ import main
from engine.strategies.registry import STRATEGIES

REPOSITORY = Path(__file__).resolve().parents[2]


def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Any]:
    code = main(["strategies", "--json", *words])
    return code, json.loads(capsys.readouterr().out or "{}")


def test_all_are_listed_and_each_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    code, answer = said(capsys, "list")
    names = [row["name"] for row in answer["strategies"]]
    assert code == 0
    assert {"market_maker", "rsi_reversion", "grid"} <= set(names)
    code, shown = said(capsys, "show", "grid")
    assert code == 0
    assert "It loses" in shown["idea"]
    assert all(row["help"] for row in shown["parameters"])


def test_the_documents_table_names_every_strategy_of_the_product() -> None:
    text = (REPOSITORY / "docs/extend/strategy.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", text, re.MULTILINE)
    kinds = {name: kind for name, kind in STRATEGIES.items() if kind.__module__[:7] == "engine."}
    assert dict(rows) == {name: kind.__doc__.partition("\n")[0] for name, kind in kinds.items()}


def test_the_evidence_in_the_documents_has_a_row_for_every_strategy_of_the_product() -> None:
    text = (REPOSITORY / "docs/extend/strategy.md").read_text(encoding="utf-8")
    shown = text.partition("## What the data shows")[2].partition("## Strategies there are")[0]
    head, *rows = [line for line in shown.splitlines() if re.match(r"\| (`\w+`|strategy) \|", line)]
    columns = head.count("|")
    assert {line.count("|") for line in rows} == {columns}
    proven = [line.split("`")[1] for line in rows]
    kinds = [name for name, kind in STRATEGIES.items() if kind.__module__[:7] == "engine."]
    assert proven == sorted(kinds)


def test_an_unknown_one_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["strategies", "show", "nothing"]) == 3
    assert "known: " in capsys.readouterr().err


def test_a_skeleton_is_written_to_where_plugins_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("engine.plugins.FOLDER", tmp_path / "beside")
    monkeypatch.setenv("PITBOSS_PLUGINS", f"{tmp_path / 'kept'}:{tmp_path / 'more'}")
    code, answer = said(capsys, "new", "above_mean")
    assert code == 0
    assert {Path(one).parents[2] for one in answer["written"]} == {tmp_path / "kept"}
    (tmp_path / "more" / "other").mkdir(parents=True)
    for bad in ("above_mean", "other"):
        assert main(["strategies", "new", bad]) == 3
    assert not (tmp_path / "beside").exists()


@pytest.mark.long
def test_a_skeleton_keeps_the_contract_as_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("engine.plugins.FOLDER", tmp_path / "mine")
    code, answer = said(capsys, "new", "above_mean")
    assert code == 0
    assert [Path(one).name for one in answer["written"]] == ["above_mean.py", "test_above_mean.py"]
    for bad in ("above_mean", "grid", "Bad-Name"):
        assert main(["strategies", "new", bad]) == 3
    capsys.readouterr()
    given = {**os.environ, "PITBOSS_PLUGINS": str(tmp_path / "mine"), "PITBOSS_HOME": str(tmp_path)}
    checked = [sys.executable, "-m", "engine", "strategies", "check", "above_mean"]
    tested = [sys.executable, "-m", "pytest", "-q", "-n0", "-c", "pyproject.toml",
              "--rootdir=.", str(tmp_path / "mine/above_mean/tests")]  # fmt: skip
    for words in (checked, tested):
        done = subprocess.run(
            words, cwd=REPOSITORY, env=given, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
