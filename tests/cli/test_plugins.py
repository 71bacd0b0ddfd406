"""`engine plugins`: one is switched off and on by its name."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.__main__ import main
from engine.plugins import switched_off
from tests.kit.plugins import forget, installed_from, write


def test_a_plugin_is_switched_off_and_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write(tmp_path / "there", {"toy/indicators/one.py": "x = 1", "zoo/pages/a.py": ""})
    monkeypatch.setenv("PITBOSS_HOME", str(tmp_path / "home"))
    with installed_from(monkeypatch, folder):
        assert main(["plugins", "off", "toy"]) == 0
        assert switched_off() == {"toy"}
        forget()
        assert main(["plugins"]) == 1
        listed = capsys.readouterr().out
        assert "switched off" in next(line for line in listed.splitlines() if "toy" in line)
        assert "wrong: plug-in zoo" in listed
        assert main(["plugins", "on", "toy"]) == 0
        assert switched_off() == frozenset()
        assert main(["plugins", "off", "unheard"]) == 3
        assert "there is no plug-in 'unheard'; installed: toy, zoo" in capsys.readouterr().err


def test_where_none_is_installed_the_list_says_where_they_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with installed_from(monkeypatch, tmp_path):
        assert main(["plugins"]) == 0
    assert f"lay a folder into {tmp_path}" in capsys.readouterr().out
