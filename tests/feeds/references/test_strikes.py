"""A strike is the oracle's own mean at the window's start, or nothing."""

from __future__ import annotations

import pytest

from engine.domain.events import ReferencePriced, StrikeProven
from engine.domain.instruments import FeeSchedule
from engine.feeds.references.strikes import Strikes, strike_key
from engine.venues.polymarket.market.metadata import binary

START_S = 1_780_876_500
SOURCE = "https://data.chain.link/streams/btc-usd"
KEY = "chainlink-twap30:btc/usd"
CANDLE = "https://www.binance.com/en/trade/BTC_USDT"
OPEN = "binance-open1h:btcusdt"
HOUR_S = 1_780_876_800


def window(series: str = "btc-updown-5m", start_s: int = START_S):
    fees = FeeSchedule(exponent=1)
    return binary("0x1", ("1", "2"), tick="0.01", fees=fees, slug=f"{series}-{start_s}")


def priced(at_s: int, price_e8: int = 7, key: str = KEY) -> ReferencePriced:
    return ReferencePriced(key=key, price_e8=price_e8, exchange_ns=at_s * 10**9)


@pytest.mark.parametrize("listed_first", [True, False])
def test_the_mean_at_the_start_is_the_strike(listed_first: bool) -> None:
    strikes = Strikes()
    events = strikes.watch(window(), SOURCE) if listed_first else []
    events += strikes.receive(priced(START_S - 1, 6)) + strikes.receive(priced(START_S, 7))
    events += strikes.receive(priced(START_S + 1, 8))
    events += [] if listed_first else strikes.watch(window(), SOURCE)
    assert [type(one) for one in events] == [StrikeProven]
    assert events[0].strike_e8 == 7
    assert events[0].provenance == f"{KEY} stamped {START_S} s, the start of the window"


def test_without_a_point_at_the_very_start_there_is_no_strike() -> None:
    strikes = Strikes()
    assert strikes.watch(window(), SOURCE) == []
    assert strikes.receive(priced(START_S + 1)) == []
    assert strikes.receive(priced(START_S, key="chainlink:btc/usd")) == []
    assert strikes.receive(priced(START_S, key="chainlink-twap60:btc/usd")) == []


@pytest.mark.parametrize(
    ("series", "source", "key"),
    [
        ("btc-updown-5m", SOURCE, KEY),
        ("btc-updown-15m", SOURCE, "chainlink-twap60:btc/usd"),
        ("eth-updown-5m", SOURCE, ""),
        ("btc-updown-1h", SOURCE, ""),
        ("btc-updown-1h", CANDLE, "binance-open1h:btcusdt"),
        ("eth-updown-1h", CANDLE, ""),
        ("btc-updown-4h", SOURCE, ""),
        ("btc-updown-4h", CANDLE, ""),
        ("btc-updown-5m", "https://www.binance.com/en/trade/BTC_USDT", ""),
        ("btc-updown-5m", "", ""),
    ],
)
def test_only_a_rule_that_is_known_gives_a_strike(series: str, source: str, key: str) -> None:
    assert strike_key(window(series), source) == key


def test_a_market_without_a_window_has_no_strike() -> None:
    plain = binary("0x1", ("1", "2"), tick="0.01", fees=FeeSchedule(exponent=1), slug="rain")
    assert strike_key(plain, SOURCE) == ""


def test_an_hours_strike_is_the_open_of_the_candle_that_began_with_it() -> None:
    strikes, hour = Strikes(), window("btc-updown-1h", HOUR_S)
    assert strikes.receive(priced(HOUR_S - 3_600, 6, OPEN)) == []
    assert strikes.watch(hour, CANDLE) == []
    assert strikes.receive(priced(HOUR_S, 8, "binance:btcusdt")) == []
    (events,) = strikes.receive(priced(HOUR_S, 7, OPEN))
    assert events.strike_e8 == 7
    assert events.provenance == f"{OPEN} stamped {HOUR_S} s, the start of the window"
