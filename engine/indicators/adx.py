"""The average directional index."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from engine.indicators.door import BarCount, BarIndicator, PriceBar
from engine.indicators.smoothing import Smoothed, TrueRange


class Adx(BarIndicator, gc=False):
    """How strongly a price trends, whichever way."""

    name: ClassVar[str] = "ADX"
    title: ClassVar[str] = "Average directional index"
    formula: ClassVar[str] = "Wilder average of 100 · |+DI − −DI| / (+DI + −DI)"
    source: ClassVar[str] = "Wilder (1978), New concepts in technical trading systems"
    unit: ClassVar[str] = "0 to 100"

    period: BarCount = 14
    ranges: TrueRange = msgspec.field(default_factory=TrueRange)
    high: float = 0.0
    low: float = 0.0
    seen: int = 0
    """Bars with one before them."""
    up: float = 0.0
    down: float = 0.0
    reach: float = 0.0
    """Wilder sums of +DM, −DM and true range."""
    average: Smoothed = msgspec.field(default_factory=Smoothed)

    def __post_init__(self) -> None:
        if not self.average.size:
            self.average = Smoothed(self.period, wilder=True)

    def on_bar(self, bar: PriceBar) -> None:
        """Take a bar."""
        reach = self.ranges.push(bar.high, bar.low, bar.close)
        rise, fall = bar.high - self.high, self.low - bar.low
        self.high, self.low = bar.high, bar.low
        if reach is None:
            return
        self.seen += 1
        up = rise if rise > fall and rise > 0.0 else 0.0
        down = fall if fall > rise and fall > 0.0 else 0.0
        if self.seen >= self.period:  # the first sums are of one bar less, as Wilder's are
            self.up -= self.up / self.period
            self.down -= self.down / self.period
            self.reach -= self.reach / self.period
        self.up, self.down, self.reach = self.up + up, self.down + down, self.reach + reach
        if self.seen >= self.period:
            both = self.up + self.down
            if both > 0.0 and self.reach > 0.0:
                self.average.push(100.0 * abs(self.up - self.down) / both)

    def value(self, now_ns: int) -> float | None:
        """Return the average; None before so many bars."""
        del now_ns
        return self.average.value
