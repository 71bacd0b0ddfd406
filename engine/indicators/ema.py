"""The exponential moving average of closes."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from engine.indicators.door import BarCount, BarIndicator, PriceBar
from engine.indicators.smoothing import Smoothed


class Ema(BarIndicator, gc=False):
    """The newest close counts most, and none is ever forgotten."""

    name: ClassVar[str] = "EMA"
    title: ClassVar[str] = "Exponential moving average"
    formula: ClassVar[str] = (
        "EMA += (close − EMA) · 2 / (n + 1), from the mean of the first n closes"
    )
    source: ClassVar[str] = "Hunter (1986), The exponentially weighted moving average"
    unit: ClassVar[str] = "price"

    period: BarCount = 20
    average: Smoothed = msgspec.field(default_factory=Smoothed)

    def __post_init__(self) -> None:
        if not self.average.size:
            self.average = Smoothed(self.period)

    def on_bar(self, bar: PriceBar) -> None:
        """Take a bar."""
        self.average.push(bar.close)

    def value(self, now_ns: int) -> float | None:
        """Return the average; None before so many bars."""
        del now_ns
        return self.average.value
