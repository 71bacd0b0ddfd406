"""What a file imports, and what it must not: of the rooms that decide, and of light kinds."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from engine.plugins import (
    CHANCE,
    CLOCK,
    IO,
    PURE,
    SQL,
    by_the_back_door,
    imported,
    impurities,
)

__all__ = [
    "CHANCE",
    "CLOCK",
    "IO",
    "PURE",
    "SQL",
    "by_the_back_door",
    "heavy",
    "imported",
    "impurities",
]

LIGHT = ("engine.domain", "engine.errors", "engine.plugins")


def heavy(file: Path) -> Iterator[str]:
    """Give a sentence for everything of the product, but the domain, that a file imports on top.

    Every program imports the files of commands, jobs and alerts.
    """
    for line, name in imported(ast.parse(file.read_text(encoding="utf-8")), top=True):
        ours = name.partition(".")[0] in {"engine", "storage", "pages"}
        if ours and not any(name == one or name.startswith(f"{one}.") for one in LIGHT):
            yield f"{file}:{line}: it imports {name} on top: import it inside `run`"
