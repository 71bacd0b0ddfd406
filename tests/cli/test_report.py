"""`engine report`: made, listed and shown, with a page that needs no network."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.__main__ import main
from storage.schema import migrate


def test_a_report_is_made_kept_listed_and_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PITBOSS_HOME", str(tmp_path))
    migrate(tmp_path / "pitboss.db")
    assert main(["report", "list"]) == 0
    assert capsys.readouterr().out == "no report was made yet\n"
    file = tmp_path / "page.html"
    assert main(["report", "make", "weekly", "--html", str(file), "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert file.read_text().startswith("<!doctype html>")
    assert main(["report", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"reports": [made["name"]]}
    assert main(["report", "show", made["name"]]) == 0
    assert "Flight report, weekly" in capsys.readouterr().out
    assert main(["report", "show", "none"]) == 3
    assert "`engine report list`" in capsys.readouterr().err
    assert main(["report", "show", made["name"], "--html", "/none/x.html"]) == 3
