"""The digest of a strategy's code: which files it counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.code_digest import code_digest, files_of
from engine.plugins import found
from engine.strategies.registry import STRATEGIES
from tests.kit.plugins import installed_from, write

RULE = """
from plugins.mine.helpers import (  # what it takes
    # a remark, with a name in it: other
    taken,
)


class Mine:
    name = "mine"
    taken = taken
"""
FILES = {
    "mine/__init__.py": "",
    "mine/strategies/mine.py": RULE,
    "mine/helpers/__init__.py": "from .deep import taken\n",
    "mine/helpers/deep.py": "from ..far import far as taken\n",
    "mine/far.py": "far = 1\n",
    "mine/strategies/other.py": "",
}


def test_what_a_strategy_imports_of_its_room_counts_and_what_that_imports() -> None:
    assert {"basis.py", "hedged.py", "taking.py"} == set(files_of(STRATEGIES["basis"]))
    assert "grid.py" in files_of(STRATEGIES["ensemble"]), "one of its members"
    assert "bar_rule.py" in files_of(STRATEGIES["grid"]), "its base"
    own = files_of(STRATEGIES["market_maker"])
    assert {"market_maker/quotes.py", "market_maker/gates.py", "fair_value.py"} <= set(own)


def test_files_that_run_no_trade_of_a_strategy_do_not_count() -> None:
    assert not {"registry.py", "grid.py", "door.py"} & set(files_of(STRATEGIES["sma_cross"]))


def mine() -> Any:
    kinds = {one.name: one.module for one in found("strategies")}
    return kinds["mine"].Mine


def test_a_helper_of_a_plugin_that_changes_makes_other_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with installed_from(monkeypatch, write(tmp_path, FILES)):
        kind = mine()
        counted = {"strategies/mine.py", "helpers/__init__.py", "helpers/deep.py", "far.py"}
        assert set(files_of(kind)) == counted
        seen = {code_digest(kind)}
        for name in ("far.py", "helpers/deep.py", "helpers/__init__.py", "strategies/mine.py"):
            file = tmp_path / "mine" / name
            file.write_text(f"{file.read_text()}# {name}\n")
            seen.add(code_digest(kind))
        assert len(seen) == 5
        (tmp_path / "mine/far.py").write_text("from . import NAME as far\n")
        assert "__init__.py" in files_of(kind)
        seen.add(code_digest(kind))
        (tmp_path / "mine/strategies/other.py").write_text("other = 2\n")
        assert code_digest(kind) in seen, "nothing of it imports that"


def test_line_ends_of_another_system_are_no_other_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with installed_from(monkeypatch, write(tmp_path, FILES)):
        kind = mine()
        before, file = code_digest(kind), tmp_path / "mine/far.py"
        file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
        assert code_digest(kind) == before
