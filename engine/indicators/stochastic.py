"""The stochastic oscillator."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import msgspec

from engine.indicators.door import WHICH, BarCount, BarIndicator, PriceBar
from engine.indicators.window import Extremes, Last


class Stochastic(BarIndicator, gc=False):
    """Where the close lies in the range of the last bars: 100 = at its top."""

    name: ClassVar[str] = "stochastic"
    title: ClassVar[str] = "Stochastic oscillator"
    formula: ClassVar[str] = (
        "%K = mean of 100 · (close − lowest) / (highest − lowest); %D = mean of %K"
    )
    source: ClassVar[str] = "Lane (1984), Stochastics"
    unit: ClassVar[str] = "0 to 100"

    period: BarCount = 14
    slowing: BarCount = 3
    smoothing: BarCount = 3
    line: Annotated[Literal["K", "D"], WHICH] = "K"
    extremes: Extremes = msgspec.field(default_factory=Extremes)
    raw: Last = msgspec.field(default_factory=Last)
    slow: Last = msgspec.field(default_factory=Last)

    def __post_init__(self) -> None:
        if not self.extremes.size:
            self.extremes = Extremes(self.period)
            self.raw, self.slow = Last(self.slowing), Last(self.smoothing)

    def on_bar(self, bar: PriceBar) -> None:
        """Take a bar."""
        extremes = self.extremes
        extremes.push(bar.high, bar.low)
        if not extremes.full:
            return
        wide = extremes.highest - extremes.lowest
        self.raw.push(100.0 * (bar.close - extremes.lowest) / wide if wide > 0.0 else 0.0)
        if self.raw.full:
            self.slow.push(self.raw.mean)

    def value(self, now_ns: int) -> float | None:
        """Return the line; None before both are known."""
        del now_ns
        if not self.slow.full:
            return None
        return self.slow.mean if self.line == "D" else self.raw.mean
