"""Every kind of alert that is raised by its name has its row, and every row is raised.

A kind of a file of its own is raised by that file's constant.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from engine.domain.alerts import ALERT_KINDS, described
from engine.domain.alerts.raised import ROWS
from engine.domain.orders import MISSES, RejectReason
from engine.executor.ledger import Anomaly
from engine.risk.gate import BREAKERS
from tests.kit.trees import parsed

REPOSITORY = Path(__file__).resolve().parents[2]
RAISERS = {"RaiseAlert", "alarm", "alert", "caution", "_warn", "_about_bot", "Notes", "notes"}
CALLED = re.compile(rf"\b({'|'.join(sorted(RAISERS))})\s*\(")
KIND = re.compile(r"[a-z]+(_[a-z]+)*")


def literals() -> Iterator[str]:
    """Give every word that stands as a kind where an alert is raised."""
    files = [*REPOSITORY.glob("engine/**/*.py"), *REPOSITORY.glob("storage/*.py")]
    texts = [file.read_text(encoding="utf-8") for file in files]
    for text in texts:
        if CALLED.search(text) is None:
            continue
        tree = parsed(text)
        named = {
            target.id: node.value
            for node in tree.body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if name not in RAISERS:
                continue
            keywords = [one.value for one in node.keywords if one.arg == "kind"]
            for given in [*keywords, *node.args[:2]]:
                value = named.get(given.id, given) if isinstance(given, ast.Name) else given
                for one in ast.walk(value):
                    if isinstance(one, ast.Constant) and KIND.fullmatch(str(one.value)):
                        yield str(one.value)


def test_every_kind_that_is_raised_has_its_row() -> None:
    raised = set(literals()) | {str(one) for one in Anomaly}
    raised |= {f"rejected_{reason}" for reason in RejectReason if reason not in MISSES}
    raised |= {f"stop_{one.reason}" for one in BREAKERS}
    assert {row.name for row in ROWS} <= raised <= set(ALERT_KINDS)


def test_a_kind_of_an_older_version_is_called_as_it_was_stored() -> None:
    assert described("old_thing").title == "Old thing"
