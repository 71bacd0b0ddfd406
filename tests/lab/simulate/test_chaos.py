from __future__ import annotations

from collections.abc import Callable

import pytest

from engine.lab.simulate.engine_run import EngineRun
from engine.lab.simulate.network import Redeeming
from engine.lab.simulate.world import MINUTE, World

REDEEMING = 82
"""A seed whose account trades and redeems while all is well."""

DEATHS: dict[str, Callable[[EngineRun], None]] = {
    "journaling": lambda run: setattr(run.journal, "dies_in", 60),
    "sending": lambda run: setattr(run.network, "sending_dies", True),
    "redeeming": lambda run: setattr(run.network, "redeeming_dies", Redeeming.MINED),
}


@pytest.mark.long
@pytest.mark.parametrize("death", DEATHS)
def test_a_death_that_waits_for_its_moment_is_taken_back_when_all_is_to_be_well(death: str) -> None:
    world = World(REDEEMING, faults=(), accounts=1)
    (account,) = world.accounts

    def want() -> None:
        assert account.engine_run is not None
        DEATHS[death](account.engine_run)

    world.later(world.exchange.now_ns + MINUTE // 2, want)
    outcome = world.run(0.5)

    assert outcome.verdicts == ()
    assert outcome.counts["redeemed"] > 0  # each death would have had its moment
    assert outcome.counts["starts"] == 1
