"""How far a price is from its mean, in standard deviations."""

from __future__ import annotations

from math import sqrt
from typing import ClassVar

import msgspec

from engine.indicators.door import Count, FromS, PriceIndicator
from engine.indicators.window import Samples


class ZScore(PriceIndicator, gc=False):
    """Distance of the last sample from the mean of a window, in standard deviations."""

    name: ClassVar[str] = "z-score"
    title: ClassVar[str] = "Z-score"
    formula: ClassVar[str] = "(p − mean) / standard deviation, n samples over [now − t1, now]"
    source: ClassVar[str] = "textbook; the deviation is that of the population"
    unit: ClassVar[str] = "deviations"

    from_s: FromS = 3_600.0
    count: Count = 60
    samples: Samples = msgspec.field(default_factory=Samples)

    def __post_init__(self) -> None:
        if not self.samples.count:
            self.samples = Samples(self.from_s, self.count)

    def on_price(self, price: float, now_ns: int) -> None:
        """Take a price."""
        self.samples.on_price(price, now_ns)

    def value(self, now_ns: int) -> float | None:
        """Return the score; None until the window has been seen, or where nothing moved in it."""
        samples = self.samples
        samples.move(now_ns)
        if not samples.full:
            return None
        values = samples.values[1:]
        mean = sum(values) / len(values)
        variance = sum((value - mean) ** 2 for value in values) / len(values)
        return (values[-1] - mean) / sqrt(variance) if variance > 0.0 else None
