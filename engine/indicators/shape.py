"""The shape of a book as numbers: microprice and order imbalance. Stateless."""

from __future__ import annotations

from engine.domain.books import Book


def microprice(bid: int, bid_size: int, ask: int, ask_size: int) -> float:
    """Return the mid weighted by the opposite sizes, in price increments.

    (bid·ask_size + ask·bid_size) / (bid_size + ask_size): much size on the bid pushes it towards
    the ask. It is the first-order term of Stoikov (2018), "The micro-price". Both sizes > 0, which
    a book's levels are.
    """
    return (bid * ask_size + ask * bid_size) / (bid_size + ask_size)


def book_microprice(book: Book) -> float | None:
    """Return the microprice of a book; None where a side is empty."""
    if not book.bid_prices or not book.ask_prices:
        return None
    bid, ask = book.bid_prices[-1], book.ask_prices[0]
    return microprice(bid, book.bids[bid], ask, book.asks[ask])


def order_imbalance(book: Book, levels: int) -> float | None:
    """Return (bid − ask) / (bid + ask) of the sizes on the best `levels` levels, −1 … 1.

    None where the book is empty on both sides.
    """
    bids, asks = book.bids, book.asks
    bid_size = sum(bids[price] for price in book.bid_prices[-levels:])
    ask_size = sum(asks[price] for price in book.ask_prices[:levels])
    total = bid_size + ask_size
    return (bid_size - ask_size) / total if total else None
