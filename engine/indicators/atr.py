"""The average true range."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from engine.indicators.door import BarCount, BarIndicator, PriceBar
from engine.indicators.smoothing import Smoothed, TrueRange


class Atr(BarIndicator, gc=False):
    """How far a bar reaches on average, jumps between bars included."""

    name: ClassVar[str] = "ATR"
    title: ClassVar[str] = "Average true range"
    formula: ClassVar[str] = "Wilder average of max(high, close₋) − min(low, close₋)"
    source: ClassVar[str] = "Wilder (1978), New concepts in technical trading systems"
    unit: ClassVar[str] = "price"

    period: BarCount = 14
    ranges: TrueRange = msgspec.field(default_factory=TrueRange)
    average: Smoothed = msgspec.field(default_factory=Smoothed)

    def __post_init__(self) -> None:
        if not self.average.size:
            self.average = Smoothed(self.period, wilder=True)

    def on_bar(self, bar: PriceBar) -> None:
        """Take a bar."""
        reach = self.ranges.push(bar.high, bar.low, bar.close)
        if reach is not None:
            self.average.push(reach)

    def value(self, now_ns: int) -> float | None:
        """Return the average; None before so many bars."""
        del now_ns
        return self.average.value
