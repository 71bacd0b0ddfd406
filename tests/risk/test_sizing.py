"""Sizing: an amount is within the capital, monotone where it should be, and right where known."""

from math import inf, log, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.risk.sizing import kelly_part, percent_of_capital, volatility_target

CAPITAL = st.integers(0, 10**17)
PART = st.floats(0, 1)
VOLATILITY = st.floats(1e-6, 10)


@given(CAPITAL, st.floats(0, 100))
def test_percent_is_within_the_capital(capital: int, percent: float) -> None:
    assert 0 <= percent_of_capital(capital, percent) <= capital


@given(CAPITAL, VOLATILITY, st.none() | st.floats())
def test_volatility_target_is_within_the_capital(
    capital: int, target: float, realised: float | None
) -> None:
    assert 0 <= volatility_target(capital, target, realised) <= capital


@given(CAPITAL, VOLATILITY, VOLATILITY, VOLATILITY)
def test_more_volatility_never_gives_more(capital: int, target: float, a: float, b: float) -> None:
    low, high = sorted((a, b))
    assert volatility_target(capital, target, high) <= volatility_target(capital, target, low)


@pytest.mark.parametrize("unknown", [None, nan, inf])
def test_unknown_volatility_gives_nothing(unknown: float | None) -> None:
    assert volatility_target(1_000, 0.2, unknown) == 0


def test_twice_the_target_volatility_gives_half() -> None:
    assert volatility_target(1_000, 0.2, 0.4) == 500


@given(st.floats(), st.floats())
def test_kelly_is_a_part_whatever_it_is_given(probability: float, price: float) -> None:
    assert 0.0 <= kelly_part(probability, price) <= 1.0


@given(PART, st.floats(0.01, 0.99))
def test_kelly_stakes_nothing_without_an_edge(probability: float, price: float) -> None:
    assert (kelly_part(probability, price) > 0.0) == (probability > price)


@given(st.floats(0.02, 0.98), st.floats(0.02, 0.98), st.floats(0.0, 0.999))
def test_no_other_stake_grows_faster_than_kellys(
    probability: float, price: float, other: float
) -> None:
    def growth(part: float) -> float:
        won, lost = 1.0 + part * (1.0 - price) / price, 1.0 - part
        return probability * log(won) + (1.0 - probability) * log(lost)

    assert growth(kelly_part(probability, price)) >= growth(other) - 1e-9
