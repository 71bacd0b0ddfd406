"""Correlation and beta of the returns of two series."""

from __future__ import annotations

import itertools
from math import log, sqrt
from typing import ClassVar

import msgspec

from engine.indicators.door import Count, FromS, PairIndicator
from engine.indicators.window import Samples


def returns(samples: Samples, now_ns: int) -> list[float] | None:
    """Return the log returns between the samples; None until the window has been seen."""
    samples.move(now_ns)
    values = samples.values
    if not samples.full:
        return None
    return [log(b / a) for a, b in itertools.pairwise(values)]


class SampledPair(PairIndicator, gc=False):
    """Base: the prices of two series at equal distances of time."""

    from_s: FromS = 3_600.0
    count: Count = 60
    samples: Samples = msgspec.field(default_factory=Samples)
    others: Samples = msgspec.field(default_factory=Samples)

    def __post_init__(self) -> None:
        if not self.samples.count:
            self.samples = Samples(self.from_s, self.count)
            self.others = Samples(self.from_s, self.count)

    def on_price(self, price: float, now_ns: int) -> None:
        """Take a price."""
        self.samples.on_price(price, now_ns)

    def on_other(self, price: float, now_ns: int) -> None:
        """Take a price of the other series."""
        self.others.on_price(price, now_ns)

    def moments(self, now_ns: int) -> tuple[float, float, float] | None:
        """Return covariance, and variance of either; None until both windows have been seen."""
        ours = returns(self.samples, now_ns)
        theirs = returns(self.others, now_ns)
        if ours is None or theirs is None:
            return None
        n = len(ours)
        mean, other = sum(ours) / n, sum(theirs) / n
        return (
            sum((a - mean) * (b - other) for a, b in zip(ours, theirs, strict=True)) / n,
            sum((a - mean) ** 2 for a in ours) / n,
            sum((b - other) ** 2 for b in theirs) / n,
        )


class Correlation(SampledPair, gc=False):
    """How alike two series move: 1 = together, −1 = against each other."""

    name: ClassVar[str] = "correlation"
    title: ClassVar[str] = "Rolling correlation"
    formula: ClassVar[str] = "cov(r, r′) / √(var(r) · var(r′)), n log returns over [now − t1, now]"
    source: ClassVar[str] = "Pearson (1895)"
    unit: ClassVar[str] = "−1 to 1"

    def value(self, now_ns: int) -> float | None:
        """Return the correlation; None until it is known, or where one of them did not move."""
        moments = self.moments(now_ns)
        if moments is None or not moments[1] > 0.0 or not moments[2] > 0.0:
            return None
        return moments[0] / sqrt(moments[1] * moments[2])


class Beta(SampledPair, gc=False):
    """How much of the other's move it makes."""

    name: ClassVar[str] = "beta"
    title: ClassVar[str] = "Rolling beta"
    formula: ClassVar[str] = "cov(r, r′) / var(r′), n log returns over [now − t1, now]"
    source: ClassVar[str] = "Sharpe (1964), Capital asset prices"
    unit: ClassVar[str] = "times"

    def value(self, now_ns: int) -> float | None:
        """Return the beta; None until it is known, or where the other did not move."""
        moments = self.moments(now_ns)
        return None if moments is None or not moments[2] > 0.0 else moments[0] / moments[2]
