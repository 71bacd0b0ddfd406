"""`python -m engine rules`: check, keep, show, exchange, remove and restore."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from engine.__main__ import main


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PITBOSS_HOME", str(tmp_path / "home"))


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["rules", *words]) == 0
    return capsys.readouterr().out


def test_a_rule_is_exported_changed_imported_removed_and_restored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = json.loads(said(capsys, "export", "rsi_dip"))
    Draft202012Validator(json.loads(said(capsys, "schema"))).validate(document)
    file = tmp_path / "mine.json"
    file.write_text(json.dumps(document | {"name": "mine", "share": 0.2}), encoding="utf-8")
    assert "Buy with 20 % of the capital" in said(capsys, "check", str(file))
    assert "version 1" in said(capsys, "import", str(file))
    assert "version 2" in said(capsys, "import", str(file))
    assert "mine" in said(capsys, "list")
    assert "Buy with 20 %" in said(capsys, "show", "mine")
    said(capsys, "remove", "mine")
    assert main(["rules", "show", "mine"]) == 3
    assert "there is no rule 'mine'" in capsys.readouterr().err
    assert "there again, as version 4" in said(capsys, "restore", "mine")
    assert json.loads(said(capsys, "export", "mine"))["share"] == 0.2


def test_what_is_wrong_with_a_file_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "bad.json"
    document = json.loads(said(capsys, "export", "trend"))
    file.write_text(json.dumps(document | {"share": 7}), encoding="utf-8")
    for words in (("check", str(file)), ("import", str(file)), ("check", str(tmp_path / "no"))):
        assert main(["rules", *words]) == 3
        sentence = capsys.readouterr().err.strip()
        assert "\n" not in sentence
        assert str(words[1]) in sentence
    assert "mine" not in said(capsys, "list"), "nothing was kept"
    assert main(["rules", "remove", "trend"]) == 3
    assert "there is no rule 'trend' to remove" in capsys.readouterr().err
