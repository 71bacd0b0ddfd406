"""The mean of the last closes."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from engine.indicators.door import BarCount, BarIndicator, PriceBar
from engine.indicators.window import Last


class Sma(BarIndicator, gc=False):
    """Every one of the last n closes counts the same."""

    name: ClassVar[str] = "SMA"
    title: ClassVar[str] = "Simple moving average"
    formula: ClassVar[str] = "Σ close / n"
    source: ClassVar[str] = "textbook"
    unit: ClassVar[str] = "price"

    period: BarCount = 20
    closes: Last = msgspec.field(default_factory=Last)

    def __post_init__(self) -> None:
        if not self.closes.size:
            self.closes = Last(self.period)

    def on_bar(self, bar: PriceBar) -> None:
        """Take a bar."""
        self.closes.push(bar.close)

    def value(self, now_ns: int) -> float | None:
        """Return the average; None before so many bars."""
        del now_ns
        closes = self.closes
        return closes.total / closes.size if len(closes.values) == closes.size else None
