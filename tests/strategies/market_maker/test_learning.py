from __future__ import annotations

from typing import Any

import pytest

S = 1_000_000_000
MS = 1_000_000
SHARE = 1_000_000


def test_lost_markouts_widen_the_quotes(make_stage: Any) -> None:
    stage = make_stage(
        markout_fills_min=1, skew_ticks_per_unit=0, event_jump_ticks=0, width_vol_multiplier=0
    )
    stage.warm()
    stage.fill(4800, 20, 2 * S + 1)
    stage.position = 20.0
    for second in range(3, 9):
        stage.book(4500, 4700, second * S)
        evaluation = stage.ask(second * S)
    parts = dict(evaluation.decision.build_up)
    assert parts["width_markout"] == pytest.approx(0.02)


@pytest.mark.parametrize(("leg_price", "moved"), [(4800, 20.0), (5200, 20.0), (5200, -20.0)])
def test_a_fill_gets_its_side_from_the_position_and_its_price_from_the_intent(
    make_stage: Any, leg_price: int, moved: float
) -> None:
    stage = make_stage(skew_ticks_per_unit=0)
    stage.warm()
    stage.fill(leg_price, 20, 2 * S + 1)
    stage.position = moved
    stage.ask(2 * S + 2)
    mark = stage.strategy._learned[stage.instrument.id].markouts.pending[0][0]
    assert mark.sign == (1 if moved > 0 else -1)
    assert mark.price == pytest.approx(0.48 if moved > 0 else 0.52)


def test_fills_both_ways_between_two_looks_are_not_marked(stage: Any) -> None:
    stage.warm()
    stage.fill(4800, 20, 2 * S + 1)
    stage.fill(5200, 5, 2 * S + 2)
    stage.position = 15.0
    stage.ask(2 * S + 3)
    markouts = stage.strategy._learned[stage.instrument.id].markouts
    assert markouts.waiting == 0
    assert markouts.dropped == 2
