"""Help is complete: every page has its words, every term a table or the bar shows is explained."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.domain.bots import BotState
from engine.domain.fills import FillState, Liquidity
from engine.domain.instruments import Mode
from engine.domain.orders import OrderState
from pages.help.texts import LOOKING_AT, SHORTCUTS, TOUR
from pages.shared.glossary import GLOSSARY

PAGES = Path(__file__).resolve().parents[2] / "pages"
KINDS = {"text", "long", "id", "market", "time", "age", "count", "money", "fee", "gain", "rate",
         "size", "price"}  # fmt: skip
EVERYDAY = re.compile(
    r"\b(7 d|30 d|answer\w*|asked|asks|at|begun|changed|currency|detail|ended|entry|figure|from|"
    r"held for|interval|kind|last|lasted|mb|next|now|of|paper less truth|placed|problem|progress|"
    r"reason|reported|same since|set|size|span|started|starting|state|status|times|today|took|"
    r"total|verdict|wallet|what|when|who|why not|with|left|id|fingerprint|clock)\b"
)
"""Words that mean in a table what they mean everywhere."""


def terms() -> set[str]:
    """Return every term of the glossary, those that share an entry one by one."""
    whole = (re.sub(r" \(.*\)", "", name).lower() for name in GLOSSARY)
    return {part.strip() for name in whole for part in name.split(" / ")}


def labels() -> Iterator[tuple[str, str]]:
    """Read what tables and the bar call their columns and cells, from the sources."""
    for path in sorted(PAGES.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Tuple) and len(node.elts) == 2:
                texts = [one.value for one in node.elts if isinstance(one, ast.Constant)]
                if len(texts) == 2 and texts[1] in KINDS:
                    yield path.name, str(texts[0])
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Cell":
                for word in node.keywords:
                    if word.arg == "name" and isinstance(word.value, ast.Constant):
                        yield path.name, str(word.value.value)


def told(text: str) -> bool:
    lower = text.lower()
    return any(re.search(rf"\b{re.escape(term)}s?\b", lower) for term in terms())


def test_every_column_and_cell_is_explained_or_an_everyday_word() -> None:
    found = set(labels())
    assert len(found) > 80
    missing = {one for one in found if not told(one[1]) and not EVERYDAY.search(one[1].lower())}
    assert missing == set()


@pytest.mark.parametrize("states", [OrderState, FillState, BotState, Mode, Liquidity])
def test_every_state_stands_in_the_glossary(states: type[OrderState]) -> None:
    whole = " ".join(f"{name} {text}" for name, text in GLOSSARY.items()).lower()
    assert [one for one in states if str(one) not in whole] == []


def test_every_page_says_what_one_looks_at() -> None:
    shell = ast.parse((PAGES / "frame" / "shell.py").read_text())
    groups = next(
        node.value
        for node in shell.body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "GROUPS"
    )
    titles = [title for pages in ast.literal_eval(groups).values() for _, title, _ in pages]
    assert set(titles) == set(LOOKING_AT)


def test_a_tour_has_five_steps_and_leads_to_pages_that_are_there() -> None:
    assert len(TOUR) == 5
    assert all(
        ((PAGES / f"{page}.py").is_file() or (PAGES / page / "page.py").is_file())
        for _, page, _ in TOUR
        if page
    )


def test_every_shortcut_of_the_sources_is_told() -> None:
    found = {
        str(word.value.value)
        for path in PAGES.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        for word in node.keywords
        if word.arg == "shortcut" and isinstance(word.value, ast.Constant)
    }
    assert found
    assert found <= set(SHORTCUTS)
