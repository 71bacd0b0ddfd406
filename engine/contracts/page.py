"""What a page owes: words for help, and that it can be drawn over a home that holds nothing."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from os import environ
from pathlib import Path
from typing import Any

from storage.schema import migrate

CHANGES = re.compile(r"^Changes: .+\.$", re.MULTILINE)
PATIENCE_S = 150.0


def check_page(name: str, page: Any, about: str) -> Iterator[str]:
    """Give a sentence for everything a page owes; `page` is its `PAGE`, `about` its docstring."""
    if not about or not about.partition("\n")[0].endswith("."):
        yield "the first line of its docstring says what it shows, as a sentence"
    if "Changes:" in about and CHANGES.search(about) is None:
        yield "the line `Changes: …` of its docstring says what a person changes, as a sentence"
    for field in ("title", "group"):
        if not getattr(page, field):
            yield f"its PAGE has no {field}"
    if not re.fullmatch(r":material/[a-z0-9_]+:", page.icon):
        yield f"its icon is {page.icon!r}: one of Streamlit's, as :material/circle:"
    with empty_home():
        yield from _drawn(name)


@contextmanager
def empty_home() -> Iterator[Path]:
    """Let the dashboard of this process look at a new home, whose tables hold nothing."""
    before = environ.get("PITBOSS_HOME")
    with tempfile.TemporaryDirectory() as folder:
        migrate(Path(folder) / "pitboss.db")
        environ["PITBOSS_HOME"] = folder
        try:
            yield Path(folder)
        finally:
            if before is None:
                del environ["PITBOSS_HOME"]
            else:
                environ["PITBOSS_HOME"] = before


def _drawn(name: str) -> Iterator[str]:
    """Give what is wrong with a page as it is drawn."""
    from streamlit.testing.v1 import AppTest  # noqa: PLC0415 only a page needs it

    found = "next(one for one in pages.found_pages() if one.name == NAME)"
    script = f"import pages\n{found}.draw()\n".replace("NAME", repr(name))
    test = AppTest.from_string(script, default_timeout=PATIENCE_S).run()
    for error in test.exception:
        place = " ".join(list(error.stack_trace)[-1].split()) if error.stack_trace else ""
        yield f"over an empty home it raises {error.message}: {place}"
    shown: Callable[[], Any] = lambda: [*test.header, *test.title]  # noqa: E731 both are headings
    if not test.exception and not shown():
        yield "it draws no heading"
