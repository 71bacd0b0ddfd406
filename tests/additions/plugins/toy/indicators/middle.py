"""The middle of a book, in price increments."""

from __future__ import annotations

from engine.domain.books import Book


def middle(book: Book) -> int | None:
    """Return the price halfway between the best levels, rounded down; None without both."""
    if not book.bid_prices or not book.ask_prices:
        return None
    return (book.bid_prices[-1] + book.ask_prices[0]) // 2
