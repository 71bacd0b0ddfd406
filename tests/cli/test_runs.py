"""`engine runs`: stored backtests by tag, and the note a person leaves on one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.__main__ import main
from engine.domain.instruments import BotId
from storage.database import writing
from storage.runs import Run, RunKind, RunStatus, save_run
from storage.schema import migrate


def test_a_note_is_left_and_runs_are_found_by_its_tag(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PITBOSS_HOME", str(tmp_path))
    migrate(tmp_path / "pitboss.db")
    assert main(["runs", "list"]) == 0
    assert capsys.readouterr().out == "no run is stored yet\n"
    run = Run(
        engine_id="replay", account="paper:replay", kind=RunKind.REPLAY, recording="day",
        bot=BotId("b"), strategy="maker", started_ns=1, status=RunStatus.DONE,
    )  # fmt: skip
    with writing(tmp_path / "pitboss.db") as connection:
        number = save_run(connection, run)
    assert main(["runs", "note", str(number), "--text", "too wide", "--tag", "v2"]) == 0
    assert capsys.readouterr().out == f"run {number}: tags v2; note: too wide\n"
    assert main(["runs", "note", str(number), "--tag", "V3"]) == 0
    capsys.readouterr()
    assert main(["runs", "list", "--tag", "v3", "--json"]) == 0
    [found] = json.loads(capsys.readouterr().out)["runs"]
    assert (found["id"], found["mode"], found["tags"]) == (number, "paper", ["v3"])
    assert main(["runs", "list"]) == 0
    assert "too wide" in capsys.readouterr().out
    assert main(["runs", "list", "--tag", "v2"]) == 0
    assert capsys.readouterr().out == "no run has the tag v2\n"
    assert main(["runs", "note", "99", "--text", "x"]) == 3
    assert "there is no run 99" in capsys.readouterr().err
