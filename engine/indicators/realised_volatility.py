"""The realised volatility of a window."""

from __future__ import annotations

import itertools
from math import log, sqrt
from typing import ClassVar

import msgspec

from engine.indicators.door import Count, FromS, PriceIndicator
from engine.indicators.window import Samples

YEAR_S = 365 * 86_400.0


class RealisedVolatility(PriceIndicator, gc=False):
    """Root of the summed squared log returns of a window, a year."""

    name: ClassVar[str] = "realised volatility"
    title: ClassVar[str] = "Realised volatility"
    formula: ClassVar[str] = "√(Σ ln(pᵢ / pᵢ₋₁)² / t1 · 365 days), n samples over [now − t1, now]"
    source: ClassVar[str] = "Andersen, Bollerslev, Diebold and Labys (2003)"
    unit: ClassVar[str] = "a year"

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
        """Return the volatility; None until the whole window has been seen."""
        samples = self.samples
        samples.move(now_ns)
        if not samples.full:
            return None
        values = samples.values
        squares = sum(log(b / a) ** 2 for a, b in itertools.pairwise(values))
        return sqrt(squares / (samples.count * samples.step_ns * 1e-9) * YEAR_S)
