"""What a person opened stays open while something appears above it.

Streamlit knows a foldable part without a key by its place on the page: a line that comes above it
gives it another place, and a half-filled form closes (seen in Chromium with Streamlit 1.67 for an
expander and for tabs; those with a key stayed, also where their label changed).
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PAGES = Path(__file__).resolve().parents[2] / "pages"
FOLDABLE = {"expander", "popover", "tabs"}


def keyless(source: str) -> list[int]:
    """Return the lines of foldable parts without a key."""
    return sorted(
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in FOLDABLE
        and not any(given.arg == "key" for given in node.keywords)
    )


@pytest.mark.long
def test_every_foldable_part_of_a_page_has_a_key() -> None:
    found = {
        f"{path.relative_to(PAGES.parent)}:{line}"
        for path in PAGES.rglob("*.py")
        for line in keyless(path.read_text(encoding="utf-8"))
    }
    assert found == set(), f"these close when something appears above them: {sorted(found)}"


def test_a_part_without_a_key_is_found() -> None:
    assert keyless("with st.expander('A'): pass\nst.tabs(x)\nst.popover('B', key='b')") == [1, 2]
