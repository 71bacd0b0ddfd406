"""What README and docs say of commands, keys, codes, reasons and rooms is what the code says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from engine.__main__ import EXIT_CODES
from engine.config import keys
from engine.domain.orders import OrderState
from engine.plugins import KINDS, installed
from engine.risk.gate import MEANINGS
from engine.runtime.venue_plugin import url_key
from engine.venues.registry import url_keys
from tests.write_docs import documents, own_commands, written

REPOSITORY = Path(__file__).resolve().parents[1]
README = "README.md"
CHANGELOG = "CHANGELOG.md"
CONFIGURATION = "docs/configuration.md"
DECISIONS = "docs/decisions.md"
LIFE = "docs/life_of_an_order.md"
EXTEND = "docs/extend/index.md"
GOING_LIVE = "docs/going_live.md"
DOCS = [file.relative_to(REPOSITORY) for file in REPOSITORY.glob("docs/**/*.md")]
FILES = (README, CHANGELOG, *sorted(map(str, DOCS)))
TEXTS = {name: (REPOSITORY / name).read_text(encoding="utf-8") for name in FILES}
MAKEFILE = (REPOSITORY / "Makefile").read_text(encoding="utf-8")

README_LINES_MAX = 200
LINE_MAX = 120
"""Characters; a table's row may be longer, but not in the README."""

HEADINGS = {
    README: (
        "What it cannot do yet",
        "Quick start",
        "How it works",
        "Pages",
        "Commands",
        "Recovery",
        "Where to read on",
    ),
    CHANGELOG: ("[Unreleased]",),
    LIFE: (
        "The steps",
        "Order states",
        "UNKNOWN",
        "Settled and pending",
        "Proofs",
        "Why: the decision log",
        "Owners, and orders by hand",
        "Denial reasons",
    ),
    CONFIGURATION: (
        "Configuration keys",
        "Disk",
        "Secrets of a live account",
        "Logs",
        "Command line",
        "Commands for the engine",
        "Replays and recordings",
        "How good the fair value is",
        "Simulation",
        "Demo exchange and paper compared",
        "Paper over Polymarket",
        "Benchmarks and figures",
    ),
    GOING_LIVE: (
        "1. Paper first",
        "2. Vault",
        "3. Account",
        "4. Key",
        "5. Doctor and phrase",
        "6. Self-test",
        "7. Second dead man's switch",
        "8. Start",
        "What is missing",
    ),
    "docs/alerts.md": (
        "The watch",
        "Channels",
        "Rules",
        "Dead man's switch",
        "Price alerts",
        "What is told, by what",
        "Where something refuses",
    ),
}


def headings(name: str) -> list[str]:
    """Return the headings of the second level, in their order."""
    return re.findall(r"^## (.+)$", TEXTS[name], re.MULTILINE)


def anchors(name: str) -> set[str]:
    """Return what a link may name behind `#`, as GitHub makes it of each heading."""
    found = re.findall(
        r"^#+ (.+)$", re.sub(r"```.*?```", "", TEXTS[name], flags=re.DOTALL), re.MULTILINE
    )
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in found}


def section(name: str, heading: str) -> str:
    found = re.search(
        rf"^## {re.escape(heading)}$(.*?)(?=^## |\Z)", TEXTS[name], re.MULTILINE | re.DOTALL
    )
    assert found, f"{name} has no heading {heading!r}"
    return found[1]


def table(name: str, heading: str, first: str) -> list[list[str]]:
    """Return the rows of the table under a heading whose first column is called `first`."""
    lines = section(name, heading).splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith(f"| {first} |"))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("| ").split(" | ")])
    return rows


def drawn_moves() -> set[tuple[str, str]]:
    """Return the moves between two states in the drawing of an order's life."""
    return set(
        re.findall(r"^  ([A-Z]+) --> ([A-Z]+)\b", section(LIFE, "Order states"), re.MULTILINE)
    )


def pages() -> set[str]:
    """Return the titles of the pages: of files, and of folders with a file `page.py`."""
    folder = REPOSITORY / "pages"
    texts = [file.read_text() for file in (*folder.glob("[!_]*.py"), *folder.glob("*/page.py"))]
    return {
        title.lower()
        for text in texts
        for title in re.findall(r'^PAGE = Page\("(.+?)"', text, re.MULTILINE)
    }


@pytest.mark.parametrize("name", sorted(HEADINGS))
def test_headings_stand_in_their_order(name: str) -> None:
    assert tuple(headings(name)) == HEADINGS[name]


def test_readme_is_short() -> None:
    assert len(TEXTS[README].splitlines()) <= README_LINES_MAX


@pytest.mark.parametrize("name", FILES)
def test_lines_are_short_enough_to_read(name: str) -> None:
    long = [
        number
        for number, line in enumerate(TEXTS[name].splitlines(), 1)
        if len(line) > LINE_MAX and (name == README or not line.startswith("|"))
    ]
    assert long == []


def test_readme_names_every_file_of_the_documentation() -> None:
    docs = re.findall(
        r"^\| \[.+?\]\(([\w/.]+)\)", section(README, "Where to read on"), re.MULTILINE
    )
    named = {name for name in FILES if "extend/" not in name} | {EXTEND}
    assert sorted(docs) == sorted(named - {README})


def test_every_command_is_told_with_its_help() -> None:
    docs = {row[0].strip("`"): row[1] for row in table(README, "Commands", "command")}
    assert docs == own_commands()


def test_options_of_every_command_are_told() -> None:
    docs = [
        name
        for row in table(CONFIGURATION, "Command line", "command")
        for name in re.findall(r"`([\w-]+)`", row[0])
    ]
    assert sorted(docs) == sorted(own_commands())


def test_every_exit_code_is_told() -> None:
    docs = {int(code): meaning for code, meaning in table(README, "Commands", "code")}
    assert docs == EXIT_CODES


def test_every_configuration_key_is_told_with_its_meaning() -> None:
    docs = {row[0].strip("`"): row[2] for row in table(CONFIGURATION, "Configuration keys", "key")}
    added = tuple(url_key(one.name, "") for one in installed() if one.files("venue"))
    added = tuple(key.removesuffix("_URL") for key in added)
    assert docs == keys() | {k: v for k, v in url_keys().items() if not k.startswith(added)}


def test_every_denial_reason_is_told_with_its_meaning() -> None:
    docs = {row[0].strip("`"): row[1] for row in table(LIFE, "Denial reasons", "reason")}
    assert docs == {str(reason): meaning for reason, meaning in MEANINGS.items()}


def test_every_order_state_is_told_and_drawn() -> None:
    docs = {row[0].strip("`") for row in table(LIFE, "Order states", "state")}
    assert docs == {state.name for state in OrderState}
    assert {state for move in drawn_moves() for state in move} == docs


def test_every_drawn_move_is_one_of_the_table() -> None:
    from engine.domain.order_life import TRANSITIONS

    moves = {(before.name, after.name) for (before, _), after in TRANSITIONS.items()}
    assert drawn_moves() <= moves


def test_every_room_that_exists_is_told_and_no_other() -> None:
    docs = {row[0].strip("`") for row in table("docs/rooms.md", "Who may import whom", "room")}
    rooms = {
        f"engine/{folder.name}"
        for folder in (REPOSITORY / "engine").iterdir()
        if (folder / "__init__.py").is_file()
    }
    assert docs == rooms | {"storage", "pages"}


def test_every_page_is_told_and_no_other() -> None:
    docs = {row[0].lower() for row in table(README, "Pages", "page")}
    assert docs == pages()
    assert docs <= {heading.lower() for heading in headings("docs/pages.md")}


def test_every_make_target_is_told_and_exists() -> None:
    rows = table("docs/rooms.md", "Make targets", "command")
    docs = {row[0].strip("`").removeprefix("make ") for row in rows}
    targets = set(re.findall(r"^([a-z-]+):.*## ", MAKEFILE, re.MULTILINE))
    assert docs <= targets
    assert targets - docs == {"help", "lint", "types", "laws", "clean"}


@pytest.mark.parametrize(
    "path",
    sorted(
        {
            path
            for text in TEXTS.values()
            for path in re.findall(r"`((?:engine|tests|storage|pages|bench|docs)/[\w/.]+)`", text)
        }
    ),
)
def test_file_named_in_the_documentation_exists(path: str) -> None:
    assert (REPOSITORY / path).exists()


@pytest.mark.parametrize(
    "module",
    sorted(
        {
            module
            for text in TEXTS.values()
            for module in re.findall(r"python -m ((?:engine|tests|pages|bench)[\w.]*)", text)
        }
    ),
)
def test_program_named_in_the_documentation_exists(module: str) -> None:
    place = REPOSITORY.joinpath(*module.split("."))
    assert place.with_suffix(".py").is_file() or (place / "__main__.py").is_file()


@pytest.mark.parametrize(("name", "file"), list(documents()))
def test_tables_and_examples_are_those_of_the_code(name: str, file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert written(name, text) == text, "run `make docs`"


def test_every_kind_has_a_page_that_the_index_names() -> None:
    pages = {file.stem for file in REPOSITORY.glob("docs/extend/*.md")} - {"index"}
    named = set(re.findall(r"\]\((\w+)\.md\)", TEXTS[EXTEND]))
    assert pages == named
    kinds = {re.sub(r"(ies|s)$", lambda end: "y" * (end[0] == "ies"), kind) for kind in KINDS}
    assert kinds - {"projected"} <= pages


@pytest.mark.parametrize("name", FILES)
def test_links_lead_somewhere(name: str) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", TEXTS[name]):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        file = ((REPOSITORY / name).parent / path).resolve() if path else REPOSITORY / name
        assert file.is_file(), f"{name}: {target}"
        if anchor:
            assert anchor in anchors(str(file.relative_to(REPOSITORY))), f"{name}: {target}"


@pytest.mark.parametrize("decision", headings(DECISIONS))
def test_decision_says_what_why_and_what_would_change_our_mind(decision: str) -> None:
    body = section(DECISIONS, decision)
    assert re.findall(
        r"^\*\*What:\*\* |^\*\*Why:\*\* |^\*Would change our mind:\* ", body, re.MULTILINE
    ) == [
        "**What:** ",
        "**Why:** ",
        "*Would change our mind:* ",
    ]


def test_changelog_tells_what_was_added_changed_and_fixed() -> None:
    kinds = re.findall(r"^### (.+)$", section(CHANGELOG, "[Unreleased]"), re.MULTILINE)
    assert kinds == ["Added", "Changed", "Fixed"]


def test_lock_files_pin_every_version_and_name_no_registry() -> None:
    for name in ("requirements.txt", "requirements-dev.txt"):
        text = (REPOSITORY / name).read_text(encoding="utf-8")
        assert "index-url" not in text
        pins = [line for line in text.splitlines() if re.match(r"^[a-z0-9]", line)]
        assert pins
        assert all("==" in line and line.endswith("\\") for line in pins)
