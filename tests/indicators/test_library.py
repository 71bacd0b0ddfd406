"""Variants: how one is named. What each indicator owes is held to in `tests/contracts`."""

from __future__ import annotations

from typing import Any

import pytest

from engine.errors import BadInput
from engine.indicators.door import Variant
from engine.indicators.library import INDICATORS, fresh


def test_equal_variants_are_equal_however_they_were_said() -> None:
    rsi = INDICATORS["RSI"]
    assert Variant.of(rsi, bars="60s") == Variant.of(rsi, bars="1m", period=14)
    assert Variant.of(rsi, bars="5m", period=21).text == "RSI(period 21) of 5m"


@pytest.mark.parametrize(
    ("name", "said"),
    [("RSI", {}), ("TWPA", {"bars": "1m"}), ("beta", {}), ("VWAP", {"mids": True})],
)
def test_a_variant_that_does_not_fit_its_feed_is_refused(name: str, said: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match="it is fed with"):
        Variant.of(INDICATORS[name], **said)


def test_what_does_not_exist_is_refused_with_what_does() -> None:
    with pytest.raises(BadInput, match="there is no indicator 'RSY'; there are: ADX, ATR"):
        fresh(Variant(indicator="RSY"))


def test_a_setting_that_is_unknown_is_refused_with_what_there_is() -> None:
    with pytest.raises(BadInput, match="there is no setting 'colour'; there are:"):
        Variant.of(INDICATORS["RSI"], bars="1m", colour=1)
