"""The volume-weighted average price of a window."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from engine.indicators.door import FromS, ToS, TradeIndicator
from engine.indicators.window import SumWindow


class Vwap(TradeIndicator, gc=False):
    """What a share cost on average of all that was traded."""

    name: ClassVar[str] = "VWAP"
    title: ClassVar[str] = "Volume-weighted average price"
    formula: ClassVar[str] = "Σ price · size / Σ size, over the trades of [now − t1, now − t2]"
    source: ClassVar[str] = "Berkowitz, Logue and Noser (1988), The total cost of transactions"
    unit: ClassVar[str] = "price"

    from_s: FromS = 300.0
    to_s: ToS = 0.0
    window: SumWindow = msgspec.field(default_factory=SumWindow)

    def __post_init__(self) -> None:
        if not self.window.width:
            self.window = SumWindow(2, self.from_s, self.to_s)

    def on_trade(self, price: float, size: float, now_ns: int) -> None:
        """Take a trade; one of unknown size has no weight."""
        self.window.add((price * size, size), now_ns)

    def value(self, now_ns: int) -> float | None:
        """Return the average; None where nothing was traded."""
        cost, size = self.window.sums(now_ns)
        return cost / size if size > 1e-12 else None
