"""The time-weighted average price of a window."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from engine.indicators.door import FromS, PriceIndicator, ToS
from engine.indicators.window import TimeWeighted


class Twpa(PriceIndicator, gc=False):
    """How high the price stood on average, each price for as long as it held."""

    name: ClassVar[str] = "TWPA"
    title: ClassVar[str] = "Time-weighted average price"
    formula: ClassVar[str] = "Σ price · seconds it held / Σ seconds, over [now − t1, now − t2]"
    source: ClassVar[str] = "Bertsimas and Lo (1998), Optimal control of execution costs"
    unit: ClassVar[str] = "price"

    from_s: FromS = 300.0
    to_s: ToS = 0.0
    held: TimeWeighted = msgspec.field(default_factory=TimeWeighted)

    def __post_init__(self) -> None:
        if not self.held.from_s:
            self.held = TimeWeighted(self.from_s, self.to_s)

    def on_price(self, price: float, now_ns: int) -> None:
        """Take a price."""
        self.held.on_value(price, now_ns)

    def value(self, now_ns: int) -> float | None:
        """Return the mean over what of the window is known."""
        return self.held.mean(now_ns)
