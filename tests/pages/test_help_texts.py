"""Help is complete: every page has its words, every term a table or the bar shows is explained."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import pages
from engine.domain.bots import BotState
from engine.domain.fills import FillState, Liquidity
from engine.domain.instruments import Mode
from engine.domain.orders import OrderState
from pages import found_pages
from pages.help import GLOSSARY, SHORTCUTS, TOUR
from pages.kit.tables import Col, ColKind, columns_of
from pages.kit.words import NOTHING
from tests.pages.seen import page_test

PAGES = Path(__file__).resolve().parents[2] / "pages"
KINDS = {"text", "long", "id", "market", "time", "age", "count", "money", "fee", "gain", "rate",
         "size", "price"}  # fmt: skip
EVERYDAY = re.compile(
    r"\b(7 d|30 d|answer\w*|asked|asks|at|begun|changed|currency|detail|ended|entry|figure|from|"
    r"held for|interval|kind|last|lasted|mb|next|now|of|paper minus truth|placed|problem|progress|"
    r"queued|reason|reported|same since|set|size|span|started|starts|starting|state|status|stored|"
    r"times|today|took|total|verdict|wallet|what|when|who|why not|with|left|id|fingerprint|clock)\b"
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
            called = getattr(node.func, "id", "") if isinstance(node, ast.Call) else ""
            if called == "StatusCell" and isinstance(node.args[0], ast.Constant):
                yield path.name, str(node.args[0].value)
            if called == "Col" and isinstance(node, ast.Call):
                column = eval(ast.unparse(node), {"Col": Col, "ColKind": ColKind})
                ((label, _),) = columns_of(column).values()
                yield path.name, label


def told(text: str) -> bool:
    lower = text.lower()
    return any(re.search(rf"\b{re.escape(term)}s?\b", lower) for term in terms())


@pytest.mark.long
def test_every_column_and_cell_is_explained_or_an_everyday_word() -> None:
    found = set(labels())
    assert len(found) > 80
    missing = {one for one in found if not told(one[1]) and not EVERYDAY.search(one[1].lower())}
    assert missing == set()


@pytest.mark.parametrize("states", [OrderState, FillState, BotState, Mode, Liquidity])
def test_every_state_stands_in_the_glossary(states: type[OrderState]) -> None:
    whole = " ".join(f"{name} {text}" for name, text in GLOSSARY.items()).lower()
    assert [one for one in states if str(one) not in whole] == []


def readme_rows() -> dict[str, tuple[str, str]]:
    """Return what the README's table says a page shows and changes, by its title."""
    text = (PAGES.parent / "README.md").read_text()
    table = text[text.index("| page | shows | changes |") :].split("\n\n")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]
    return {title: (shows, changes) for title, shows, changes in rows}


def test_the_readme_says_of_each_page_what_its_docstring_says() -> None:
    told = {}
    for one in found_pages():
        if not one.draw.__module__.startswith("pages."):
            continue  # a plug-in's
        shows = one.about.split("\n")[0].rstrip(".")
        changes = re.search(r"^Changes: (.*)\.$", one.about, re.MULTILINE)
        told[one.page.title] = (shows, changes[1] if changes else NOTHING)
    assert readme_rows() == told


def test_a_page_that_is_added_is_found_in_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = '''"""What is new."""\n\nfrom pages import Page\n\nPAGE = Page("New", "", "Guard", 9)\n\n
def main() -> None:\n    import streamlit as st\n    st.title("New")\n'''
    (tmp_path / "brand_new.py").write_text(text)
    monkeypatch.setattr(pages, "__path__", [*pages.__path__, str(tmp_path)])
    found_pages.cache_clear()
    try:
        found = found_pages()
        page = page_test("brand_new").run()
    finally:
        found_pages.cache_clear()
        sys.modules.pop("pages.brand_new", None)
    titles = [one.page.title for one in found]
    assert titles[titles.index("New") - 1 : titles.index("New") + 2] == ["Jobs", "New", "Settings"]
    assert [title.value for title in page.title] == ["New"]


def test_a_tour_has_five_steps_and_leads_to_pages_that_are_there() -> None:
    assert len(TOUR) == 5
    assert {page for _, page, _ in TOUR if page} <= {one.name for one in found_pages()}


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
