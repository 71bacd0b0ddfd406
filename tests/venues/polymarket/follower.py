"""A plain WebSocket client that keeps local books and proves each of them by its hash.

Written without the venue's code: hashlib and json alone, from Appendix C of the reference.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from decimal import Decimal
from typing import Any

from websockets.asyncio.client import ClientConnection

from tests.fakes.polymarket.listing import Listed

Side = dict[Decimal, tuple[str, str]]


class TokenBook:
    """One token's book as frames tell it."""

    def __init__(self, market: Listed, token: str) -> None:
        self.market, self.token = market.condition, token
        self.size_min, self.neg_risk = str(market.size_min), market.neg_risk
        self.tick, self.last = market.tick, ""
        self.bids: Side = {}
        self.asks: Side = {}
        self.loaded = False
        self.batch: tuple[str, str] | None = None
        self.proven = True
        self.torn = 0
        """Batches that ended without their hash."""
        self.proofs = 0
        self.books_wrong = 0
        self.tops_wrong = 0

    def hash(self, stamp: str) -> str:
        bids = [self.bids[price] for price in sorted(self.bids)]
        asks = [self.asks[price] for price in sorted(self.asks, reverse=True)]
        text = {
            "market": self.market,
            "asset_id": self.token,
            "timestamp": stamp,
            "hash": "",
            "bids": [{"price": price, "size": size} for price, size in bids],
            "asks": [{"price": price, "size": size} for price, size in asks],
            "min_order_size": self.size_min,
            "tick_size": self.tick,
            "neg_risk": self.neg_risk,
            "last_trade_price": self.last,
        }
        return hashlib.sha1(json.dumps(text, separators=(",", ":")).encode()).hexdigest()

    def book(self, frame: dict[str, Any]) -> None:
        self._close()
        self.tick = frame.get("tick_size", self.tick)
        self.last = frame.get("last_trade_price", self.last)
        for side, levels in ((self.bids, frame["bids"]), (self.asks, frame["asks"])):
            side.clear()
            side.update({Decimal(lv["price"]): (lv["price"], lv["size"]) for lv in levels})
        self.loaded = True
        self.batch = None
        if self.hash(frame["timestamp"]) == frame["hash"]:
            self.proofs += 1
        else:
            self.books_wrong += 1

    def change(self, entry: dict[str, str], stamp: str) -> None:
        if not self.loaded:
            return
        if self.batch != (stamp, entry["hash"]):
            self._close()
            self.batch, self.proven = (stamp, entry["hash"]), False
        side = self.bids if entry["side"] == "BUY" else self.asks
        price = Decimal(entry["price"])
        if Decimal(entry["size"]):
            side[price] = (entry["price"], entry["size"])
        else:
            side.pop(price, None)
        if not self.proven and self.hash(stamp) == entry["hash"]:
            self.proven = True
            self.proofs += 1
            best_bid = max(self.bids, default=Decimal(0))
            best_ask = min(self.asks, default=Decimal(1))
            tops = (Decimal(entry["best_bid"]), Decimal(entry["best_ask"]))
            self.tops_wrong += tops != (best_bid, best_ask)

    def _close(self) -> None:
        self.torn += self.batch is not None and not self.proven


class Follower:
    """Every token of some markets over one connection."""

    def __init__(self, markets: list[Listed]) -> None:
        self.books = {
            token: TokenBook(market, token) for market in markets for token in market.tokens
        }
        self._tokens = {market.condition: market.tokens for market in markets}
        self.frames = 0
        self.raw: list[str] = []
        self.keep = False
        self.kinds: dict[str, int] = {}

    async def subscribe(self, socket: ClientConnection, *, custom: bool = True) -> None:
        frame = {"type": "market", "assets_ids": list(self.books), "custom_feature_enabled": custom}
        await socket.send(json.dumps(frame))

    def take(self, text: str) -> None:
        if text == "PONG":
            return
        self.frames += 1
        if self.keep:
            self.raw.append(text)
        message = json.loads(text)
        for frame in message if isinstance(message, list) else [message]:
            kind = frame["event_type"]
            self.kinds[kind] = self.kinds.get(kind, 0) + 1
            if kind == "book":
                self.books[frame["asset_id"]].book(frame)
            elif kind == "price_change":
                for entry in frame["price_changes"]:
                    self.books[entry["asset_id"]].change(entry, frame["timestamp"])
            elif kind == "last_trade_price":
                price = frame["price"]
                shown = price if len(price) > 5 else f"{Decimal(price):.3f}"
                for token in self._tokens[frame["market"]]:
                    self.books[token].last = shown
            elif kind == "tick_size_change":
                self.books[frame["asset_id"]].tick = frame["new_tick_size"]

    async def drain(self, socket: ClientConnection, quiet_s: float = 0.3) -> None:
        """Read until nothing came for a while."""
        while True:
            try:
                async with asyncio.timeout(quiet_s):
                    self.take(str(await socket.recv()))
            except TimeoutError:
                return

    def sums(self) -> dict[str, int]:
        names = ("proofs", "torn", "books_wrong", "tops_wrong")
        return {name: sum(getattr(b, name) for b in self.books.values()) for name in names}
