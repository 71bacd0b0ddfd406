"""`engine data`: each verb, and the exit codes of what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.__main__ import main

T0 = 1_704_067_200
AT = [100 + 10 * abs(n % 40 - 20) for n in range(160)]
BARS = [f"{T0 + 60 * n},{at},{at + 2},{at - 2},{at + 1},1000" for n, at in enumerate(AT)]
PLAYED = ["--bot", "sma_cross", "--journal", "digest", "--param", "bars=1m", "--param", "fast=3",
          "--param", "slow=6"]  # fmt: skip


@pytest.fixture
def bars(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PITBOSS_HOME", str(tmp_path / "home"))
    path = tmp_path / "bars.csv"
    path.write_text("\n".join(["time,open,high,low,close,volume", *BARS, ""]))
    return path


def said(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> Any:
    assert main(["--json", *words]) == code
    return json.loads(capsys.readouterr().out)


@pytest.mark.long
def test_bars_are_imported_listed_proven_played_and_deleted(
    bars: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said(capsys, "data", "list")["datasets"] == []
    look = said(capsys, "data", "preview", str(bars), "--rows", "2")
    assert (look["format"], len(look["rows"])) == ("plain_bars", 2)
    made = said(capsys, "data", "import", str(bars), "--instrument", "x:A/USDT", "--name", "a")
    assert (made["rows"], made["trust"][0]["trust"]) == (160, "complete")
    assert [one["name"] for one in said(capsys, "data")["datasets"]] == ["a"]
    assert said(capsys, "data", "verify", "a")["wrong"] == []
    played = said(capsys, "replay", "home/data/a", *PLAYED)
    raw = said(capsys, "replay", "bars.csv", *PLAYED, "--instrument", "x:A/USDT")
    assert played["digest"] == raw["digest"]
    assert played["orders"] == raw["orders"] > 0
    part = said(capsys, "data", "trim", "a", "b", "--from", "2024-01-01T01:00:00")
    assert (part["rows"], part["trust"][0]["trust"]) == (100, "complete")
    assert main(["data", "trim", "a", "c", "--from", "soon"]) == 3
    capsys.readouterr()
    assert said(capsys, "data", "export", "a", "out.csv")["rows"] == 160
    assert said(capsys, "data", "delete", "a")["deleted"] == "a"


def test_a_bad_line_is_exit_code_3_and_leaves_nothing(
    bars: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with bars.open("a") as file:
        file.write(f"{T0},1,1\n")
    assert main(["data", "import", str(bars), "--instrument", "x:A/USDT"]) == 3
    assert "bars.csv, line 162: has 3 columns, 6 are needed" in capsys.readouterr().err
    assert not list((bars.parent / "home" / "data").glob("*"))
    assert main(["data", "preview", str(bars), "--rows", "200"]) == 1
    assert main(["data", "import", str(bars), "--instrument", "nothing"]) == 3
    assert main(["data", "verify", "none"]) == 3


def test_words_are_for_people(bars: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "import", str(bars), "--instrument", "x:A/USDT"]) == 0
    out = capsys.readouterr().out
    assert "160 bars of x:A/USDT" in out
    assert "per million rows" in out
    for words in (["list"], ["formats"], ["show", "x-A-USDT-bars"]):
        assert main(["data", *words]) == 0
        assert "bars" in capsys.readouterr().out


def test_an_hour_of_the_demo_exchange_is_written_and_played(
    bars: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = bars.with_name("demo.csv")
    assert said(capsys, "data", "demo", str(path), "--hours", "1")["bars"] == 60
    assert said(capsys, "data", "preview", str(path))["refused"] == ""
    said(capsys, "data", "demo", str(path), code=3)
    said(capsys, "data", "demo", str(bars.with_name("x.csv")), "--from", "soon", code=3)
    assert not bars.with_name("x.csv").exists()


def test_bars_for_a_folder_that_is_not_there_are_refused_before_they_are_played(
    bars: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    monkeypatch.setattr("engine.lab.demo_bars.demo_bars", lambda *_: iter(asked.append(1) or ()))
    answer = said(capsys, "data", "demo", str(bars.with_name("none") / "demo.csv"), code=3)
    assert "there is no folder" in answer["text"]
    assert asked == []
