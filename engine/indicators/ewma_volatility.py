"""Volatility that forgets by half in a stated time."""

from __future__ import annotations

from math import sqrt
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from engine.indicators.door import PriceIndicator
from engine.indicators.realised_volatility import YEAR_S
from engine.indicators.volatility import LogVolatility


class EwmaLogVolatility(PriceIndicator, gc=False):
    """Root of the exponentially weighted variance of log returns, a year."""

    name: ClassVar[str] = "EWMA volatility"
    title: ClassVar[str] = "Exponentially weighted volatility"
    formula: ClassVar[str] = (
        "√(Σ wᵢ · ln(pᵢ / pᵢ₋₁)² / Σ wᵢ · Δtᵢ · 365 days), w halves each half-life"
    )
    source: ClassVar[str] = "RiskMetrics (1996), in continuous time"
    unit: ClassVar[str] = "a year"

    half_life_s: Annotated[
        float, Meta(gt=0.0, le=86_400.0, description="seconds until half is forgotten")
    ] = 300.0
    sample_s: Annotated[
        float, Meta(ge=0.0, le=3_600.0, description="least seconds between two samples")
    ] = 1.0
    learned: LogVolatility = msgspec.field(default_factory=lambda: LogVolatility(0.0))

    def __post_init__(self) -> None:
        if not self.learned.half_life_s:
            self.learned = LogVolatility(self.half_life_s, round(self.sample_s * 1e9))

    def on_price(self, price: float, now_ns: int) -> None:
        """Take a price."""
        self.learned.take(price, now_ns)

    def value(self, now_ns: int) -> float | None:
        """Return the volatility; None before two samples."""
        del now_ns
        variance = self.learned.variance_per_s
        return None if variance is None else sqrt(variance * YEAR_S)
