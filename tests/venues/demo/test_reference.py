"""The simulated reference price."""

from __future__ import annotations

from math import log, sqrt
from random import Random
from statistics import fmean, pstdev

import pytest
from msgspec.structs import replace

from engine.venues.demo.reference import Price, PriceSpec
from tests.venues.demo.builders import S

CALM = PriceSpec(vol_spread=0.0, jumps_per_hour=0.0)


def walked(spec: PriceSpec, seconds: int, seed: int = 1, oracle: bool = True) -> Price:
    price = Price(spec, Random(seed), 0)
    for second in range(1, seconds + 1):
        price.step(second * S, 1.0)
        if oracle:
            price.print_oracle(second * S)
    return price


def test_the_walk_has_the_volatility_it_was_given() -> None:
    price = Price(CALM, Random(2), 0)
    moves, before = [], log(price.latent)
    for second in range(1, 4_001):
        price.step(second * S, 1.0)
        moves.append(log(price.latent) - before)
        before = log(price.latent)
    assert pstdev(moves) * sqrt(31_557_600) == pytest.approx(CALM.vol_annual, rel=0.05)


def test_jumps_and_wandering_volatility_fatten_the_tails() -> None:
    def kurtosis(spec: PriceSpec) -> float:
        price = Price(spec, Random(3), 0)
        moves, before = [], log(price.latent)
        for second in range(1, 6_001):
            price.step(second * S, 1.0)
            moves.append(log(price.latent) - before)
            before = log(price.latent)
        mean, spread = fmean(moves), pstdev(moves)
        return fmean(((move - mean) / spread) ** 4 for move in moves)

    assert kurtosis(CALM) < 3.3
    assert kurtosis(PriceSpec()) > 4


def test_the_oracle_is_the_market_some_seconds_ago() -> None:
    price = Price(CALM, Random(4), 0)
    past = {0: round(price.latent * 1e8)}
    for second in range(1, 30):
        price.step(second * S, 1.0)
        past[second] = round(price.latent * 1e8)
        assert price.print_oracle(second * S) == past[max(second - 2, 0)]


def test_the_walk_is_ahead_of_every_print_as_far_as_it_is_told() -> None:
    plain, ahead = Price(CALM, Random(4), 0), replace(CALM, ahead_ns=3 * S, reference_lag_ns=S)
    early = Price(ahead, Random(4), 0)
    past = dict.fromkeys(range(-3, 1), plain.latent)
    for second in range(1, 30):
        for price in (plain, early):
            price.step(second * S, 1.0)
        past[second] = plain.latent
        assert early.latent == past[second - 3]
        assert early.print_oracle(second * S) == round(past[max(second - 5, 0)] * 1e8)


def test_a_reference_that_lags_prints_what_was() -> None:
    spec = replace(CALM, basis_bps=0.0, basis_spread_bps=0.0, noise_bps=0.0)
    price = Price(replace(spec, reference_lag_ns=2 * S), Random(4), 0)
    past = {0: price.latent}
    for second in range(1, 20):
        price.step(second * S, 1.0)
        past[second] = price.latent
        assert price.reference_e8() == round(past[max(second - 2, 0)] * 1e8)


def test_a_state_without_a_walk_ahead_is_gone_on_with() -> None:
    kept = walked(CALM, 30).snapshot()
    price = Price(replace(CALM, ahead_ns=4 * S), Random(1), 0)
    price.restore(kept)
    before = kept.past[-1][1]
    for second in range(31, 34):
        price.step(second * S, 1.0)
        assert price.latent == before


def test_the_chance_ahead_is_that_of_the_price_ahead() -> None:
    price = walked(replace(CALM, ahead_ns=5 * S), 60)
    strike_e8 = round((price.latent + price.coming) / 2 * 1e8)
    now, ahead = (
        price.chance_above(strike_e8, 120 * S, 30 * S, ahead=whether) for whether in (False, True)
    )
    assert (ahead > 0.5 > now) is (price.coming > price.latent)
    assert (ahead > 0.5) is not (now > 0.5)


def test_the_fast_reference_stands_a_basis_away() -> None:
    price = walked(PriceSpec(noise_bps=0.0, basis_spread_bps=0.0), 5)
    assert price.reference_e8() / 1e8 == pytest.approx(price.latent * 1.0009, rel=1e-9)


def test_the_mean_counts_the_prints_after_a_moment() -> None:
    price = walked(CALM, 40)
    values = [value for at_ns, value in price.snapshot().oracle if at_ns > 10 * S]
    assert len(values) == 30
    assert price.twap_e8(10 * S) == sum(values) // 30
    assert price.twap_e8(40 * S) is None


@pytest.mark.parametrize("seconds", [150, 285])
def test_the_chance_is_calibrated(seconds: int) -> None:
    """Of markets called p, a share of about p ends up; before and inside the final window."""
    called, ended = [], []
    for seed in range(160):
        price = walked(CALM, seconds, seed=seed)
        strike = round(CALM.start * 1e8)
        called.append(price.chance_above(strike, 300 * S, 30 * S))
        for second in range(seconds + 1, 301):
            price.step(second * S, 1.0)
            price.print_oracle(second * S)
        mean = price.twap_e8(270 * S)
        assert mean is not None
        ended.append(mean >= strike)
    assert fmean(called) == pytest.approx(fmean(ended), abs=0.08)
    brier = fmean((p - up) ** 2 for p, up in zip(called, ended, strict=True))
    expected = fmean(p * (1 - p) for p in called)
    assert brier == pytest.approx(expected, abs=0.04)


def test_the_chance_ends_at_certainty() -> None:
    price = walked(CALM, 303)
    final = price.twap_e8(270 * S)
    assert final is not None
    price = walked(CALM, 300)
    settled = price.twap_e8(270 * S)
    assert settled is not None
    assert price.chance_above(settled, 300 * S, 30 * S) == 1.0
    assert price.chance_above(settled * 2, 300 * S, 30 * S) == 0.0


def test_a_restored_price_goes_on_where_it_stood() -> None:
    price = walked(PriceSpec(), 50)
    other = Price(PriceSpec(), Random(), 0)
    other.restore(price.snapshot())
    assert other.latent == price.latent
    assert other.twap_e8(20 * S) == price.twap_e8(20 * S)
    assert other.sigma == price.sigma
