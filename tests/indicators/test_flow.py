from __future__ import annotations

import pytest

from engine.indicators.flow import FlowImbalance

S = 1_000_000_000


def test_buys_and_sells_of_equal_size_balance() -> None:
    flow = FlowImbalance(half_life_s=10)
    flow.take(5.0, S)
    flow.take(-5.0, S)
    assert flow.signed == 0.0
    assert flow.total == 10.0


def test_an_old_buy_weighs_half_after_the_half_life() -> None:
    flow = FlowImbalance(half_life_s=10)
    flow.take(6.0, 0)
    flow.take(-3.0, 10 * S)
    assert flow.signed == pytest.approx(0.0)
    assert flow.volume(20 * S) == pytest.approx(3.0)


def test_a_late_trade_counts_as_if_it_came_with_the_last() -> None:
    flow = FlowImbalance(half_life_s=10)
    flow.take(6.0, 10 * S)
    flow.take(6.0, 5 * S)
    assert flow.total == 12.0
    assert flow.at_ns == 10 * S
    assert flow.volume(9 * S) == 12.0
