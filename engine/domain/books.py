"""Order books in ints: a dict per side for sizes, a sorted list per side for the best price.

A binary's book is kept once, in YES-space: an ask in the NO book at q is a bid at 1 − q here.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable

from engine.domain.instruments import Side

_BUY = Side.BUY

Level = tuple[int, int]
"""(price, size) in the instrument's increments."""


def microprice(bid: int, bid_size: int, ask: int, ask_size: int) -> float:
    """Return the mid weighted by the opposite sizes, in price increments.

    (bid·ask_size + ask·bid_size) / (bid_size + ask_size): much size on the bid pushes it towards
    the ask. It is the first-order term of Stoikov (2018), "The micro-price". Both sizes > 0, which
    a book's levels are.
    """
    return (bid * ask_size + ask * bid_size) / (bid_size + ask_size)


class Book:
    """One order book. Mutable, owned by exactly one room; never repairs itself.

    `bids` and `asks` map price → size > 0; `bid_prices` and `ask_prices` are ascending.
    """

    __slots__ = ("ask_prices", "asks", "bid_prices", "bids")

    def __init__(self) -> None:
        self.bids: dict[int, int] = {}
        self.asks: dict[int, int] = {}
        self.bid_prices: list[int] = []
        self.ask_prices: list[int] = []

    def replace(self, bids: Iterable[Level], asks: Iterable[Level]) -> None:
        """Load a snapshot. Levels of size zero are left out."""
        self.bids = {price: size for price, size in bids if size > 0}
        self.asks = {price: size for price, size in asks if size > 0}
        self.bid_prices = sorted(self.bids)
        self.ask_prices = sorted(self.asks)

    def apply(self, changes: Iterable[tuple[Side, int, int]]) -> None:
        """Set aggregate sizes of levels, in order; 0 removes one (venues send absolute sizes)."""
        bids, asks = self.bids, self.asks
        for side, price, size in changes:
            levels = bids if side is _BUY else asks
            if price in levels:
                if size > 0:
                    levels[price] = size
                else:
                    del levels[price]
                    prices = self.bid_prices if side is _BUY else self.ask_prices
                    del prices[bisect_left(prices, price)]
            elif size > 0:
                insort(self.bid_prices if side is _BUY else self.ask_prices, price)
                levels[price] = size

    @property
    def best_bid(self) -> int | None:
        """Highest bid, or None where the side is empty."""
        return self.bid_prices[-1] if self.bid_prices else None

    @property
    def best_ask(self) -> int | None:
        """Lowest ask, or None where the side is empty."""
        return self.ask_prices[0] if self.ask_prices else None

    @property
    def touch(self) -> tuple[int, ...]:
        """Best bid and its size, then best ask and its size; (0, 0) for an empty side."""
        bids, asks = self.bid_prices, self.ask_prices
        bid, ask = bids[-1] if bids else 0, asks[0] if asks else 0
        return bid, self.bids.get(bid, 0), ask, self.asks.get(ask, 0)

    @property
    def crossed(self) -> bool:
        return bool(
            self.bid_prices and self.ask_prices and self.bid_prices[-1] >= self.ask_prices[0]
        )

    def depth(self, side: Side, levels: int) -> list[Level]:
        """Return up to `levels` levels of a side, best first."""
        if side is Side.BUY:
            return [(price, self.bids[price]) for price in self.bid_prices[: -levels - 1 : -1]]
        return [(price, self.asks[price]) for price in self.ask_prices[:levels]]
