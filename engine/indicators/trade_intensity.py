"""How often is traded."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from engine.indicators.door import FromS, ToS, TradeIndicator
from engine.indicators.window import SumWindow


class TradeIntensity(TradeIndicator, gc=False):
    """Trades a second over a window."""

    name: ClassVar[str] = "trade intensity"
    title: ClassVar[str] = "Trade intensity"
    formula: ClassVar[str] = "trades of [now − t1, now − t2] / (t1 − t2)"
    source: ClassVar[str] = "Engle and Russell (1998), Autoregressive conditional duration"
    unit: ClassVar[str] = "a second"

    from_s: FromS = 60.0
    to_s: ToS = 0.0
    window: SumWindow = msgspec.field(default_factory=SumWindow)

    def __post_init__(self) -> None:
        if not self.window.width:
            self.window = SumWindow(1, self.from_s, self.to_s)

    def on_trade(self, price: float, size: float, now_ns: int) -> None:
        """Take a trade."""
        del price, size
        self.window.add((1.0,), now_ns)

    def value(self, now_ns: int) -> float | None:
        """Return the intensity; None until the whole window has been seen."""
        window = self.window
        return window.sums(now_ns)[0] / window.seconds if window.warm(now_ns) else None
