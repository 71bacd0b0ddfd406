"""`python -m bench.house [FOLDER]`: what is counted of the code, of this tree or of another one.

So that before and after are one command: `git worktree add OLD COMMIT`, then both.
"""

from __future__ import annotations

import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOMS = ("engine", "storage", "pages", "studies", "app.py")
WORDS = ("told", "nobody", "whoever")


def files(root: Path) -> Iterator[Path]:
    """Give the product's files, written-out migrations left out."""
    for name in ROOMS:
        place = root / name
        found = sorted(place.rglob("*.py")) if place.is_dir() else [place]
        yield from (one for one in found if "versions" not in one.parts)


def counts(root: Path) -> dict[str, int]:
    """Return each count by its name."""
    found = dict.fromkeys(("lines", "Any", "fmt: skip", "connection: Any"), 0)
    found |= dict.fromkeys((f"lines with {word!r}" for word in WORDS), 0)
    for file in files(root):
        text = file.read_text(encoding="utf-8")
        lines = text.splitlines()
        found["lines"] += len(lines)
        found["Any"] += _names(text, "Any")
        found["fmt: skip"] += text.count("fmt: skip")
        found["connection: Any"] += text.count("connection: Any")
        for word in WORDS:
            said = re.compile(rf"\b{word}\b", re.IGNORECASE)
            found[f"lines with {word!r}"] += sum(bool(said.search(line)) for line in lines)
    return found


def _names(text: str, name: str) -> int:
    """Return how often a name stands in code, imports of it left out."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return sum(
        one.type == tokenize.NAME
        and one.string == name
        and not one.line.lstrip().startswith(("from ", "import "))
        for one in tokens
    )


if __name__ == "__main__":
    for what, count in counts(Path(sys.argv[1] if len(sys.argv) > 1 else ".")).items():
        print(f"{what:24}{count:>8,}")
