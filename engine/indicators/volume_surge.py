"""How much more is traded now than before."""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from engine.indicators.door import FromS, ToS, TradeIndicator
from engine.indicators.window import SumWindow


class VolumeSurge(TradeIndicator, gc=False):
    """Volume a second of a window over that of a longer one before it."""

    name: ClassVar[str] = "volume surge"
    title: ClassVar[str] = "Volume surge"
    formula: ClassVar[str] = (
        "volume a second of [now − t1, now − t2] / volume a second of the n windows before it"
    )
    source: ClassVar[str] = "Kamps and Kleinberg (2018), To the moon: detecting pump and dump"
    unit: ClassVar[str] = "times"

    from_s: FromS = 60.0
    to_s: ToS = 0.0
    before: Annotated[int, Meta(ge=1, le=100, description="windows before it")] = 10
    window: SumWindow = msgspec.field(default_factory=SumWindow)
    base: SumWindow = msgspec.field(default_factory=SumWindow)

    def __post_init__(self) -> None:
        if not self.window.width:
            length_s = self.from_s - self.to_s
            self.window = SumWindow(1, self.from_s, self.to_s)
            self.base = SumWindow(1, self.from_s + self.before * length_s, self.from_s)

    def on_trade(self, price: float, size: float, now_ns: int) -> None:
        """Take a trade."""
        del price
        self.window.add((size,), now_ns)
        self.base.add((size,), now_ns)

    def value(self, now_ns: int) -> float | None:
        """Return the surge; None until both windows have been seen, or where nothing was before."""
        window, base = self.window, self.base
        if not base.warm(now_ns):
            return None
        before = base.sums(now_ns)[0] / base.seconds
        return window.sums(now_ns)[0] / window.seconds / before if before > 1e-12 else None
