from __future__ import annotations

import random
from math import log, sqrt

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import BrokenInvariant
from engine.indicators.volatility import BlendedVolatility, EwmaVolatility, LogVolatility

S = 1_000_000_000


def test_nothing_is_known_before_two_samples() -> None:
    volatility = EwmaVolatility(half_life_s=60)
    assert volatility.variance_per_s is None
    volatility.take(100.0, 0)
    assert volatility.variance_per_s is None


def test_one_move_is_its_square_over_its_time() -> None:
    volatility = EwmaVolatility(half_life_s=60)
    volatility.take(100.0, 0)
    volatility.take(103.0, 2 * S)
    assert volatility.variance_per_s == pytest.approx(4.5)


def test_a_jump_does_not_depend_on_how_often_the_quiet_before_it_was_sampled() -> None:
    rough, fine = EwmaVolatility(half_life_s=1e9), EwmaVolatility(half_life_s=1e9)
    for second in range(0, 101, 50):
        rough.take(100.0, second * S)
    for tenth in range(1001):
        fine.take(100.0, tenth * S // 10)
    for volatility in (rough, fine):
        volatility.take(110.0, 101 * S)
        assert volatility.variance_per_s == pytest.approx(100 / 101, rel=1e-6)


def test_old_moves_halve_with_the_half_life() -> None:
    volatility = EwmaVolatility(half_life_s=10)
    volatility.take(0.0, 0)
    volatility.take(10.0, 1 * S)
    before = volatility.squares
    volatility.take(10.0, 11 * S)
    assert volatility.squares == pytest.approx(before / 2)


def test_samples_closer_than_the_minimum_carry_their_net_move_later() -> None:
    bouncing = EwmaVolatility(half_life_s=1e9, sample_ns_min=S)
    for tenth in range(101):
        bouncing.take(100.0 + tenth % 2, tenth * S // 10)
    assert bouncing.variance_per_s == 0.0
    bouncing.take(105.0, 11 * S)
    assert bouncing.variance_per_s == pytest.approx(25 / 11, rel=1e-6)


def test_a_late_sample_is_ignored() -> None:
    volatility = EwmaVolatility(half_life_s=60)
    volatility.take(100.0, 10 * S)
    volatility.take(200.0, 5 * S)
    volatility.take(100.0, 11 * S)
    assert volatility.variance_per_s == 0.0


def test_warm_up_counts_time_without_forgetting() -> None:
    volatility = EwmaVolatility(half_life_s=1)
    for second in range(61):
        volatility.take(100.0, second * S)
    assert volatility.observed_s >= 60
    assert volatility.observed_s < 61


def test_it_finds_the_sigma_of_a_random_walk() -> None:
    chance = random.Random(7)  # a seed of its own: the same walk in every run
    volatility = EwmaVolatility(half_life_s=100_000)
    price, now_ns = 60_000.0, 0
    for _ in range(20_000):
        elapsed_s = chance.uniform(0.05, 3.0)
        price += chance.gauss(0.0, 4.0 * sqrt(elapsed_s))
        now_ns += int(elapsed_s * S)
        volatility.take(price, now_ns)
    assert volatility.variance_per_s == pytest.approx(16.0, rel=0.05)


def test_log_volatility_samples_the_logarithm() -> None:
    volatility = LogVolatility(half_life_s=60)
    volatility.take(100.0, 0)
    volatility.take(101.0, S)
    assert volatility.variance_per_s == pytest.approx(log(1.01) ** 2)


@pytest.mark.parametrize("price", [0.0, -1.0, float("nan")])
def test_log_volatility_refuses_what_has_no_logarithm(price: float) -> None:
    with pytest.raises(BrokenInvariant):
        LogVolatility(half_life_s=60).take(price, 0)


@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.integers(0, 10**11)), min_size=2, max_size=40))
def test_variance_is_never_negative_and_state_survives(samples: list[tuple[float, int]]) -> None:
    volatility = EwmaVolatility(half_life_s=30)
    now_ns = 0
    for price, elapsed_ns in samples:
        now_ns += elapsed_ns
        volatility.take(price, now_ns)
    variance = volatility.variance_per_s
    assert variance is None or variance >= 0.0
    again = msgspec.msgpack.decode(msgspec.msgpack.encode(volatility), type=EwmaVolatility)
    again.take(5.0, now_ns + S)
    volatility.take(5.0, now_ns + S)
    assert again == volatility


def test_a_silence_warms_nothing_up() -> None:
    volatility = EwmaVolatility(half_life_s=300)
    for second in range(70):
        volatility.take(100.0 + second % 2, second * S)
    assert volatility.observed_s >= 60
    # An hour later the price happens to stand where it stood: one return says nothing.
    volatility.take(101.0, 3_669 * S)
    assert volatility.observed_s < 60
    for second in range(61):
        volatility.take(100.0 + second % 2, (3_669 + 1 + second) * S)
    assert volatility.observed_s >= 60
    assert volatility.variance_per_s == pytest.approx(1.0, rel=0.05)


def test_a_blend_is_the_mean_of_a_short_and_a_long_memory() -> None:
    blend = BlendedVolatility(LogVolatility(half_life_s=10), LogVolatility(half_life_s=1_000))
    assert blend.variance_per_s is blend.regime is None
    for second in range(200):
        blend.take(100.0 + (second % 2) * (0.1 if second < 100 else 1.0), second * S)
    short, long = blend.short.variance_per_s, blend.long.variance_per_s
    assert short is not None
    assert long is not None
    assert blend.variance_per_s == pytest.approx((short + long) / 2)
    assert blend.regime == pytest.approx(sqrt(short / long))
    assert blend.regime > 1.0
