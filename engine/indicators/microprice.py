"""The microprice of a book."""

from __future__ import annotations

from typing import ClassVar

from engine.domain.books import Book, microprice
from engine.indicators.door import BookIndicator


class Microprice(BookIndicator, gc=False):
    """The mid, pushed towards the lighter side of the touch."""

    name: ClassVar[str] = "microprice"
    title: ClassVar[str] = "Microprice"
    formula: ClassVar[str] = "(bid · ask size + ask · bid size) / (bid size + ask size)"
    source: ClassVar[str] = "Stoikov (2018), The micro-price, first order"
    unit: ClassVar[str] = "price"

    last: float | None = None

    def on_book(self, book: Book, now_ns: int) -> None:
        """Take the book."""
        del now_ns
        self.last = microprice(*book.touch) * self.price_unit

    def value(self, now_ns: int) -> float | None:
        """Return that of the last two-sided book."""
        del now_ns
        return self.last
