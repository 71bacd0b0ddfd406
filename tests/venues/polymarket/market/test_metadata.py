import pytest

from engine.feeds.counts import BadFrame
from engine.venues.polymarket.market.metadata import (
    binary,
    fee_schedule,
    rolling,
    tick_units,
    yes_first,
)


def test_slug_of_a_rolling_series_gives_series_and_window():
    assert rolling("btc-updown-15m-1777514400") == (
        "btc-updown-15m",
        (1_777_514_400 * 10**9, 1_777_515_300 * 10**9),
    )


@pytest.mark.parametrize("slug", ["", "will-it-rain", "btc-updown-5m-x", "election-2028"])
def test_other_slugs_belong_to_no_series(slug):
    assert rolling(slug) == ("", None)


def test_instrument_without_window_is_open_ended(fees):
    instrument = binary("0x1", ("1", "2"), tick="0.001", fees=fees)
    assert (instrument.tick, instrument.starts_ns, instrument.closes_ns) == (10, None, None)
    assert instrument.id == "polymarket:0x1"


@pytest.mark.parametrize("tick", ["0.01", "0.001", "0.0025", "0.0001"])
def test_every_tick_of_the_venue_is_whole(tick):
    assert tick_units(tick) == float(tick) * 10_000


@pytest.mark.parametrize("tick", ["0", "0.00001", "x", "-0.01"])
def test_tick_that_is_none_is_refused(tick):
    with pytest.raises(BadFrame, match="tick"):
        tick_units(tick)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["Yes", "No"], ("a", "b")),
        (["Up", "Down"], ("a", "b")),
        (["No", "Yes"], ("b", "a")),
        (["Down", "Up"], ("b", "a")),
        (["Celtics", "76ers"], ("a", "b")),
    ],
)
def test_yes_is_found_by_its_label(labels, expected):
    assert yes_first(["a", "b"], labels) == expected


def test_market_of_three_tokens_is_no_binary():
    with pytest.raises(BadFrame, match="not a binary"):
        yes_first(["a", "b", "c"], ["x", "y", "z"])


def test_fees_come_as_text_or_number():
    schedule = fee_schedule(exponent="1", rate=0.072, rebate="0.2")
    assert (schedule.taker_rate_ppm, schedule.exponent) == (72_000, 1)
    assert schedule.rebate_rate_ppm == 200_000


@pytest.mark.parametrize("rate", ["x", None, "NaN", "-0.1", "0.00000001"])
def test_fee_that_is_not_exact_is_refused(rate):
    with pytest.raises(BadFrame, match="fee"):
        fee_schedule(exponent=1, rate=rate, rebate=0)


def test_fractional_exponent_is_refused():
    with pytest.raises(BadFrame, match="exponent"):
        fee_schedule(exponent=1.5, rate=0.07, rebate=0)
