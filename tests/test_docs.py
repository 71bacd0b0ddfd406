"""What the README says of commands, keys, codes, reasons and rooms is what the code says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from engine.__main__ import COMMANDS, EXIT_CODES
from engine.config import keys
from engine.risk.gate import MEANINGS

REPOSITORY = Path(__file__).resolve().parents[1]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
MAKEFILE = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
HEADINGS = (
    "Quick start",
    "The life of an intent",
    "Pages",
    "Configuration",
    "Command line",
    "Going live, step by step",
    "Recovery",
    "Rooms",
    "Denial reasons",
    "Decisions",
    "Changes",
)


def section(heading: str) -> str:
    found = re.search(rf"^## {heading}$(.*?)(?=^## |\Z)", README, re.MULTILINE | re.DOTALL)
    assert found, f"the README has no heading {heading!r}"
    return found[1]


def table(heading: str, first: str) -> list[list[str]]:
    """Return the rows of the table under a heading whose first column is called `first`."""
    lines = section(heading).splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith(f"| {first} |"))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("| ").split(" | ")])
    return rows


def test_headings_stand_in_their_order() -> None:
    assert tuple(re.findall(r"^## (.+)$", README, re.MULTILINE)) == HEADINGS


def test_every_command_is_told_with_its_help() -> None:
    told = {row[0].strip("`"): row[1] for row in table("Command line", "command")}
    assert told == {name: command.help for name, command in COMMANDS.items()}


def test_every_exit_code_is_told() -> None:
    told = {int(code): meaning for code, meaning in table("Command line", "code")}
    assert told == EXIT_CODES


def test_every_configuration_key_is_told_with_its_meaning() -> None:
    told = {row[0].strip("`"): row[2] for row in table("Configuration", "key")}
    assert told == keys()


def test_every_denial_reason_is_told_with_its_meaning() -> None:
    told = {row[0].strip("`"): row[1] for row in table("Denial reasons", "reason")}
    assert told == {str(reason): meaning for reason, meaning in MEANINGS.items()}


def test_every_room_that_exists_is_told_and_no_other() -> None:
    told = {row[0].strip("`") for row in table("Rooms", "room")}
    rooms = {
        f"engine/{folder.name}"
        for folder in (REPOSITORY / "engine").iterdir()
        if (folder / "__init__.py").is_file()
    }
    assert told == rooms | {"storage", "pages"}


def test_every_page_is_told_and_no_other() -> None:
    told = {row[0].lower() for row in table("Pages", "page")}
    assert told == {
        file.stem if file.parent.name == "pages" else file.parent.name
        for pattern in ("[!_]*.py", "*/page.py")
        for file in (REPOSITORY / "pages").glob(pattern)
    }


def test_every_make_target_is_told_and_exists() -> None:
    told = {row[0].strip("`").removeprefix("make ") for row in table("Quick start", "command")}
    targets = set(re.findall(r"^([a-z]+):.*## ", MAKEFILE, re.MULTILINE))
    assert told <= targets
    assert targets - told == {"help", "lint", "types", "laws", "clean"}


@pytest.mark.parametrize(
    "path", sorted(set(re.findall(r"`((?:engine|tests|storage)/[\w/.]+)`", README)))
)
def test_file_named_in_the_readme_exists(path: str) -> None:
    assert (REPOSITORY / path).exists()


def test_links_inside_the_readme_lead_somewhere() -> None:
    anchors = {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in HEADINGS}
    assert set(re.findall(r"\]\(#([\w-]+)\)", README)) <= anchors


def test_decision_says_what_would_change_our_mind() -> None:
    for paragraph in re.split(r"\n\n(?=\*\*)", section("Decisions").strip()):
        assert re.search(r"\*Would\s+change our mind:\*", paragraph), paragraph


def test_lock_files_pin_every_version_and_name_no_registry() -> None:
    for name in ("requirements.txt", "requirements-dev.txt"):
        text = (REPOSITORY / name).read_text(encoding="utf-8")
        assert "index-url" not in text
        pins = [line for line in text.splitlines() if re.match(r"^[a-z0-9]", line)]
        assert pins
        assert all("==" in line and line.endswith("\\") for line in pins)
