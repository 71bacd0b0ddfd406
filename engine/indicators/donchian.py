"""The Donchian channel."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import msgspec

from engine.indicators.door import WHICH, BarCount, BarIndicator, PriceBar
from engine.indicators.window import Extremes


class Donchian(BarIndicator, gc=False):
    """The highest high and the lowest low of the last bars."""

    name: ClassVar[str] = "Donchian"
    title: ClassVar[str] = "Donchian channel"
    formula: ClassVar[str] = "highest high, lowest low of the last n bars; middle = their mean"
    source: ClassVar[str] = "Donchian (1960); Faith (2007), Way of the turtle"
    unit: ClassVar[str] = "price"

    period: BarCount = 20
    line: Annotated[Literal["upper", "middle", "lower"], WHICH] = "middle"
    extremes: Extremes = msgspec.field(default_factory=Extremes)

    def __post_init__(self) -> None:
        if not self.extremes.size:
            self.extremes = Extremes(self.period)

    def on_bar(self, bar: PriceBar) -> None:
        """Take a bar."""
        self.extremes.push(bar.high, bar.low)

    def value(self, now_ns: int) -> float | None:
        """Return the line; None before so many bars."""
        del now_ns
        if not self.extremes.full:
            return None
        high, low = self.extremes.highest, self.extremes.lowest
        return {"upper": high, "middle": (high + low) / 2.0, "lower": low}[self.line]
