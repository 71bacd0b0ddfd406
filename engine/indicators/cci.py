"""The commodity channel index."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from engine.indicators.door import BarCount, BarIndicator, PriceBar
from engine.indicators.window import Last


class Cci(BarIndicator, gc=False):
    """How far the typical price is from its mean, in mean deviations."""

    name: ClassVar[str] = "CCI"
    title: ClassVar[str] = "Commodity channel index"
    formula: ClassVar[str] = (
        "(typical − mean) / (0.015 · mean |typical − mean|), typical = (high + low + close) / 3"
    )
    source: ClassVar[str] = "Lambert (1980), Commodities channel index"
    unit: ClassVar[str] = "deviations / 0.015"

    period: BarCount = 20
    typical: float = 0.0
    prices: Last = msgspec.field(default_factory=Last)

    def __post_init__(self) -> None:
        if not self.prices.size:
            self.prices = Last(self.period)

    def on_bar(self, bar: PriceBar) -> None:
        """Take a bar."""
        self.typical = (bar.high + bar.low + bar.close) / 3.0
        self.prices.push(self.typical)

    def value(self, now_ns: int) -> float | None:
        """Return the index; None before so many bars. 0 where nothing moved, as TA-Lib does."""
        del now_ns
        if not self.prices.full:
            return None
        mean = self.prices.mean
        away = sum(abs(price - mean) for price in self.prices.values) / self.period
        return (self.typical - mean) / (0.015 * away) if away > 0.0 else 0.0
