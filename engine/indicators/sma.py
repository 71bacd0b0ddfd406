"""The mean of the last closes."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from engine.indicators.columns import FloatColumn, PriceColumns, Totals
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

    def over(self, bars: PriceColumns) -> SmaAhead | None:
        """Return the average after each of these bars; None before it is full: bar by bar."""
        return SmaAhead(self.closes, bars.close) if self.closes.full else None


class SmaAhead:
    """The averages of bars that come. Implements `ValuesAhead`."""

    def __init__(self, closes: Last, coming: FloatColumn) -> None:
        self._sums = Totals(closes, coming)
        self.values: FloatColumn = self._sums.totals / closes.size

    def go(self, taken: int, count: int) -> None:
        """Bring the window to where it has taken so many."""
        del taken
        self._sums.go(count)
