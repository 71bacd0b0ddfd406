from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from engine.cli import migrate
from engine.config import Config
from storage.schema import check_schema, head


def test_first_run_makes_a_private_home_and_the_database(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = Config(home=tmp_path / "var")
    assert migrate.run(argparse.Namespace(json=False), config) == 0
    check_schema(config.state_path)
    assert config.home.stat().st_mode & 0o777 == 0o700
    assert capsys.readouterr().out == f"{config.state_path} has schema {head()}\n"


def test_second_run_changes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = Config(home=tmp_path / "var")
    args = argparse.Namespace(json=True)
    migrate.run(args, config)
    before = config.state_path.read_bytes()
    capsys.readouterr()
    assert migrate.run(args, config) == 0
    assert config.state_path.read_bytes() == before
    assert json.loads(capsys.readouterr().out) == {
        "path": str(config.state_path),
        "schema": head(),
        "backup": None,
    }
