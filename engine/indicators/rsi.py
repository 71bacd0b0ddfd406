"""The relative strength index."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from engine.indicators.door import BarCount, BarIndicator, PriceBar
from engine.indicators.smoothing import Smoothed


class Rsi(BarIndicator, gc=False):
    """How much of the last moves went up: 100 = all of it."""

    name: ClassVar[str] = "RSI"
    title: ClassVar[str] = "Relative strength index"
    formula: ClassVar[str] = "100 · U / (U + D), Wilder averages of rises and falls of the close"
    source: ClassVar[str] = "Wilder (1978), New concepts in technical trading systems"
    unit: ClassVar[str] = "0 to 100"

    period: BarCount = 14
    rises: Smoothed = msgspec.field(default_factory=Smoothed)
    falls: Smoothed = msgspec.field(default_factory=Smoothed)
    close: float | None = None

    def __post_init__(self) -> None:
        if not self.rises.size:
            self.rises = Smoothed(self.period, wilder=True)
            self.falls = Smoothed(self.period, wilder=True)

    def on_bar(self, bar: PriceBar) -> None:
        """Take a bar."""
        before, self.close = self.close, bar.close
        if before is not None:
            self.rises.push(max(0.0, bar.close - before))
            self.falls.push(max(0.0, before - bar.close))

    def value(self, now_ns: int) -> float | None:
        """Return the index; None before so many changes. 0 where nothing moved, as TA-Lib does."""
        del now_ns
        up, down = self.rises.value, self.falls.value
        if up is None or down is None:
            return None
        return 100.0 * up / (up + down) if up + down > 0.0 else 0.0
