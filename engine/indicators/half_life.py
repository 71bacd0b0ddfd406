"""How long a price takes to come half the way back to its mean."""

from __future__ import annotations

from math import log
from typing import ClassVar

import msgspec

from engine.indicators.door import Count, FromS, PriceIndicator
from engine.indicators.window import Samples


class HalfLife(PriceIndicator, gc=False):
    """Half-life of mean reversion, from a regression of the change on the level."""

    name: ClassVar[str] = "half-life"
    title: ClassVar[str] = "Half-life of mean reversion"
    formula: ClassVar[str] = "−ln 2 · step / ln(1 + λ), Δp = λ · p + c by least squares, −1 < λ < 0"
    source: ClassVar[str] = "Chan (2013), Algorithmic trading, from Ornstein-Uhlenbeck"
    unit: ClassVar[str] = "seconds"

    from_s: FromS = 3_600.0
    count: Count = 120
    samples: Samples = msgspec.field(default_factory=Samples)

    def __post_init__(self) -> None:
        if not self.samples.count:
            self.samples = Samples(self.from_s, self.count)

    def on_price(self, price: float, now_ns: int) -> None:
        """Take a price."""
        self.samples.on_price(price, now_ns)

    def value(self, now_ns: int) -> float | None:
        """Return the half-life; None until it is known, or where nothing comes back."""
        samples = self.samples
        samples.move(now_ns)
        if not samples.full:
            return None
        levels = samples.values[:-1]
        moves = [b - a for a, b in zip(samples.values, samples.values[1:], strict=False)]
        mean, drift = sum(levels) / len(levels), sum(moves) / len(moves)
        variance = sum((level - mean) ** 2 for level in levels)
        if not variance > 0.0:
            return None
        slope = sum((x - mean) * (y - drift) for x, y in zip(levels, moves, strict=True)) / variance
        if not -1.0 < slope < 0.0:
            return None
        return -log(2.0) / log(1.0 + slope) * samples.step_ns * 1e-9
