"""One token's book in the venue's own bytes; what it tells is in YES-space."""

from __future__ import annotations

from engine.domain.instruments import Side
from engine.feeds.bad_frame import BadFrame
from engine.venues.polymarket.market.book_hash import Sides, head_of
from engine.venues.polymarket.market.frames import PriceChange
from engine.venues.polymarket.market.level_map import LevelMap, price_units
from engine.venues.polymarket.market.numbers import ONE
from engine.venues.polymarket.market.side_book import SideBook

Change = tuple[Side, int, int]
"""(side, price, new size) in YES-space."""

_BUY, _SELL = Side.BUY, Side.SELL


class TokenBook:
    """One token's book in the venue's own bytes; what it tells is in YES-space."""

    __slots__ = (
        "_agreed",
        "asks",
        "asset_id",
        "bids",
        "hash",
        "head",
        "loaded",
        "mirrored",
        "stamp_ns",
    )

    def __init__(self, condition: str, asset_id: str, levels: LevelMap, *, mirrored: bool) -> None:
        self.asset_id = asset_id
        self.mirrored = mirrored
        self.head = head_of(condition, asset_id)
        self.bids = SideBook(levels, rising=not mirrored)
        self.asks = SideBook(levels, rising=mirrored)
        self.loaded = False
        self.stamp_ns = 0
        """The venue's stamp of the newest content."""
        self.hash = ""
        self._agreed: tuple[object, ...] = ()
        """Tops as advertised and as ours, when they last were the same: they seldom change."""

    def load(self, bids: bytes, asks: bytes) -> None:
        """Take a full book. Raises BadFrame; the token is then not loaded."""
        self.loaded = False
        self.bids.load(bids)
        self.asks.load(asks)
        if self.crossed:
            raise BadFrame("crossed book")
        self.loaded = True

    def change(self, entry: PriceChange, size: int) -> Change:
        """Apply one level of a size already read, and give it in YES-space. Raises BadFrame."""
        side, price = entry.side, price_units(entry.price)
        if side == "BUY":
            own, buys = self.bids, not self.mirrored
        elif side == "SELL":
            own, buys = self.asks, self.mirrored
        else:
            raise BadFrame("unknown side", side)
        if self.mirrored:
            price = ONE - price
        part = f'"price":"{entry.price}","size":"{entry.size}"'.encode()
        own.change(part, price, gone=size == 0)
        return (_BUY if buys else _SELL), price, size

    def sides(self) -> Sides:
        """Return the book as it is now."""
        bids, asks = self.bids.levels(), self.asks.levels()
        return (asks, bids) if self.mirrored else (bids, asks)

    @property
    def crossed(self) -> bool:
        """Return whether the best bid is at or above the best ask."""
        bid, ask = self.bids.best, self.asks.best
        if bid is None or ask is None:
            return False
        return bid <= ask if self.mirrored else bid >= ask

    def tops_match(self, entry: PriceChange) -> bool:
        """Return whether the venue's advertised best bid and ask are ours."""
        tops = (entry.best_bid, entry.best_ask, self.bids.best, self.asks.best)
        if tops == self._agreed:
            return True
        if self._is(tops[0], tops[2], "0") and self._is(tops[1], tops[3], "1"):
            self._agreed = tops
            return True
        return False

    def _is(self, advertised: str | None, best: int | None, nothing: str) -> bool:
        """Compare one top; an empty side is advertised as 0 or 1, or not at all."""
        if best is None:
            return advertised in {None, "", "0", nothing}
        try:
            price = price_units(advertised or "")
        except BadFrame:
            return False
        return (ONE - price if self.mirrored else price) == best

    def forget(self) -> None:
        """Drop the content; a snapshot must come."""
        self.loaded = False
        self.stamp_ns = 0
        self.hash = ""
        self.bids.forget()
        self.asks.forget()
