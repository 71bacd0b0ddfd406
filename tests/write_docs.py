"""`make docs`: write into the documents what the code says: tables, and the files of examples.

A table is found by its document, heading and first column. An example is a comment that names a
file, `<!-- tests/additions/… -->`, and the block of code behind it. `tests/test_docs.py` demands
that this changes nothing.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from engine.__main__ import EXIT_CODES, commands
from engine.plugins import installed
from engine.risk.gate import MEANINGS
from pages import found_pages
from pages.kit.words import NOTHING

REPOSITORY = Path(__file__).resolve().parents[1]
EXAMPLE = re.compile(r"(<!-- (?P<file>tests/[\w/.]+) -->\n```\w*\n).*?(```)", re.DOTALL)
CHANGES = re.compile(r"^Changes: (.*)\.$", re.MULTILINE)

Rows = Mapping[str, str]
"""Everything of a row behind its first cell, by that cell."""


def own_commands() -> Rows:
    """Return the commands of the product, without those of plug-ins."""
    added = {name for plugin in installed() for name in plugin.files("verbs")}
    return {name: said for name, said in commands().items() if name not in added}


def _commands() -> Rows:
    return {f"`{name}`": said for name, said in own_commands().items()}


def _pages() -> Rows:
    made = {}
    for one in found_pages():
        if one.draw.__module__.partition(".")[0] != "pages":
            continue
        changes = CHANGES.search(one.about)
        shows = one.about.partition("\n")[0].rstrip(".")
        made[one.page.title] = f"{shows} | {changes[1] if changes else NOTHING}"
    return made


TABLES: dict[tuple[str, str, str], Callable[[], Rows]] = {
    ("README.md", "Pages", "page"): _pages,
    ("README.md", "Commands", "command"): _commands,
    ("README.md", "Commands", "code"): lambda: {str(k): v for k, v in EXIT_CODES.items()},
    ("docs/life_of_an_order.md", "Denial reasons", "reason"): lambda: {
        f"`{reason}`": meaning for reason, meaning in MEANINGS.items()
    },
}


def written(name: str, text: str) -> str:
    """Return a document with its tables and examples as the code has them."""
    for (document, heading, first), rows in TABLES.items():
        if document == name:
            text = _with_table(text, heading, first, rows())
    return EXAMPLE.sub(
        lambda found: found[1] + (REPOSITORY / found["file"]).read_text() + found[3], text
    )


def _with_table(text: str, heading: str, first: str, rows: Rows) -> str:
    """Return a text with the rows of one table; those that are there keep their order."""
    begin = text.index(f"| {first} |", text.index(f"\n## {heading}\n"))
    found = re.search(r"\n(?!\|)", text[begin:])
    end = len(text) if found is None else begin + found.start()
    head, rule, *old = text[begin:end].splitlines()
    names = [line.split(" | ")[0].removeprefix("| ") for line in old]
    kept = [name for name in names if name in rows]
    order = [*kept, *(name for name in rows if name not in kept)]
    lines = [head, rule, *(f"| {name} | {rows[name]} |" for name in order)]
    return text[:begin] + "\n".join(lines) + text[end:]


def documents() -> Iterator[tuple[str, Path]]:
    """Give every document by its name."""
    for file in (REPOSITORY / "README.md", *sorted(REPOSITORY.glob("docs/**/*.md"))):
        yield file.relative_to(REPOSITORY).as_posix(), file


def main() -> int:
    for name, file in documents():
        text = file.read_text(encoding="utf-8")
        new = written(name, text)
        if new != text:
            file.write_text(new, encoding="utf-8")
            print(f"{name} is written anew")
    return 0


if __name__ == "__main__":
    sys.exit(main())
