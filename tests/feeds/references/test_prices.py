from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.feeds.counts import BadFrame, FeedCounts
from engine.feeds.references import sources
from engine.feeds.references.sources import Latest, iso_ns, price_e8, scaled_e8


@given(st.integers(1, 10**10), st.integers(0, 8))
def test_eight_decimals_are_exact(number, decimals):
    text = format(Decimal(number).scaleb(-decimals), "f")
    assert price_e8(text) == number * 10 ** (8 - decimals)


@given(st.integers(10**11, 10**26))
def test_chainlinks_eighteen_decimals_are_rounded_half_to_even(number):
    exact = int(Decimal(number).scaleb(-10).to_integral_value("ROUND_HALF_EVEN"))
    assert scaled_e8(str(number), 18) == exact


@pytest.mark.parametrize(
    ("digits", "expected"), [("15000000000", 2), ("25000000000", 2), ("25000000001", 3)]
)
def test_half_goes_to_even(digits, expected):
    assert scaled_e8(digits, 18) == expected


def test_negative_scale_multiplies():
    assert scaled_e8("5", -3) == 5_000 * 10**8


@pytest.mark.parametrize("text", ["", "-1", "nan", "1e5", "0", "0.000000001", "9" * 61, "+1"])
def test_what_is_no_price_is_refused(text):
    with pytest.raises(BadFrame, match="price"):
        price_e8(text)


def test_absurd_scale_is_refused():
    with pytest.raises(BadFrame, match="scale"):
        scaled_e8("1", 10**9)


def test_iso_times_are_exact_to_the_nanosecond():
    assert iso_ns("2026-04-29T02:10:52.233043Z") == 1_777_428_652_233_043_000
    assert iso_ns("2026-04-29T02:10:52.000000001Z") == 1_777_428_652_000_000_001


@pytest.mark.parametrize("text", ["", "Z", "2026-04-29T02:10:52", "2026-04-29T02:10:52.xZ", "x.1Z"])
def test_time_without_zone_or_sense_is_refused(text):
    with pytest.raises(BadFrame, match="time not readable"):
        iso_ns(text)


def test_a_time_of_next_year_does_not_make_every_later_price_old():
    latest = Latest(FeedCounts())
    latest.now_ns = now_ns = 1_795_575_000 * 10**9
    with pytest.raises(BadFrame, match="in the future"):
        latest.take("binance:btcusdt", 1, now_ns + 366 * 86_400 * 10**9)
    assert latest.take("binance:btcusdt", 1, now_ns)


def test_price_never_goes_back_in_time():
    counts = FeedCounts()
    latest = Latest(counts)
    assert latest.take("a", 1, 10)[0].exchange_ns == 10
    assert latest.take("a", 2, 9) == []
    assert latest.take("a", 3, 10)
    assert counts.out_of_order == 1


def test_keys_are_bounded(monkeypatch):
    monkeypatch.setattr(sources, "KEYS_MAX", 1)
    latest = Latest(FeedCounts())
    latest.take("a", 1, 1)
    with pytest.raises(BadFrame, match="too many"):
        latest.take("b", 1, 1)
