"""Where the product is not asked: each file that names a leg, a payout or certainty by itself.

A place is a file that names `Leg.YES`, `Leg.NO` or `Kind.BINARY`, calculates with a payout, or
takes certainty (`.one`) from anything but the product. The products themselves know what they are,
and the folder of a venue knows what it trades, but for paper trading, which trades what another
venue has; the judges of the simulation and the contracts must not ask what they judge.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

from tests.kit.trees import parsed

REPOSITORY = Path(__file__).resolve().parents[3]
MAX = 7
KNOWS = (
    "engine/domain/products/", "engine/domain/legs.py", "engine/lab/simulate/",
    "storage/migrations/", "engine/contracts/",
    "engine/lab/recordings/btc5m.py",  # instruments of Polymarket's recorded lines
)  # fmt: skip
NAMED = {("Leg", "YES"), ("Leg", "NO"), ("Kind", "BINARY")}
SPELLED = re.compile(r"payout|\.\s*one\b|\b(YES|NO|BINARY)\b")
"""One of these stands in each source that names one."""


def _payout(node: ast.expr) -> bool:
    name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
    return "payout" in name


def named(text: str) -> list[str]:
    """Return what of a source names a leg, a payout or certainty."""
    if SPELLED.search(text) is None:
        return []
    tree = parsed(text)
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    found = []
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id=owner), attr=attr) if (owner, attr) in NAMED:
                found.append(ast.unparse(node))
            case ast.Attribute(value=owner, attr="one") if id(node) not in called:
                if not ast.unparse(owner).endswith("product"):
                    found.append(ast.unparse(node))
            case ast.BinOp(left=left, right=right) if _payout(left) or _payout(right):
                found.append(ast.unparse(node))
            case _:
                pass
    return found


def knows(name: str) -> bool:
    of_a_venue = name.count("/") > 2 and name.startswith("engine/venues/")
    return name.startswith(KNOWS) or (of_a_venue and not name.startswith("engine/venues/paper/"))


def places(root: Path) -> Counter[str]:
    found: Counter[str] = Counter()
    for room in ("engine", "storage", "pages"):
        for file in root.glob(f"{room}/**/*.py"):
            name = file.relative_to(root).as_posix()
            if not knows(name) and (count := len(named(file.read_text("utf-8")))):
                found[name] = count
    return found


def test_few_places_know_a_binary_without_asking_its_product() -> None:
    found = places(REPOSITORY)
    assert len(found) <= MAX, f"ask Instrument.product instead: {found}"


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("x = Leg.NO", 1),
        ("if order.leg is Leg.YES or kind is Kind.BINARY: pass", 2),
        ("price = instrument.one - price", 1),
        ("price = instrument.product.one - price", 0),
        ("rows.one(connection)", 0),
        ("worth = size * payout_micro // unit", 1),
        ("event.payout_yes_micro", 0),
        ("leg = Leg.BASE", 0),
    ],
)
def test_each_way_to_name_it_is_counted(text: str, count: int) -> None:
    assert len(named(text)) == count
