from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from engine.lab.simulate.world import simulate


def beside(name: str) -> ModuleType:
    """Return a module beside this one: tests are no package."""
    path = Path(__file__).with_name(f"{name}.py")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MUTANTS = beside("mutants").MUTANTS
QUICK = {
    "it sends what the journal has not named",
    "the complement's price is not 1 minus p",
    "it trades before the venue was asked",
    "a status goes back to SENT",
    "a cancel that was only sent releases",
    "two `not found` end a row",
    "a resolution pays at once",
    "two owners cross",
    "a fill is another owner's",
    "a pair's fee is dropped",
    "the exchange makes bitcoins",
}
"""Caught within seconds of simulated time: these are shown with every change."""


def caught_by(mutant: Any, patch: pytest.MonkeyPatch) -> tuple[int, str, str]:
    """Return the seed that caught it, the judge, and its words."""
    with patch.context() as patched:
        mutant.apply(patched)
        for seed in range(1, mutant.seeds_max + 1):
            outcome = simulate(seed, mutant.minutes, faults=mutant.faults, spot=mutant.spot)
            if outcome.verdicts:
                return seed, outcome.verdicts[0].judge, outcome.verdicts[0].text
    return 0, "", "nobody spoke"


@pytest.mark.parametrize("mutant", [m for m in MUTANTS if m.name in QUICK], ids=lambda m: m.name)
def test_a_wrong_engine_is_caught_at_once(mutant: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert caught_by(mutant, monkeypatch)[0]


@pytest.mark.soak
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.name)
def test_a_wrong_engine_is_caught(mutant: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seed, judge, text = caught_by(mutant, monkeypatch)
    assert seed, f"{mutant.name}: not caught in {mutant.seeds_max} seeds"
    print(f"| {mutant.name} | seed {seed} of {mutant.seeds_max} | {judge} | {text[:60]} |")
