from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.indicators.twap import TwapAccumulator

S = 1_000_000_000


def test_nothing_before_the_window_counts() -> None:
    twap = TwapAccumulator(start_ns=10 * S, end_ns=40 * S)
    twap.take(1.0, 0)
    twap.take(5.0, 9 * S)
    assert twap.average(10 * S) is None
    assert twap.average(20 * S) == (5.0, 10 * S)


def test_each_price_holds_until_the_next() -> None:
    twap = TwapAccumulator(start_ns=0, end_ns=30 * S)
    twap.take(1.0, 0)
    twap.take(4.0, 10 * S)
    known = twap.average(30 * S)
    assert known is not None
    assert known[0] == pytest.approx((1 * 10 + 4 * 20) / 30)
    assert known[1] == 30 * S


def test_what_is_not_covered_is_told_not_filled() -> None:
    twap = TwapAccumulator(start_ns=0, end_ns=30 * S)
    twap.take(2.0, 20 * S)
    assert twap.average(30 * S) == (2.0, 10 * S)


def test_nothing_after_the_window_counts() -> None:
    twap = TwapAccumulator(start_ns=0, end_ns=10 * S)
    twap.take(1.0, 0)
    twap.take(9.0, 10 * S)
    twap.take(99.0, 20 * S)
    assert twap.average(50 * S) == (1.0, 10 * S)


def test_a_late_price_is_ignored() -> None:
    twap = TwapAccumulator(start_ns=0, end_ns=10 * S)
    twap.take(1.0, 5 * S)
    twap.take(9.0, 3 * S)
    assert twap.average(10 * S) == (1.0, 5 * S)


@given(
    st.lists(st.tuples(st.floats(1, 1e6), st.integers(1, 5 * S)), min_size=1, max_size=30),
    st.integers(0, 120 * S),
)
def test_the_average_lies_among_its_prices(steps: list[tuple[float, int]], until_ns: int) -> None:
    twap = TwapAccumulator(start_ns=10 * S, end_ns=40 * S)
    now_ns = 0
    for price, elapsed_ns in steps:
        now_ns += elapsed_ns
        twap.take(price, now_ns)
    known = twap.average(max(now_ns, until_ns))
    if known is not None:
        prices = [price for price, _ in steps]
        assert min(prices) * (1 - 1e-9) <= known[0] <= max(prices) * (1 + 1e-9)
        assert 0 < known[1] <= 30 * S


def test_a_price_holds_no_longer_than_it_is_believed() -> None:
    twap = TwapAccumulator(start_ns=0, end_ns=30 * S, held_ns=10 * S)
    twap.take(1.0, -3_600 * S)
    twap.take(4.0, 20 * S)
    assert twap.covered_ns == 0
    assert twap.average(25 * S) == (4.0, 5 * S)
    twap.take(6.0, 40 * S)
    assert twap.average(40 * S) == (4.0, 10 * S)
