"""The middle of a book: as a function, and as an indicator that every bot may read."""

from __future__ import annotations

from typing import ClassVar

from engine.domain.books import Book
from engine.indicators.door import BookIndicator


def middle(book: Book) -> int | None:
    """Return the price halfway between the best levels, rounded down; None without both."""
    if not book.bid_prices or not book.ask_prices:
        return None
    return (book.bid_prices[-1] + book.ask_prices[0]) // 2


class Middle(BookIndicator, gc=False):
    """The middle of the book as it stood last with both sides."""

    name: ClassVar[str] = "middle"
    title: ClassVar[str] = "Middle of the book"
    formula: ClassVar[str] = "(best bid + best ask) / 2"
    source: ClassVar[str] = "the definition"
    unit: ClassVar[str] = "currency"

    at: float | None = None

    def on_book(self, book: Book, now_ns: int) -> None:
        """Take the book after a change."""
        del now_ns
        found = middle(book)
        if found is not None:
            self.at = found * self.price_unit

    def value(self, now_ns: int) -> float | None:
        """Return it; None before the first book."""
        del now_ns
        return self.at
