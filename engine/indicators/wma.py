"""The linearly weighted mean of the last closes."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from engine.indicators.door import BarCount, BarIndicator, PriceBar
from engine.indicators.window import Last


class Wma(BarIndicator, gc=False):
    """The newest close counts n times, the oldest once."""

    name: ClassVar[str] = "WMA"
    title: ClassVar[str] = "Weighted moving average"
    formula: ClassVar[str] = "Σ i · closeᵢ / (n (n + 1) / 2), the newest with i = n"
    source: ClassVar[str] = "textbook"
    unit: ClassVar[str] = "price"

    period: BarCount = 20
    closes: Last = msgspec.field(default_factory=Last)
    weighted: float = 0.0
    """Σ i · closeᵢ."""

    def __post_init__(self) -> None:
        if not self.closes.size:
            self.closes = Last(self.period)

    def on_bar(self, bar: PriceBar) -> None:
        """Take a bar."""
        closes = self.closes
        total, held = closes.total, len(closes.values)
        if closes.push(bar.close) is None:
            self.weighted += (held + 1) * bar.close
        elif closes.next:
            self.weighted += self.period * bar.close - total
        else:  # once a round anew: adding and taking away floats drifts
            self.weighted = sum((i + 1) * close for i, close in enumerate(closes.values))

    def value(self, now_ns: int) -> float | None:
        """Return the average; None before so many bars."""
        del now_ns
        n = self.period
        return self.weighted / (n * (n + 1) / 2) if self.closes.full else None
