from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain import money
from engine.domain.settings import Limit

numerators = st.integers(-(10**24), 10**24)
denominators = st.integers(1, 10**15)
amounts = st.integers(0, 10**18)
steps = st.integers(1, 10**9)


@given(numerators, denominators)
def test_floor_division_is_the_largest_integer_not_above(numerator, denominator):
    quotient = money.floor_div(numerator, denominator)
    assert quotient <= Fraction(numerator, denominator) < quotient + 1


@given(numerators, denominators)
def test_ceil_division_is_the_smallest_integer_not_below(numerator, denominator):
    quotient = money.ceil_div(numerator, denominator)
    assert quotient - 1 < Fraction(numerator, denominator) <= quotient


@given(numerators, denominators)
def test_half_even_division_agrees_with_exact_fractions(numerator, denominator):
    assert money.round_half_even_div(numerator, denominator) == round(
        Fraction(numerator, denominator)
    )


@given(amounts, steps)
def test_flooring_to_a_lot_never_enlarges_and_loses_less_than_a_lot(size, lot):
    floored = money.floor_to_lot(size, lot)
    assert floored % lot == 0
    assert 0 <= size - floored < lot


@given(amounts, steps)
def test_a_bid_never_pays_more_and_an_ask_never_gets_less_after_rounding(price, tick):
    assert money.floor_to_tick(price, tick) <= price <= money.ceil_to_tick(price, tick)
    assert money.floor_to_tick(price, tick) % tick == 0
    assert money.ceil_to_tick(price, tick) % tick == 0
    assert money.ceil_to_tick(price, tick) - money.floor_to_tick(price, tick) in {0, tick}


@given(amounts, st.integers(1, money.PPM))
def test_a_share_of_an_amount_is_rounded_down_and_never_above_the_whole(amount, ppm):
    part = Limit(percent=ppm / 10_000).micro(amount)
    assert part <= Fraction(amount * ppm, money.PPM) < part + 1
    assert part <= amount


@pytest.mark.parametrize(
    ("value", "text"),
    [("10.000000", "10"), ("0.50", "0.5"), ("0E-6", "0"), ("1E+3", "1000"), ("-2.10", "-2.1")],
)
def test_a_number_is_written_without_exponent_and_without_zeros_at_its_end(
    value: str, text: str
) -> None:
    assert money.written(Decimal(value)) == text


def test_money_is_written_to_the_micro_unit() -> None:
    assert [money.money_text(one) for one in (10_000_000, 1, -1_500_000, 0)] == [
        "10",
        "0.000001",
        "-1.5",
        "0",
    ]
