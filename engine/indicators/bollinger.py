"""Bollinger bands."""

from __future__ import annotations

from math import sqrt
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from engine.indicators.door import BarCount, BarIndicator, Factor, PriceBar
from engine.indicators.window import Last


class Bollinger(BarIndicator, gc=False):
    """The mean of the last closes, and bands around it by their deviation."""

    name: ClassVar[str] = "Bollinger"
    title: ClassVar[str] = "Bollinger bands"
    formula: ClassVar[str] = (
        "mean ± k · standard deviation of the last n closes; %b = (close − lower) / (upper − lower)"
    )
    source: ClassVar[str] = "Bollinger (2001), Bollinger on Bollinger bands"
    unit: ClassVar[str] = "price; %b in bands"

    period: BarCount = 20
    factor: Factor = 2.0
    line: Annotated[
        str,
        Meta(
            pattern="^(upper|middle|lower|%b)$", description="which line: upper, middle, lower, %b"
        ),
    ] = "%b"
    closes: Last = msgspec.field(default_factory=Last)
    close: float = 0.0

    def __post_init__(self) -> None:
        if not self.closes.size:
            self.closes = Last(self.period)

    def on_bar(self, bar: PriceBar) -> None:
        """Take a bar."""
        self.closes.push(bar.close)
        self.close = bar.close

    def value(self, now_ns: int) -> float | None:
        """Return the line; None before so many bars, or %b where nothing moved."""
        del now_ns
        closes = self.closes
        if not closes.full:
            return None
        mean = closes.mean
        squares = sum((close - mean) ** 2 for close in closes.values)
        wide = self.factor * sqrt(squares / self.period)
        if self.line == "%b":
            return (self.close - mean + wide) / (2.0 * wide) if wide > 0.0 else None
        return {"upper": mean + wide, "middle": mean, "lower": mean - wide}[self.line]
