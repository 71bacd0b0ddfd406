from __future__ import annotations

import pytest

from engine.lab.simulate.world import simulate


@pytest.mark.parametrize("seed", [1, 2])
def test_a_world_without_faults_is_judged_sound(seed: int) -> None:
    outcome = simulate(seed, 1.0, faults=())

    assert outcome.verdicts == ()
    assert outcome.counts["orders"] > 100
    assert outcome.counts["fills"] > 3


def test_the_same_seed_gives_the_same_run_byte_for_byte() -> None:
    assert simulate(3, 1.0) == simulate(3, 1.0)
