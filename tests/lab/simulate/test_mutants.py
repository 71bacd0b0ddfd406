from __future__ import annotations

import pytest

from engine.lab.simulate.world import simulate
from tests.lab.simulate.crash_mutants import MUTANTS as OF_CRASHES
from tests.lab.simulate.mutants import MUTANTS as OF_BINARIES
from tests.lab.simulate.mutants import Mutant
from tests.lab.simulate.perpetual_mutants import MUTANTS as OF_PERPETUALS

MUTANTS = (*OF_BINARIES, *OF_CRASHES, *OF_PERPETUALS)
QUICK = {
    "a tick is one turn",
    "a clean-up loses the tape",
    "a clean-up ends the engine",
    "no clean-up",
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
    "all money is one",
    "the exchange makes bitcoins",
    "a position's fill is booked twice",
    "a short is no exposure",
    "positions take no margin",
    "a part's close releases all its margin",
    "a flip costs all its fill",
    "no order is too near to liquidation",
    "orders take no margin",
    "owners of positions are merged",
    "a transfer moves one position",
    "funding is booked twice",
    "missed funding stays missed",
    "funding is whoever is first",
    "late funding is of who holds now",
    "a late fill has no part of its funding",
    "a start forgets what was paid",
    "a liquidation is booked twice",
    "a liquidation is whoever is first",
    "a late fill reopens what is closed",
    "a liquidation takes more than is held",
    "no fund takes over",
    "a tier too low",
    "a tier too high",
    "a third asset's fee is dropped",
    "a fee of what came is dropped",
    "an end by a fault takes a silent venue for a clean one",
    "an end by a fault cancels nothing",
    "an end by a fault trades on",
    "an end by a fault is cut short",
    "an end is not journaled",
}
"""Caught within seconds of simulated time: these are shown with every change."""

NO_LAW = ("TypeError", "AttributeError", "NameError", "KeyError", "ValueError")
"""What a mutant dies of that does not fit the code it stands in for any more."""


def caught_by(mutant: Mutant, patch: pytest.MonkeyPatch) -> tuple[int, str, str]:
    """Return the seed that caught it, the judge, and its words."""
    with patch.context() as patched:
        mutant.apply(patched)
        for seed in range(mutant.first, mutant.first + mutant.seeds_max):
            outcome = simulate(
                seed,
                mutant.minutes,
                mutant.faults,
                mutant.accounts,
                spot=mutant.spot,
                perp=mutant.perp,
                crowd=mutant.crowd,
            )
            if outcome.verdicts:
                said = outcome.verdicts[0]
                assert not said.text.startswith(NO_LAW), f"the mutant itself broke: {said.text}"
                return seed, said.judge, said.text
    return 0, "", "nobody spoke"


@pytest.mark.sampled(2)
@pytest.mark.parametrize("mutant", [m for m in MUTANTS if m.name in QUICK], ids=lambda m: m.name)
def test_a_wrong_engine_is_caught_at_once(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    assert caught_by(mutant, monkeypatch)[0]


@pytest.mark.soak
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.name)
def test_a_wrong_engine_is_caught(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    seed, judge, text = caught_by(mutant, monkeypatch)
    assert seed, f"{mutant.name}: not caught in {mutant.seeds_max} seeds"
    print(f"| {mutant.name} | seed {seed} of {mutant.seeds_max} | {judge} | {text[:60]} |")
