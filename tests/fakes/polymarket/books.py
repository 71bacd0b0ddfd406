"""The public books as the venue writes them: texts, mirrors, tops and hashes.

A book is rebuilt here from the exchange's public events alone, so what sockets say is checked
against the matching engine and not copied from it. The hash is Appendix C's of polymarket.md.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from engine.domain.books import Book
from engine.domain.instruments import Leg, Side
from engine.venues.polymarket.market.book_hash import completes, end_of, head_of, stem
from tests.fakes.polymarket.listing import ONE, Listed

LEGS = (Leg.YES, Leg.NO)
Change = tuple[Side, int, int]


@lru_cache(maxsize=20_000)
def price_text(price: int) -> str:
    """Return a price of 1e-4 as the venue writes it: no trailing zeros."""
    return _trim(f"{price // 10_000}.{price % 10_000:04d}")


@lru_cache(maxsize=200_000)
def size_text(micro: int) -> str:
    """Return a size of 1e-6 as the venue writes it."""
    return _trim(f"{micro // 10**6}.{micro % 10**6:06d}")


def last_text(price: int) -> str:
    """Return a last trade price: three decimals, four where the grid is that fine."""
    text = f"{price // 10_000}.{price % 10_000:04d}"
    return text.removesuffix("0")


def _trim(text: str) -> str:
    return text.rstrip("0").rstrip(".")


class WireBook:
    """One market's book and what the venue says of it. Timestamps are texts of milliseconds."""

    def __init__(self, market: Listed) -> None:
        self.market = market
        self.book = Book()
        self._heads = {leg: head_of(market.condition, market.token(leg)) for leg in LEGS}
        self.said_ms = ""
        """When it last changed."""

    def levels(self, leg: Leg) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
        """Return a token's (bids, asks), best last, as (price, size) texts."""
        book = self.book
        bids = [(price, book.bids[price]) for price in book.bid_prices]
        asks = [(price, book.asks[price]) for price in reversed(book.ask_prices)]
        if leg is Leg.NO:
            bids, asks = (
                [(ONE - price, size) for price, size in asks],
                [(ONE - price, size) for price, size in bids],
            )
        return _texts(bids), _texts(asks)

    def tops(self, leg: Leg) -> tuple[str, str]:
        """Return a token's best bid and ask; an empty side is 0 or 1."""
        bid, ask = self.book.best_bid, self.book.best_ask
        if leg is Leg.NO:
            bid, ask = (
                None if ask is None else ONE - ask,
                None if bid is None else ONE - bid,
            )
        return "0" if bid is None else price_text(bid), "1" if ask is None else price_text(ask)

    def hash(self, leg: Leg, stamp: str) -> str:
        """Return the hash of a token's book as it is now."""
        bids, asks = (_side(levels) for levels in self.levels(leg))
        root = stem(self._heads[leg], stamp, bids, asks)
        root.update(self._end())
        return root.hexdigest()

    def proves(self, leg: Leg, stamp: str, expected: str) -> bool:
        """Say whether a hash is that of the present book."""
        bids, asks = (_side(levels) for levels in self.levels(leg))
        return completes(stem(self._heads[leg], stamp, bids, asks), expected, self._end())

    def _end(self) -> bytes:
        market = self.market
        return end_of(market.tick, market.last, str(market.size_min), neg_risk=market.neg_risk)

    # -- what is said ------------------------------------------------------------------------------

    def rest(self, leg: Leg) -> dict[str, Any]:
        """Return the REST OrderBook."""
        market = self.market
        return {
            **self._bare(leg, self.said_ms),
            "min_order_size": str(market.size_min),
            "tick_size": market.tick,
            "neg_risk": market.neg_risk,
            "last_trade_price": market.last,
        }

    def frame(self, leg: Leg, stamp: str, *, full: bool) -> dict[str, Any]:
        """Return a `book` frame; `full` as on subscription."""
        body = self._bare(leg, stamp)
        if not full:
            return body | {"event_type": "book"}
        ends = {"tick_size": self.market.tick, "event_type": "book"}
        return body | ends | {"last_trade_price": self.market.last}

    def _bare(self, leg: Leg, stamp: str) -> dict[str, Any]:
        bids, asks = self.levels(leg)
        return {
            "market": self.market.condition,
            "asset_id": self.market.token(leg),
            "timestamp": stamp,
            "hash": self.hash(leg, stamp),
            "bids": [{"price": price, "size": size} for price, size in bids],
            "asks": [{"price": price, "size": size} for price, size in asks],
        }

    def changed(self, changes: tuple[Change, ...], stamp: str) -> list[dict[str, Any]]:
        """Apply a batch; return its frames: one per level, all with the end's hash and tops."""
        self.book.apply(changes)
        self.said_ms = stamp
        ends = {leg: (self.hash(leg, stamp), *self.tops(leg)) for leg in LEGS}
        return [
            {
                "market": self.market.condition,
                "price_changes": [self._entry(leg, change, ends[leg]) for leg in LEGS],
                "timestamp": stamp,
                "event_type": "price_change",
            }
            for change in changes
        ]

    def _entry(self, leg: Leg, change: Change, end: tuple[str, str, str]) -> dict[str, str]:
        side, price, size = change
        buys = (side is Side.BUY) is (leg is Leg.YES)
        return {
            "asset_id": self.market.token(leg),
            "price": price_text(price if leg is Leg.YES else ONE - price),
            "size": size_text(size),
            "side": "BUY" if buys else "SELL",
            "hash": end[0],
            "best_bid": end[1],
            "best_ask": end[2],
        }

    def best(self, leg: Leg, stamp: str) -> dict[str, str]:
        """Return a `best_bid_ask` frame."""
        bid, ask = self.tops(leg)
        spread = int(float(ask) * ONE + 0.5) - int(float(bid) * ONE + 0.5)
        return {
            "market": self.market.condition,
            "asset_id": self.market.token(leg),
            "best_bid": bid,
            "best_ask": ask,
            "spread": price_text(spread),
            "timestamp": stamp,
            "event_type": "best_bid_ask",
        }


def _texts(levels: list[tuple[int, int]]) -> list[tuple[str, str]]:
    return [(price_text(price), size_text(size)) for price, size in levels]


def _side(levels: list[tuple[str, str]]) -> bytes:
    inner = ",".join(f'{{"price":"{price}","size":"{size}"}}' for price, size in levels)
    return f"[{inner}]".encode()
