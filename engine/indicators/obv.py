"""On-balance volume."""

from __future__ import annotations

from typing import ClassVar

from engine.indicators.door import BarIndicator, PriceBar


class Obv(BarIndicator, gc=False):
    """Volume of rising bars less that of falling ones."""

    name: ClassVar[str] = "OBV"
    title: ClassVar[str] = "On-balance volume"
    formula: ClassVar[str] = "Σ ± volume, by whether the close rose or fell"
    source: ClassVar[str] = "Granville (1963), New key to stock market profits"
    unit: ClassVar[str] = "size"

    close: float | None = None
    total: float = 0.0

    def on_bar(self, bar: PriceBar) -> None:
        """Take a bar; the first one counts as a rise, as TA-Lib has it."""
        before, self.close = self.close, bar.close
        if before is None or bar.close > before:
            self.total += bar.volume
        elif bar.close < before:
            self.total -= bar.volume

    def value(self, now_ns: int) -> float | None:
        """Return the volume; None before the first bar."""
        del now_ns
        return None if self.close is None else self.total
