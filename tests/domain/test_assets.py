from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.assets import AMOUNT_MAX, Asset, Money, asset
from engine.errors import BadInput, BrokenInvariant

BTC = asset("BTC")
texts = st.decimals(min_value=-9, max_value=9, allow_nan=False, allow_infinity=False).filter(
    lambda value: len(str(value)) < 100
)
decimals = st.integers(0, 18)


def test_a_fee_of_twelve_satoshi_is_twelve_satoshi() -> None:
    fee = Money.paid(BTC, "0.00000012")

    assert (fee.amount, fee.text) == (12, "0.00000012 BTC")
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(fee), type=Money) == fee


@given(texts, decimals)
def test_what_is_finer_than_the_asset_is_rounded_against_us(value: Decimal, places: int) -> None:
    of = Asset("X", places)
    unit = Fraction(1, 10**places)

    paid = Fraction(Money.paid(of, value).amount) * unit
    received = Fraction(Money.received(of, value).amount) * unit

    assert 0 <= paid - Fraction(value) < unit
    assert 0 <= Fraction(value) - received < unit


@given(st.integers(-AMOUNT_MAX, AMOUNT_MAX), decimals)
def test_what_is_written_is_read_back_to_the_last_unit(amount: int, places: int) -> None:
    of = Asset("X", places)
    assert Money.paid(of, of.text(amount)) == Money.received(of, of.text(amount))
    assert Money.paid(of, of.text(amount)).amount == amount


@given(st.integers(-(10**12), 10**12), st.integers(0, 8), st.integers(0, 8))
def test_an_amount_in_other_decimals_is_never_less_than_it_was(
    amount: int, places: int, others: int
) -> None:
    there = Money(Asset("X", places), amount).paid_in(others)
    assert 0 <= Fraction(there, 10**others) - Fraction(amount, 10**places) < Fraction(1, 10**others)


def test_two_assets_have_no_sum() -> None:
    assert Money(BTC, 1) + -Money(BTC, 3) == Money(BTC, -2)
    with pytest.raises(BrokenInvariant, match="no sum"):
        Money(BTC, 1) + Money(asset("BNB"), 1)


@pytest.mark.parametrize("text", ["", "nan", "inf", "1e99", "0.1.2", "92233720368.54775808"])
def test_what_is_no_amount_of_the_asset_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="BTC"):
        Money.paid(BTC, text)


def test_the_largest_amount_is_int64() -> None:
    assert BTC.largest == "92233720368.54775807"
    assert Money.paid(BTC, BTC.largest).amount == AMOUNT_MAX
    with pytest.raises(BadInput, match="decimals are 0 to 18"):
        Asset("WEI", 19)
    with pytest.raises(BadInput, match="cannot be called"):
        asset("")
