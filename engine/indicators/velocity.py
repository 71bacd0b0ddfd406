"""How fast a price moves over a window."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from engine.indicators.door import FromS, PriceIndicator, ToS
from engine.indicators.window import Samples, step_of


class Velocity(PriceIndicator, gc=False):
    """Relative change of the price per minute over a window."""

    name: ClassVar[str] = "velocity"
    title: ClassVar[str] = "Price velocity"
    formula: ClassVar[str] = "(price(now − t2) / price(now − t1) − 1) / (t1 − t2), a minute"
    source: ClassVar[str] = "Kamps and Kleinberg (2018), To the moon: detecting pump and dump"
    unit: ClassVar[str] = "share of the price a minute"

    from_s: FromS = 300.0
    to_s: ToS = 0.0
    samples: Samples = msgspec.field(default_factory=Samples)
    back: int = 0
    """Steps from t2 to now."""

    def __post_init__(self) -> None:
        if not self.samples.count:
            step_ns = step_of(self.from_s)
            count = max(1, round(self.from_s * 1e9) // step_ns)
            self.samples = Samples(self.from_s, count, step_ns)
            self.back = min(count - 1, round(self.to_s * 1e9) // step_ns)

    def on_price(self, price: float, now_ns: int) -> None:
        """Take a price."""
        self.samples.on_price(price, now_ns)

    def value(self, now_ns: int) -> float | None:
        """Return the velocity; None until the whole window has been seen."""
        samples = self.samples
        samples.move(now_ns)
        if not samples.full:
            return None
        first, last = samples.values[0], samples.values[-1 - self.back]
        minutes = (samples.count - self.back) * samples.step_ns / 60e9
        return (last / first - 1.0) / minutes
