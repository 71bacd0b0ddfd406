from __future__ import annotations

from itertools import product

import pytest

from engine.domain.fills import FillState
from engine.errors import InvalidTransition
from engine.executor.fills import FILL_ENDS, TRANSITIONS, advance

F = FillState


@pytest.mark.parametrize(("state", "told"), list(product(FillState, FillState)))
def test_the_whole_product_moves_by_the_table_or_raises(state: FillState, told: FillState) -> None:
    if (state, told) in TRANSITIONS:
        assert advance(state, told) is TRANSITIONS[state, told]
    else:
        with pytest.raises(InvalidTransition, match=f"{state} was reported as {told}"):
            advance(state, told)


@pytest.mark.parametrize("state", list(FillState))
def test_the_same_status_twice_changes_nothing(state: FillState) -> None:
    assert advance(state, state) is state


def test_only_the_two_contradictions_are_missing() -> None:
    missing = set(product(FillState, FillState)) - set(TRANSITIONS)

    assert missing == {(F.CONFIRMED, F.FAILED), (F.FAILED, F.CONFIRMED)}


@pytest.mark.parametrize("end", sorted(FILL_ENDS))
def test_a_decided_fill_stays_decided(end: FillState) -> None:
    assert all(after is end for (state, _), after in TRANSITIONS.items() if state is end)


@pytest.mark.parametrize("state", [F.MATCHED, F.MINED, F.RETRYING])
def test_every_provisional_state_can_end_either_way(state: FillState) -> None:
    assert advance(state, F.CONFIRMED) is F.CONFIRMED
    assert advance(state, F.FAILED) is F.FAILED
