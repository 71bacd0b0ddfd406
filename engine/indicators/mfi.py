"""The money flow index."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from engine.indicators.door import BarCount, BarIndicator, PriceBar
from engine.indicators.window import Last


class Mfi(BarIndicator, gc=False):
    """How much of the last money went into rising bars: 100 = all of it."""

    name: ClassVar[str] = "MFI"
    title: ClassVar[str] = "Money flow index"
    formula: ClassVar[str] = (
        "100 · M⁺ / (M⁺ + M⁻), M = (high + low + close) / 3 · volume by its rise or fall"
    )
    source: ClassVar[str] = "Quong and Soudack (1989)"
    unit: ClassVar[str] = "0 to 100"

    period: BarCount = 14
    typical: float | None = None
    rising: Last = msgspec.field(default_factory=Last)
    falling: Last = msgspec.field(default_factory=Last)

    def __post_init__(self) -> None:
        if not self.rising.size:
            self.rising, self.falling = Last(self.period), Last(self.period)

    def on_bar(self, bar: PriceBar) -> None:
        """Take a bar."""
        typical = (bar.high + bar.low + bar.close) / 3.0
        before, self.typical = self.typical, typical
        if before is not None:
            money = typical * bar.volume
            self.rising.push(money if typical > before else 0.0)
            self.falling.push(money if typical < before else 0.0)

    def value(self, now_ns: int) -> float | None:
        """Return the index; None before so many changes. As TA-Lib does: 0 below a flow of 1."""
        del now_ns
        if not self.rising.full:
            return None
        both = self.rising.total + self.falling.total
        return 100.0 * self.rising.total / both if both >= 1.0 else 0.0
