"""Every gate a strategy looks at has words, and says what it waits for when it fails."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from engine.domain.decisions import Gate
from pages.shared.gate_words import GATES, against, condition

STRATEGIES = Path(__file__).resolve().parents[2] / "engine" / "strategies"


def gates_of_the_house() -> set[str]:
    """Read the first argument of every `Gate(…)` and `_flag(…)` of the strategies."""
    found: set[str] = set()
    for path in STRATEGIES.rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text())):
            if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
                continue
            if call.func.id not in ("Gate", "_flag") or not call.args:
                continue
            name = call.args[0]
            if isinstance(name, ast.Constant):
                found.add(str(name.value))
            elif isinstance(name, ast.JoinedStr):  # `_fresh` is asked for these two
                last = name.values[-1]
                assert isinstance(last, ast.Constant)
                found |= {f"{view}{last.value}" for view in ("oracle", "reference")}
    return found


def test_every_gate_of_the_strategies_has_words_and_no_other() -> None:
    assert gates_of_the_house() == set(GATES)


@pytest.mark.parametrize(
    ("gate", "words"),
    [
        (Gate("data_age_ms", False, 12_000.0, 5_000.0),
         "the book is heard again (stale 12 s > 5.0 s)"),
        (Gate("healthy", False, 0.0, 1.0), "the account may place again"),
        (Gate("started", False, -90.0, 0.0), "the window begins (in 90 s)"),
        (Gate("not_closing", False, -3.0, 0.0),
         "the market were not about to close (its stop was 3.0 s ago)"),
        (Gate("basis_ready", False, 4.0, 10.0),
         "oracle and reference were compared more often (4 of 10 pairs)"),
        (Gate("fair_gap", False, 0.31, 0.25),
         "fair value and book agree again (apart 0.31 > 0.25)"),
        (Gate("own_thing", False, 1.0, 2.0), "own thing holds (1 against 2)"),
    ],
)  # fmt: skip
def test_a_failed_gate_says_what_it_waits_for(gate: Gate, words: str) -> None:
    assert condition(gate) == f"would quote if: {words}"


@pytest.mark.parametrize("name", sorted(GATES))
def test_every_gate_tells_its_condition_without_a_hole(name: str) -> None:
    told = condition(Gate(name, False, 2.0, 1.0))
    assert told.startswith("would quote if: ")
    assert "{" not in told + against(Gate(name, True, 1.0, 2.0))
