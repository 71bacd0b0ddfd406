"""`make docs`: write into the documents what the code says: tables, and the files of examples.

A table is found by its document, heading and first column. An example is a comment that names a
file, `<!-- tests/additions/… -->`, and the block of code behind it. `tests/test_docs.py` demands
that this changes nothing.
"""

from __future__ import annotations

import argparse
import importlib
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from engine.__main__ import EXIT_CODES, commands
from engine.cli.strategies import beside
from engine.code_digest import code_digest
from engine.plugins import installed
from engine.risk.gate import MEANINGS
from engine.runtime.venue_plugin import url_key
from engine.strategies.registry import STRATEGIES
from engine.venues.registry import plugins
from pages import found_pages
from pages.kit.words import NOTHING
from storage.evidence import shipped_evidence
from tests import measures

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


def own_url_keys() -> Rows:
    """Return the meaning of each key of an address of the product's venues, with its default."""
    added = {plugin.name for plugin in installed() if plugin.files("venue")}
    return {
        f"`{url_key(plugin.id, name)}`": f"`{address.url}` | {address.meaning}"
        for plugin in plugins().values()
        if plugin.id not in added
        for name, address in plugin.urls.items()
        if address.meaning
    }


def _options() -> Rows:
    """Return the options of each command, as its parser has them."""
    made = {}
    for name in own_commands():
        parser = argparse.ArgumentParser(add_help=False, conflict_handler="resolve")
        importlib.import_module(f"engine.cli.{name}").add_arguments(parser)
        options = [
            f"`{(action.option_strings or [action.dest])[0]}`"
            for action in parser._actions
            if action.help is not argparse.SUPPRESS
        ]
        made[f"`{name}`"] = ", ".join(options) or "none"
    return made


def _own_pages() -> Iterator[tuple[str, str]]:
    """Give title and docstring of each page of the product."""
    for one in found_pages():
        if one.draw.__module__.partition(".")[0] == "pages":
            yield one.page.title, one.about


def _pages() -> Rows:
    made = {}
    for title, about in _own_pages():
        changes = CHANGES.search(about)
        shows = about.partition("\n")[0].rstrip(".")
        made[title] = f"{shows} | {changes[1] if changes else NOTHING}"
    return made


def _strategies() -> Rows:
    """Return what each strategy of the product does, by name."""
    return {
        f"`{name}`": (kind.__doc__ or "").partition("\n")[0]
        for name, kind in sorted(STRATEGIES.items())
        if kind.__module__.startswith("engine.")
    }


def _evidence() -> str:
    """Return what the shipped evidence shows, of the code that is here, as a table."""
    rows = shipped_evidence()
    digests = {name: code_digest(kind) for name, kind in STRATEGIES.items()}
    return beside([row for row in rows if row.strategy in digests], digests)


TABLES: dict[tuple[str, str, str], Callable[[], Rows]] = {
    ("README.md", "Pages", "page"): _pages,
    ("README.md", "Commands", "command"): _commands,
    ("README.md", "Commands", "code"): lambda: {str(k): v for k, v in EXIT_CODES.items()},
    ("docs/extend/strategy.md", "Strategies there are", "strategy"): _strategies,
    ("docs/rooms.md", "What is measured", "measure"): measures.rows,
    ("docs/life_of_an_order.md", "Denial reasons", "reason"): lambda: {
        f"`{reason}`": meaning for reason, meaning in MEANINGS.items()
    },
}

BEGUN: dict[tuple[str, str, str], Callable[[], Rows]] = {
    ("docs/configuration.md", "Configuration keys", "key"): own_url_keys,
    ("docs/configuration.md", "Command line", "command"): _options,
}
"""Tables whose rows a person writes: one that is missing is begun with what the code says."""

WHOLE: dict[tuple[str, str, str], Callable[[], str]] = {
    ("docs/extend/strategy.md", "What the data shows", "strategy"): _evidence,
}
"""Tables of which the head follows from the code, too."""

PAGES = "docs/pages.md"


def written(name: str, text: str) -> str:
    """Return a document with its tables and examples as the code has them."""
    for (document, heading, first), rows in BEGUN.items():
        if document == name:
            text = _begun(text, heading, first, rows())
    if name == PAGES:
        for title, about in _own_pages():
            if f"\n## {title}\n" not in text:
                text = f"{text.rstrip()}\n\n## {title}\n\n{about.strip()}\n"
    for (document, heading, first), rows in TABLES.items():
        if document == name:
            text = _with_table(text, heading, first, rows())
    for (document, heading, first), table in WHOLE.items():
        if document == name:
            begin, end = _place(text, heading, first)
            text = text[:begin] + table() + text[end:]
    return EXAMPLE.sub(
        lambda found: found[1] + (REPOSITORY / found["file"]).read_text() + found[3], text
    )


def _begun(text: str, heading: str, first: str, rows: Rows) -> str:
    """Return a text with a row for everything that no first cell of a table names."""
    begin, end = _place(text, heading, first)
    lines = text[begin:end].splitlines()
    named = " ".join(line.split(" | ")[0] for line in lines)
    lines += [f"| {name} | {row} |" for name, row in rows.items() if name not in named]
    return text[:begin] + "\n".join(lines) + text[end:]


def _place(text: str, heading: str, first: str) -> tuple[int, int]:
    """Return where the table with this first column begins and ends."""
    begin = text.index(f"| {first} |", text.index(f"\n## {heading}\n"))
    found = re.search(r"\n(?!\|)", text[begin:])
    return begin, len(text) if found is None else begin + found.start()


def _with_table(text: str, heading: str, first: str, rows: Rows) -> str:
    """Return a text with the rows of one table; those that are there keep their order."""
    begin, end = _place(text, heading, first)
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
