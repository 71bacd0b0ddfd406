"""One side of an order book, as files of levels change it."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort

from engine.lab.formats.numbers import parts_of
from engine.lab.formats.tables import Cells


class Levels:
    """One side of a book: its prices in order, and the size at each as the file writes it."""

    def __init__(self) -> None:
        self._sizes: dict[int, tuple[str, str]] = {}
        self._prices: list[int] = []

    def put(self, price: str, size: str) -> None:
        """Set what stands at a price; a size of zero = nothing. Raises BadInput for no number."""
        key = parts_of(price, exact=True)
        if parts_of(size, exact=False) == 0:
            if self._sizes.pop(key, None) is not None:
                del self._prices[bisect_left(self._prices, key)]
            return
        if key not in self._sizes:
            insort(self._prices, key)
        self._sizes[key] = price, size

    def clear(self) -> None:
        """Take every level away."""
        self._sizes.clear()
        self._prices.clear()

    def clear_to(self, price: str, *, highest: bool) -> None:
        """Take away the levels from the best one to a price. Raises BadInput for no number.

        `highest` = the highest is the best: those at or above it go, else those at or below it.
        """
        key = parts_of(price, exact=True)
        gone = (
            self._prices[bisect_left(self._prices, key) :]
            if highest
            else self._prices[: bisect_right(self._prices, key)]
        )
        for one in gone:
            del self._sizes[one]
        self._prices = [one for one in self._prices if one in self._sizes]

    def best(self, *, highest: bool) -> tuple[str, str]:
        """Return price and size of the highest or lowest; nothing where none stands."""
        return self._sizes[self._prices[-1 if highest else 0]] if self._prices else ("", "")


def quote_row(time: str, bids: Levels, asks: Levels) -> Cells:
    """Return best bid and ask at a time, as rows of quotes have them."""
    (bid, bid_size), (ask, ask_size) = bids.best(highest=True), asks.best(highest=False)
    return [time, bid, ask, bid_size, ask_size]
