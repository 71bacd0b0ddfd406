"""Volatility from the highs and lows of bars."""

from __future__ import annotations

from math import log, sqrt
from typing import ClassVar

import msgspec

from engine.indicators.door import BarCount, BarIndicator, PriceBar
from engine.indicators.window import Last


class Parkinson(BarIndicator, gc=False):
    """Volatility a bar, from the ranges of the last bars."""

    name: ClassVar[str] = "Parkinson volatility"
    title: ClassVar[str] = "Parkinson volatility"
    formula: ClassVar[str] = "√(Σ ln(high / low)² / (4 ln 2 · n))"
    source: ClassVar[str] = "Parkinson (1980), The extreme value method"
    unit: ClassVar[str] = "a bar"

    period: BarCount = 20
    ranges: Last = msgspec.field(default_factory=Last)

    def __post_init__(self) -> None:
        if not self.ranges.size:
            self.ranges = Last(self.period)

    def on_bar(self, bar: PriceBar) -> None:
        """Take a bar."""
        self.ranges.push(log(bar.high / bar.low) ** 2)

    def value(self, now_ns: int) -> float | None:
        """Return the volatility; None before so many bars."""
        del now_ns
        ranges = self.ranges
        return sqrt(max(0.0, ranges.mean) / (4.0 * log(2.0))) if ranges.full else None
