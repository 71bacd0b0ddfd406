"""The Supertrend."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import msgspec

from engine.indicators.door import WHICH, BarCount, BarIndicator, Factor, PriceBar
from engine.indicators.smoothing import Smoothed, TrueRange


class Supertrend(BarIndicator, gc=False):
    """A stop that follows the trend at a distance, and turns when it is passed."""

    name: ClassVar[str] = "Supertrend"
    title: ClassVar[str] = "Supertrend"
    formula: ClassVar[str] = (
        "(high + low) / 2 ± k · ATR, never moved against the trend; direction 1 = up, −1 = down"
    )
    source: ClassVar[str] = "Seban (2007)"
    unit: ClassVar[str] = "price; direction 1 or −1"

    period: BarCount = 10
    factor: Factor = 3.0
    line: Annotated[Literal["stop", "direction"], WHICH] = "direction"
    ranges: TrueRange = msgspec.field(default_factory=TrueRange)
    reach: Smoothed = msgspec.field(default_factory=Smoothed)
    upper: float | None = None
    lower: float = 0.0
    up: bool = True
    close: float = 0.0

    def __post_init__(self) -> None:
        if not self.reach.size:
            self.reach = Smoothed(self.period, wilder=True)

    def on_bar(self, bar: PriceBar) -> None:
        """Take a bar."""
        before, self.close = self.close, bar.close
        reach = self.ranges.push(bar.high, bar.low, bar.close)
        wide = None if reach is None else self.reach.push(reach)
        if wide is None:
            return
        middle = (bar.high + bar.low) / 2.0
        upper, lower = middle + self.factor * wide, middle - self.factor * wide
        if self.upper is not None:
            if upper > self.upper and before <= self.upper:
                upper = self.upper
            if lower < self.lower and before >= self.lower:
                lower = self.lower
            if bar.close > self.upper:
                self.up = True
            elif bar.close < self.lower:
                self.up = False
        self.upper, self.lower = upper, lower

    def value(self, now_ns: int) -> float | None:
        """Return the line; None before the range is known."""
        del now_ns
        if self.upper is None:
            return None
        if self.line == "direction":
            return 1.0 if self.up else -1.0
        return self.lower if self.up else self.upper
