"""The imbalance of a book, on average over a window."""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from engine.domain.books import Book
from engine.indicators.door import BookIndicator, FromS, ToS
from engine.indicators.window import TimeWeighted


class Imbalance(BookIndicator, gc=False):
    """Which side of the book was heavier: +1 = bids alone, −1 = asks alone."""

    name: ClassVar[str] = "imbalance"
    title: ClassVar[str] = "Book imbalance"
    formula: ClassVar[str] = (
        "time-weighted mean of (bid size − ask size) / (bid size + ask size), best n levels, "
        "over [now − t1, now − t2]"
    )
    source: ClassVar[str] = "Cartea, Donnelly and Jaimungal (2018), Enhancing trading strategies"
    unit: ClassVar[str] = "−1 to 1"

    levels: Annotated[int, Meta(ge=1, le=20, description="levels of each side")] = 1
    from_s: FromS = 10.0
    to_s: ToS = 0.0
    held: TimeWeighted = msgspec.field(default_factory=TimeWeighted)

    def __post_init__(self) -> None:
        if not self.held.from_s:
            self.held = TimeWeighted(self.from_s, self.to_s)

    def on_book(self, book: Book, now_ns: int) -> None:
        """Take the book."""
        bids = sum(book.bids[price] for price in book.bid_prices[-self.levels :])
        asks = sum(book.asks[price] for price in book.ask_prices[: self.levels])
        self.held.on_value((bids - asks) / (bids + asks), now_ns)

    def value(self, now_ns: int) -> float | None:
        """Return the mean over what of the window is known."""
        return self.held.mean(now_ns)
