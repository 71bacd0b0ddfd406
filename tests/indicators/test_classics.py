"""The classics against TA-Lib in batch on the same bars; two against a naive recomputation."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import talib

from engine.indicators.door import PriceBar, Value, Variant
from engine.indicators.library import INDICATORS, fresh

BARS = 3_000
TOLERANCE = 1e-9
"""Relative: both sum floats, in another order."""


def bars_of(seed: int) -> list[PriceBar]:
    chance, price, bars = random.Random(seed), 100.0, []
    for _ in range(BARS):
        opened, price = price, price * (1.0 + chance.gauss(0.0, 0.01))
        if chance.random() < 0.05:
            price = opened  # a bar that closes where it opened
        high = max(opened, price) * (1.0 + abs(chance.gauss(0.0, 0.002)))
        low = min(opened, price) * (1.0 - abs(chance.gauss(0.0, 0.002)))
        bars.append(PriceBar(opened, high, low, price, float(chance.randrange(0, 1_000))))
    return bars


def columns(bars: list[PriceBar]) -> dict[str, np.ndarray[Any, Any]]:
    names = ("open", "high", "low", "close", "volume")
    return {name: np.array([getattr(bar, name) for bar in bars]) for name in names}


def ours(name: str, bars: list[PriceBar], **settings: Value) -> list[float]:
    indicator, values = fresh(Variant.of(INDICATORS[name], bars="1m", **settings)), []
    for bar in bars:
        indicator.on_bar(bar)  # type: ignore[attr-defined]
        value = indicator.value(0)
        values.append(float("nan") if value is None else value)
    return values


Case = tuple[str, dict[str, Value], Callable[[dict[str, Any]], Any]]

CASES: list[Case] = [
    ("EMA", {"period": 20}, lambda c: talib.EMA(c["close"], 20)),
    ("SMA", {"period": 7}, lambda c: talib.SMA(c["close"], 7)),
    ("WMA", {"period": 30}, lambda c: talib.WMA(c["close"], 30)),
    ("RSI", {"period": 14}, lambda c: talib.RSI(c["close"], 14)),
    ("ATR", {"period": 14}, lambda c: talib.ATR(c["high"], c["low"], c["close"], 14)),
    ("ADX", {"period": 14}, lambda c: talib.ADX(c["high"], c["low"], c["close"], 14)),
    ("ADX", {"period": 5}, lambda c: talib.ADX(c["high"], c["low"], c["close"], 5)),
    ("Bollinger", {"line": "upper"}, lambda c: talib.BBANDS(c["close"], 20, 2.0, 2.0)[0]),
    ("Bollinger", {"line": "lower"}, lambda c: talib.BBANDS(c["close"], 20, 2.0, 2.0)[2]),
    ("MACD", {"line": "MACD"}, lambda c: talib.MACD(c["close"], 12, 26, 9)[0]),
    ("MACD", {"line": "signal"}, lambda c: talib.MACD(c["close"], 12, 26, 9)[1]),
    ("MACD", {"line": "histogram"}, lambda c: talib.MACD(c["close"], 12, 26, 9)[2]),
    ("stochastic", {"line": "K"}, lambda c: talib.STOCH(c["high"], c["low"], c["close"], 14)[0]),
    ("stochastic", {"line": "D"}, lambda c: talib.STOCH(c["high"], c["low"], c["close"], 14)[1]),
    ("Donchian", {"line": "upper"}, lambda c: talib.MAX(c["high"], 20)),
    ("Donchian", {"line": "lower"}, lambda c: talib.MIN(c["low"], 20)),
    ("OBV", {}, lambda c: talib.OBV(c["close"], c["volume"])),
    ("MFI", {}, lambda c: talib.MFI(c["high"], c["low"], c["close"], c["volume"], 14)),
    ("CCI", {}, lambda c: talib.CCI(c["high"], c["low"], c["close"], 20)),
]


@pytest.mark.parametrize(
    ("name", "settings", "batch"), CASES, ids=[f"{name} {words}" for name, words, _ in CASES]
)
def test_a_classic_equals_talib(
    name: str, settings: dict[str, Value], batch: Callable[[dict[str, Any]], Any]
) -> None:
    bars = bars_of(11)
    expected, found = batch(columns(bars)), np.array(ours(name, bars, **settings))
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    np.testing.assert_allclose(found, expected, rtol=TOLERANCE, atol=1e-7)
    assert np.isfinite(found).sum() > BARS - 60


def test_percent_b_is_where_the_close_lies_between_the_bands() -> None:
    bars = bars_of(3)
    upper, _, lower = talib.BBANDS(columns(bars)["close"], 20, 2.0, 2.0)
    expected = (columns(bars)["close"] - lower) / (upper - lower)
    np.testing.assert_allclose(ours("Bollinger", bars), expected, rtol=1e-6, atol=1e-9)


def test_keltner_is_the_average_and_its_true_range() -> None:
    bars = bars_of(4)
    c = columns(bars)
    expected = talib.EMA(c["close"], 20) + 2.0 * talib.ATR(c["high"], c["low"], c["close"], 10)
    np.testing.assert_allclose(ours("Keltner", bars, line="upper"), expected, rtol=TOLERANCE)


def test_supertrend_equals_a_naive_recomputation() -> None:
    bars = bars_of(8)
    c = columns(bars)
    reach = talib.ATR(c["high"], c["low"], c["close"], 10)
    stop: list[float] = []
    upper = lower = float("nan")
    up = True
    for i, bar in enumerate(bars):
        if np.isnan(reach[i]):
            stop.append(float("nan"))
            continue
        middle = (bar.high + bar.low) / 2
        new_upper, new_lower = middle + 3.0 * reach[i], middle - 3.0 * reach[i]
        if not np.isnan(upper):
            before = bars[i - 1].close
            up = True if bar.close > upper else False if bar.close < lower else up
            new_upper = min(new_upper, upper) if before <= upper else new_upper
            new_lower = max(new_lower, lower) if before >= lower else new_lower
        upper, lower = new_upper, new_lower
        stop.append(lower if up else upper)
    found = ours("Supertrend", bars, line="stop")
    np.testing.assert_allclose(found, stop, rtol=TOLERANCE)
    assert {-1.0, 1.0} == {one for one in ours("Supertrend", bars) if one == one}  # noqa: PLR0124 no NaN


def test_a_fast_average_must_be_the_faster_one() -> None:
    with pytest.raises(Exception, match="fast 30 must be less than slow 26"):
        Variant.of(INDICATORS["MACD"], bars="1m", fast=30)
