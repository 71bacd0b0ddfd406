from __future__ import annotations

import pytest

from engine.domain.orders import OrderState
from engine.executor.order_machine import FINDINGS, TRANSITIONS, Happened
from storage.projection_order import MOVES, Told, moved

NOT_TOLD = {Happened.NAMED, Happened.NOT_LISTED}
"""A name moves nothing; what is not listed is the executor's own conclusion."""


@pytest.mark.parametrize(
    ("state", "happened"), [pair for pair in TRANSITIONS if pair[1] not in NOT_TOLD]
)
def test_rows_move_as_the_executor_does(state: OrderState, happened: Happened) -> None:
    assert moved(state, Told(happened.value)) is TRANSITIONS[state, happened]


@pytest.mark.parametrize("happened", FINDINGS)
def test_the_venues_word_on_an_unknown_order_is_a_finding(happened: Happened) -> None:
    after = TRANSITIONS[OrderState.UNKNOWN, FINDINGS[happened]]
    assert moved(OrderState.UNKNOWN, Told(happened.value)) is after


def test_everything_that_can_happen_is_told() -> None:
    assert {told.value for told in Told} == {h.value for h in Happened if h not in NOT_TOLD}
    assert set(MOVES) == set(Told)
