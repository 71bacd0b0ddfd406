from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.feeds.counts import BadFrame
from engine.venues.polymarket.market.numbers import units


@given(st.integers(0, 10**12 - 1), st.integers(0, 6))
def test_units_are_exact(number, decimals):
    text = format(Decimal(number).scaleb(-decimals), "f")
    assert units(text, 6, "size") == number * 10 ** (6 - decimals)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0.48", 480_000), (".48", 480_000), ("7", 7_000_000), ("1.2500000000", 1_250_000)],
)
def test_ways_of_writing_a_number(text, expected):
    assert units(text, 6, "size") == expected


@pytest.mark.parametrize(
    "text", ["", ".", "1.", "+1", "1e3", "NaN", "inf", "1_0", " 1", "٣", "1.2.3", "²", "9" * 13]
)
def test_what_is_no_plain_decimal_is_refused(text):
    with pytest.raises(BadFrame, match="size not a number"):
        units(text, 6, "size")


def test_finer_than_an_increment_is_refused_not_rounded():
    with pytest.raises(BadFrame, match="too fine"):
        units("0.0000001", 6, "size")


def test_negative_is_named_so():
    with pytest.raises(BadFrame, match="size negative"):
        units("-3", 6, "size")
