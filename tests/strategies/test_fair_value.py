from __future__ import annotations

import random
from math import inf, nan, sqrt
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.strategies.fair_value import (
    Tails,
    normal_cdf,
    probability,
    probability_slope,
    settlement_mean,
    settlement_variance,
    student_cdf,
)

prices = st.floats(1.0, 1e6)
variances = st.floats(1e-6, 1e9)


@given(st.floats(-8, 8))
def test_phi_agrees_with_the_standard_library(z: float) -> None:
    assert normal_cdf(z) == pytest.approx(NormalDist().cdf(z), rel=1e-9, abs=1e-15)


def test_the_far_tail_is_small_not_zero() -> None:
    assert 0.0 < normal_cdf(-20.0) < 1e-80


@given(prices, prices, variances)
def test_probability_is_a_probability(mean: float, strike: float, variance: float) -> None:
    chance = probability(mean=mean, strike=strike, variance=variance)
    assert chance is not None
    assert 0.0 <= chance <= 1.0


@given(prices, prices, prices, variances)
def test_probability_rises_with_the_price(
    one: float, other: float, strike: float, variance: float
) -> None:
    low = probability(mean=min(one, other), strike=strike, variance=variance)
    high = probability(mean=max(one, other), strike=strike, variance=variance)
    assert low is not None
    assert high is not None
    assert low <= high


@given(st.floats(100, 1e5), st.floats(0, 99), variances)
def test_above_and_below_the_strike_mirror(strike: float, gap: float, variance: float) -> None:
    above = probability(mean=strike + gap, strike=strike, variance=variance)
    below = probability(mean=strike - gap, strike=strike, variance=variance)
    assert above is not None
    assert below is not None
    assert above + below == pytest.approx(1.0, abs=1e-9)


def test_at_the_strike_it_is_a_coin() -> None:
    assert probability(mean=100, strike=100, variance=4) == 0.5


@pytest.mark.parametrize(("mean", "expected"), [(100.0, 1.0), (99.999, 0.0), (101.0, 1.0)])
def test_without_variance_the_strike_decides_and_a_tie_is_up(mean: float, expected: float) -> None:
    assert probability(mean=mean, strike=100.0, variance=0.0) == expected


@given(st.floats(0, 1e4), st.floats(1e-3, 600), variances)
def test_settlement_variance_is_continuous_where_the_window_begins(
    spread: float, window_s: float, rate: float
) -> None:
    at = settlement_variance(variance_per_s=rate, to_close_s=window_s, window_s=window_s)
    before = settlement_variance(
        variance_per_s=rate, to_close_s=window_s * (1 + 1e-9), window_s=window_s
    )
    inside = settlement_variance(
        variance_per_s=rate, to_close_s=window_s * (1 - 1e-9), window_s=window_s
    )
    assert at == pytest.approx(rate * window_s / 3, rel=1e-6)
    assert before == pytest.approx(at, rel=1e-6)
    assert inside == pytest.approx(at, rel=1e-6)
    mean_in = settlement_mean(
        spot=100 + spread, realised_average=100.0, to_close_s=window_s, window_s=window_s
    )
    assert mean_in == 100 + spread


@given(st.floats(0, 1e4), st.floats(0, 1e4), st.floats(0, 600), variances)
def test_settlement_variance_grows_with_the_time_left(
    one: float, other: float, window_s: float, rate: float
) -> None:
    near = settlement_variance(variance_per_s=rate, to_close_s=min(one, other), window_s=window_s)
    far = settlement_variance(variance_per_s=rate, to_close_s=max(one, other), window_s=window_s)
    assert near is not None
    assert far is not None
    assert near <= far * (1 + 1e-9)


def test_without_a_window_it_is_the_closing_price() -> None:
    assert settlement_variance(variance_per_s=4, to_close_s=9, window_s=0) == 36
    assert settlement_variance(variance_per_s=4, to_close_s=0, window_s=0) == 0
    assert settlement_mean(spot=7, realised_average=None, to_close_s=0, window_s=0) == 7


def test_at_the_close_only_the_realised_average_is_left() -> None:
    mean = settlement_mean(spot=200.0, realised_average=150.0, to_close_s=0, window_s=30)
    assert mean == 150.0
    assert settlement_variance(variance_per_s=4, to_close_s=0, window_s=30) == 0.0


@pytest.mark.parametrize("to_close_s", [75.0, 30.0, 12.0])
def test_mean_and_variance_agree_with_simulated_paths(to_close_s: float) -> None:
    chance = random.Random(11)
    spot, realised, sigma, window_s, step_s = 1000.0, 995.0, 3.0, 30.0, 0.5
    settled = []
    for _ in range(1_500):
        price, integral = spot, max(0.0, window_s - to_close_s) * realised
        for step in range(int(to_close_s / step_s)):
            left_s = to_close_s - step * step_s
            moved = price + chance.gauss(0.0, sigma * sqrt(step_s))
            if left_s <= window_s:
                integral += (price + moved) / 2 * step_s
            price = moved
        settled.append(integral / window_s)
    mean = sum(settled) / len(settled)
    variance = sum((x - mean) ** 2 for x in settled) / len(settled)
    expected_mean = settlement_mean(
        spot=spot, realised_average=realised, to_close_s=to_close_s, window_s=window_s
    )
    expected = settlement_variance(
        variance_per_s=sigma * sigma, to_close_s=to_close_s, window_s=window_s
    )
    assert expected is not None
    assert mean == pytest.approx(expected_mean, abs=4 * sqrt(expected / len(settled)))
    assert variance == pytest.approx(expected, rel=0.15)


@pytest.mark.parametrize("bad", [nan, inf, -inf])
def test_what_is_not_finite_is_refused(bad: float) -> None:
    assert probability(mean=bad, strike=1, variance=1) is None
    assert probability(mean=1, strike=bad, variance=1) is None
    assert probability(mean=1, strike=1, variance=bad) is None
    assert probability_slope(mean=bad, strike=1, variance=1) is None
    assert settlement_variance(variance_per_s=bad, to_close_s=1, window_s=0) is None
    assert settlement_variance(variance_per_s=1, to_close_s=bad, window_s=0) is None
    assert settlement_mean(spot=bad, realised_average=1, to_close_s=1, window_s=0) is None
    assert settlement_mean(spot=1, realised_average=bad, to_close_s=1, window_s=2) is None


def test_what_is_negative_or_missing_is_refused() -> None:
    assert probability(mean=1, strike=1, variance=-1) is None
    assert probability_slope(mean=1, strike=1, variance=0) is None
    assert settlement_variance(variance_per_s=-1, to_close_s=1, window_s=0) is None
    assert settlement_variance(variance_per_s=1, to_close_s=-1, window_s=0) is None
    assert settlement_variance(variance_per_s=1, to_close_s=1, window_s=-1) is None
    assert settlement_mean(spot=1, realised_average=None, to_close_s=1, window_s=2) is None
    assert settlement_mean(spot=1, realised_average=1, to_close_s=-1, window_s=2) is None


@given(st.floats(90, 110), st.floats(90, 110), st.floats(0.1, 1e3))
def test_slope_is_the_derivative(mean: float, strike: float, variance: float) -> None:
    step = 1e-4 * sqrt(variance)
    up = probability(mean=mean + step, strike=strike, variance=variance)
    down = probability(mean=mean - step, strike=strike, variance=variance)
    slope = probability_slope(mean=mean, strike=strike, variance=variance)
    assert up is not None
    assert down is not None
    assert slope == pytest.approx((up - down) / (2 * step), rel=1e-3, abs=1e-9)


@pytest.mark.parametrize(
    ("t", "chance"), [(0.0, 0.5), (1.533, 0.90), (2.776, 0.975), (-4.604, 0.005)]
)
def test_student_agrees_with_the_printed_table(t: float, chance: float) -> None:
    assert student_cdf(t) == pytest.approx(chance, abs=1e-4)


@given(st.floats(-1e9, 1e9))
def test_student_is_a_probability_and_mirrors(t: float) -> None:
    assert 0.0 <= student_cdf(t) <= 1.0
    assert student_cdf(t) + student_cdf(-t) == pytest.approx(1.0)


def test_fat_tails_are_less_sure_far_from_the_strike() -> None:
    far = {
        tails: probability(mean=103.0, strike=100.0, variance=1.0, tails=tails) for tails in Tails
    }
    assert (far[Tails.STUDENT] or 1.0) < (far[Tails.NORMAL] or 0.0)


@pytest.mark.parametrize("tails", list(Tails))
@pytest.mark.parametrize("mean", [95.0, 100.0, 100.4, 107.0])
def test_the_slope_is_the_derivative_with_either_tail(mean: float, tails: Tails) -> None:
    near = [
        probability(mean=mean + step, strike=100.0, variance=9.0, tails=tails) or 0.0
        for step in (-1e-4, 1e-4)
    ]
    slope = probability_slope(mean=mean, strike=100.0, variance=9.0, tails=tails)
    assert slope == pytest.approx((near[1] - near[0]) / 2e-4, rel=1e-5)
