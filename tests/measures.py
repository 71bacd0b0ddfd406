"""What the laws count in a tree of the product: `python -m tests.measures [FOLDER]`.

Without a folder it counts this tree. `git worktree add FOLDER COMMIT` makes one of an older commit.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from pages.kit.words import NOTHING
from tests.test_distance import RATCHET as FLOWS
from tests.test_sizes import DISTANCE, LINES, RATCHET, distances, lines_with, measure, modules

REPOSITORY = Path(__file__).resolve().parents[1]
TOY = REPOSITORY / "tests/additions/plugins/toy"
COUNT = "`python -m tests.measures`"
FLOW = "`pytest tests/test_distance.py`"
WC = "`wc -l`"

BEGAN = {
    "circles of imports": "4",
    "attributes set from outside": "7",
    "attributes set by a neighbour": "70",
    "type names defined twice": "0",
    "single-importer siblings": "5",
    "single-importer siblings, all": "20",
    "tables laid by hand": "246",
    "values of any type": "628",
    "lines with 'told'": "313",
    "lines with 'nobody'": "240",
    "functions over 50 lines": "1",
    "files over 600 lines": "0",
    "functions over 5 arguments": "0",
    "lines of a plug-in's strategies": "72",
    "lines of a plug-in's indicators": "12",
    "lines of a plug-in's venue": "263",
    "lines of a plug-in's pages": "23",
    "lines of a plug-in's alerts": "5",
    "lines of a plug-in's jobs": "34, in two rooms",
    "lines of a plug-in's commands": "31, in two rooms",
}
"""What 65d2332c had, counted by the same functions; its flows ran over stubs and are no measure."""


def counted(root: Path) -> dict[str, int]:
    """Return what the laws count in a tree, by the name of each count."""
    _, soft = measure(root)
    found = {**distances(root, modules(root)), **soft}
    made = {name: len(places) for name, places in found.items()}
    for name, (pattern, places, _) in LINES.items():
        made[name] = lines_with(root, pattern, places)
    return made


def rows() -> dict[str, str]:
    """Return the rows of the table of measures: what began, what is allowed, what counts it.

    The lines of an addition are those of the plug-in that the tests install.
    """
    allowed = {**DISTANCE, **{name: most for name, (*_, most) in LINES.items()}, **RATCHET}
    made = {name: (most, COUNT) for name, most in allowed.items()}
    made |= {f"modules on the way of {name}": (most, FLOW) for name, most in FLOWS.items()}
    for kind in sorted(folder for folder in TOY.iterdir() if any(folder.glob("*.py"))):
        lines = sum(len(file.read_text("utf-8").splitlines()) for file in kind.glob("*.py"))
        made[f"lines of a plug-in's {kind.name}"] = lines, WC
    return {
        name: f"{BEGAN.get(name, NOTHING)} | {most} | {by}" for name, (most, by) in made.items()
    }


def main(given: Sequence[str]) -> int:
    for name, count in counted(Path(given[0]) if given else REPOSITORY).items():
        print(f"{count:6,}  {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
