"""Moving average convergence / divergence."""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from engine.errors import BadInput
from engine.indicators.door import BarCount, BarIndicator, PriceBar
from engine.indicators.smoothing import Smoothed


class Macd(BarIndicator, gc=False):
    """The distance of a fast from a slow average, and its own average."""

    name: ClassVar[str] = "MACD"
    title: ClassVar[str] = "Moving average convergence / divergence"
    formula: ClassVar[str] = (
        "MACD = EMA fast − EMA slow; signal = EMA of MACD; histogram = MACD − signal"
    )
    source: ClassVar[str] = "Appel (1979); Aspray (1986)"
    unit: ClassVar[str] = "price"

    fast: BarCount = 12
    slow: BarCount = 26
    signal: BarCount = 9
    line: Annotated[
        str,
        Meta(
            pattern="^(MACD|signal|histogram)$", description="which line: MACD, signal, histogram"
        ),
    ] = "histogram"
    seen: int = 0
    quick: Smoothed = msgspec.field(default_factory=Smoothed)
    sluggish: Smoothed = msgspec.field(default_factory=Smoothed)
    smooth: Smoothed = msgspec.field(default_factory=Smoothed)

    def __post_init__(self) -> None:
        if not self.quick.size:
            self.quick, self.sluggish = Smoothed(self.fast), Smoothed(self.slow)
            self.smooth = Smoothed(self.signal)

    def check(self) -> None:
        """Raise BadInput where the fast average is not the faster one."""
        if self.fast >= self.slow:
            raise BadInput(f"MACD: fast {self.fast} must be less than slow {self.slow}")

    def on_bar(self, bar: PriceBar) -> None:
        """Take a bar. Both averages begin with the same bar, as TA-Lib has them."""
        self.seen += 1
        if self.seen > self.slow - self.fast:
            self.quick.push(bar.close)
        self.sluggish.push(bar.close)
        if self.quick.value is not None and self.sluggish.value is not None:
            self.smooth.push(self.quick.value - self.sluggish.value)

    def value(self, now_ns: int) -> float | None:
        """Return the line; None before the signal is known."""
        del now_ns
        if self.smooth.value is None or self.quick.value is None or self.sluggish.value is None:
            return None
        apart = self.quick.value - self.sluggish.value
        lines = {"MACD": apart, "signal": self.smooth.value, "histogram": apart - self.smooth.value}
        return lines[self.line]
