"""The measures of a tree are those its laws take."""

from __future__ import annotations

from pathlib import Path

from tests.measures import BEGAN, counted, rows
from tests.test_sizes import DISTANCE, LINES, RATCHET


def test_every_law_counts_in_any_tree(tmp_path: Path) -> None:
    for name, text in {
        "engine/a/one.py": "from typing import Any\nfrom engine.a import two\nx: Any = two\n",
        "engine/a/two.py": "from engine.a import one\ny = one  # fmt: skip\n",
    }.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    found = counted(tmp_path)
    assert found.keys() == DISTANCE.keys() | LINES.keys() | RATCHET.keys()
    assert {name for name, count in found.items() if count} == {
        "circles of imports", "single-importer siblings", "single-importer siblings, all",
        "tables laid by hand", "values of any type",
    }  # fmt: skip


def test_what_began_is_a_measure_that_is_taken_still() -> None:
    assert BEGAN.keys() <= rows().keys()
