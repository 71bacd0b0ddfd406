"""Order-flow imbalance at the touch, over a window."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from engine.domain.books import Book
from engine.indicators.door import BookIndicator, FromS, ToS
from engine.indicators.window import SumWindow


class OrderFlowImbalance(BookIndicator, gc=False):
    """How much more size came to the bid, or left the ask, than the other way round."""

    name: ClassVar[str] = "order-flow imbalance"
    title: ClassVar[str] = "Order-flow imbalance"
    formula: ClassVar[str] = (
        "Σ [qᵇ·1(b ≥ b₋) − qᵇ₋·1(b ≤ b₋) − qᵃ·1(a ≤ a₋) + qᵃ₋·1(a ≥ a₋)] over [now − t1, now − t2]"
    )
    source: ClassVar[str] = (
        "Cont, Kukanov and Stoikov (2014), The price impact of order book events"
    )
    unit: ClassVar[str] = "size"

    from_s: FromS = 10.0
    to_s: ToS = 0.0
    window: SumWindow = msgspec.field(default_factory=SumWindow)
    touch: tuple[int, int, int, int] | None = None

    def __post_init__(self) -> None:
        if not self.window.width:
            self.window = SumWindow(1, self.from_s, self.to_s)

    def on_book(self, book: Book, now_ns: int) -> None:
        """Take the book."""
        bid, bid_size, ask, ask_size = book.touch
        before, self.touch = self.touch, (bid, bid_size, ask, ask_size)
        if before is None:
            return
        old_bid, old_bid_size, old_ask, old_ask_size = before
        flow = 0
        if bid >= old_bid:
            flow += bid_size
        if bid <= old_bid:
            flow -= old_bid_size
        if ask <= old_ask:
            flow -= ask_size
        if ask >= old_ask:
            flow += old_ask_size
        if flow:
            self.window.add((flow * self.size_unit,), now_ns)

    def value(self, now_ns: int) -> float | None:
        """Return the sum; None before the first book."""
        return None if self.touch is None else self.window.sums(now_ns)[0]
