"""Volatility from open, high, low and close of bars."""

from __future__ import annotations

from math import log, sqrt
from typing import ClassVar

import msgspec

from engine.indicators.door import BarCount, BarIndicator, PriceBar
from engine.indicators.window import Last


class GarmanKlass(BarIndicator, gc=False):
    """Volatility a bar, from the ranges and the moves of the last bars."""

    name: ClassVar[str] = "Garman-Klass volatility"
    title: ClassVar[str] = "Garman-Klass volatility"
    formula: ClassVar[str] = "√(Σ [½ ln(high / low)² − (2 ln 2 − 1) ln(close / open)²] / n)"
    source: ClassVar[str] = (
        "Garman and Klass (1980), On the estimation of security price volatilities"
    )
    unit: ClassVar[str] = "a bar"

    period: BarCount = 20
    terms: Last = msgspec.field(default_factory=Last)

    def __post_init__(self) -> None:
        if not self.terms.size:
            self.terms = Last(self.period)

    def on_bar(self, bar: PriceBar) -> None:
        """Take a bar."""
        high_low, close_open = log(bar.high / bar.low), log(bar.close / bar.open)
        term = 0.5 * high_low**2 - (2.0 * log(2.0) - 1.0) * close_open**2
        self.terms.push(term)

    def value(self, now_ns: int) -> float | None:
        """Return the volatility; None before so many bars."""
        del now_ns
        terms = self.terms
        return sqrt(max(0.0, terms.mean)) if terms.full else None
