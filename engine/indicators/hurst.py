"""Whether a price trends or comes back."""

from __future__ import annotations

from math import log
from typing import ClassVar

import msgspec

from engine.indicators.door import Count, FromS, PriceIndicator
from engine.indicators.window import Samples

LAGS = (1, 2, 4, 8)


class Hurst(PriceIndicator, gc=False):
    """Hurst exponent: 0.5 = a random walk, above = trending, below = coming back."""

    name: ClassVar[str] = "Hurst"
    title: ClassVar[str] = "Hurst exponent"
    formula: ClassVar[str] = "½ · slope of ln mean (ln p(t + k) − ln p(t))² on ln k, k = 1, 2, 4, 8"
    source: ClassVar[str] = "Hurst (1951); by the structure function of order two"
    unit: ClassVar[str] = "0 to 1"

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
        """Return the exponent; None until it is known, or where nothing moved."""
        samples = self.samples
        samples.move(now_ns)
        if not samples.full or samples.count < 2 * LAGS[-1]:
            return None
        logs = [log(value) for value in samples.values]
        points = []
        for lag in LAGS:
            moves = [(b - a) ** 2 for a, b in zip(logs, logs[lag:], strict=False)]
            mean = sum(moves) / len(moves)
            if not mean > 0.0:
                return None
            points.append((log(lag), log(mean)))
        x = sum(point[0] for point in points) / len(points)
        y = sum(point[1] for point in points) / len(points)
        across = sum((a - x) * (b - y) for a, b in points)
        return 0.5 * across / sum((a - x) ** 2 for a, _ in points)
