"""The spread of a book, on average over a window."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from engine.domain.books import Book
from engine.indicators.door import BookIndicator, FromS, ToS
from engine.indicators.window import TimeWeighted


class Spread(BookIndicator, gc=False):
    """How far the best ask stood above the best bid on average."""

    name: ClassVar[str] = "spread"
    title: ClassVar[str] = "Quoted spread"
    formula: ClassVar[str] = "time-weighted mean of (best ask − best bid) over [now − t1, now − t2]"
    source: ClassVar[str] = "Demsetz (1968), The cost of transacting"
    unit: ClassVar[str] = "price"

    from_s: FromS = 60.0
    to_s: ToS = 0.0
    held: TimeWeighted = msgspec.field(default_factory=TimeWeighted)

    def __post_init__(self) -> None:
        if not self.held.from_s:
            self.held = TimeWeighted(self.from_s, self.to_s)

    def on_book(self, book: Book, now_ns: int) -> None:
        """Take the book."""
        wide = (book.ask_prices[0] - book.bid_prices[-1]) * self.price_unit
        self.held.on_value(wide, now_ns)

    def value(self, now_ns: int) -> float | None:
        """Return the mean over what of the window is known."""
        return self.held.mean(now_ns)
