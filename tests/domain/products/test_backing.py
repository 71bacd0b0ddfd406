"""What a perpetual can lose after one more order: the same figure that risk counts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.domain.instruments import Kind, Leg, Side
from engine.domain.products.backing import worst_after
from engine.risk.exposure import Worst
from tests.executor.conftest import Build

PERPETUAL = Build().spot("venue:BTC/USD:USD", kind=Kind.PERPETUAL)
orders = st.tuples(st.sampled_from(Side), st.integers(1, 10**6), st.integers(1, 10**6))


@given(st.integers(-(10**9), 10**9), st.lists(orders, max_size=4), orders)
def test_it_is_what_risk_would_count_with_the_order_live(
    cost: int, live: list[tuple[Side, int, int]], one: tuple[Side, int, int]
) -> None:
    worst = Worst(PERPETUAL)
    worst.held_yes, worst.held_no = -cost, cost
    losses = dict.fromkeys(Side, 0)
    for side, price, size in live:
        loss = worst.loss_micro(Leg.BASE, side, price, size, True)
        losses[side] += loss
        if worst.hurts_yes(Leg.BASE, side):
            worst.live_yes += loss
        else:
            worst.live_no += loss
    worst.grow()
    side, price, size = one
    order = worst.loss_micro(Leg.BASE, side, price, size, True)
    risk = worst.would_be_micro(Leg.BASE, side, price, size, True)
    assert worst_after(worst.micro, cost, losses[side], order, side) == max(risk, worst.micro)
