from __future__ import annotations

import pytest

from engine.lab.simulate.world import simulate


@pytest.mark.parametrize("seed", [1])
def test_a_world_without_faults_is_judged_sound(seed: int) -> None:
    outcome = simulate(seed, 1.0, faults=(), accounts=1)

    assert outcome.verdicts == ()
    assert outcome.counts["orders"] > 50
    assert outcome.counts["fills"] > 0


def test_the_same_seed_gives_the_same_run_byte_for_byte() -> None:
    assert simulate(3, 0.5, accounts=1) == simulate(3, 0.5, accounts=1)
