"""The Keltner channel."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import msgspec

from engine.indicators.door import WHICH, BarCount, BarIndicator, Factor, PriceBar
from engine.indicators.smoothing import Smoothed, TrueRange


class Keltner(BarIndicator, gc=False):
    """An average, and bands around it by the true range."""

    name: ClassVar[str] = "Keltner"
    title: ClassVar[str] = "Keltner channel"
    formula: ClassVar[str] = "EMA of the close ± k · ATR"
    source: ClassVar[str] = "Raschke, after Keltner (1960), How to make money in commodities"
    unit: ClassVar[str] = "price"

    period: BarCount = 20
    atr_period: BarCount = 10
    factor: Factor = 2.0
    line: Annotated[Literal["upper", "middle", "lower"], WHICH] = "middle"
    average: Smoothed = msgspec.field(default_factory=Smoothed)
    ranges: TrueRange = msgspec.field(default_factory=TrueRange)
    reach: Smoothed = msgspec.field(default_factory=Smoothed)

    def __post_init__(self) -> None:
        if not self.average.size:
            self.average = Smoothed(self.period)
            self.reach = Smoothed(self.atr_period, wilder=True)

    def on_bar(self, bar: PriceBar) -> None:
        """Take a bar."""
        self.average.push(bar.close)
        reach = self.ranges.push(bar.high, bar.low, bar.close)
        if reach is not None:
            self.reach.push(reach)

    def value(self, now_ns: int) -> float | None:
        """Return the line; None before both averages are known."""
        del now_ns
        middle, reach = self.average.value, self.reach.value
        if middle is None or reach is None:
            return None
        wide = self.factor * reach
        return {"upper": middle + wide, "middle": middle, "lower": middle - wide}[self.line]
