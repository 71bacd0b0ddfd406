"""One token's book in the venue's own bytes; what it tells is in YES-space."""

from __future__ import annotations

from bisect import bisect_left

from engine.domain.books import Level
from engine.domain.instruments import Side
from engine.feeds.counts import BadFrame
from engine.venues.polymarket.market.book_hash import Sides, head_of
from engine.venues.polymarket.market.frames import PriceChange
from engine.venues.polymarket.market.level_map import LevelMap, price_units
from engine.venues.polymarket.market.numbers import ONE
from engine.venues.polymarket.market.side_reader import SideReader

# -- One side of a token's book that takes both full frames and single changes ---------------------
# The side's text, from which the book's hash is made, is kept in one piece and every change is
# cut into it where its level stands: joining fifty levels scattered in memory costs as much as
# the hash. Prices are in YES-space; the text runs towards the best, as the venue's.

_BETWEEN = b"},{"


class SideBook:
    """One side of one token. `rising` as in SideReader: YES-space prices rise towards the best."""

    __slots__ = ("_keys", "_levels", "_loaded", "_parts", "_raw", "_reader", "_sign", "_text")

    def __init__(self, levels: LevelMap, *, rising: bool) -> None:
        self._levels = levels
        self._sign = 1 if rising else -1
        self._reader = SideReader(levels, rising=rising)
        self._raw: bytes | None = None
        """The last full frame, while nothing has changed since."""
        self._loaded: tuple[Level, ...] = ()
        """Its levels, best last."""
        self._text: bytes | bytearray = b"[]"
        """The side as the venue writes it; once a level was changed, always as it is now."""
        self._keys: list[int] = []
        """Prices in the order of the text, so always ascending: negative where they fall."""
        self._parts: list[bytes] = []
        """The levels' bytes beside their keys."""

    def load(self, raw: bytes) -> None:
        """Take a full side. Raises BadFrame and forgets."""
        if self._raw is None and raw == self._text:
            return  # as it is here already: a book that follows a trade mostly is
        self._loaded = self._reader.read(raw)
        self._raw = raw

    def change(self, part: bytes, price: int, *, gone: bool) -> None:
        """Set or remove one level. `part` = `"price":"0.48","size":"350"`, price in YES-space."""
        if self._raw is not None:
            self._open()
        text, keys, parts = self._text, self._keys, self._parts
        if type(text) is not bytearray:
            text = self._text = bytearray(_written(parts))
        key = self._sign * price
        at = bisect_left(keys, key)
        if at < len(keys) and keys[at] == key:
            old = parts[at]
            start = text.rfind(old)  # from the end: most changes are near the best
            if not gone:
                parts[at] = part
                text[start : start + len(old)] = part
                return
            del keys[at], parts[at]
            _cut(text, start, len(old), only_one=not keys)
        elif not gone:
            _put(text, part, text.rfind(parts[at]) if at < len(parts) else -1)
            keys.insert(at, key)
            parts.insert(at, part)

    def text(self) -> bytes | bytearray:
        """Return the side as the venue writes it. Read it before the next change."""
        return self._text if self._raw is None else self._raw

    def levels(self) -> tuple[Level, ...]:
        """Return the levels in YES-space, best last."""
        if self._raw is not None:
            return self._loaded
        return tuple([self._levels[part] for part in self._parts])

    @property
    def best(self) -> int | None:
        """Return the best price in YES-space, None where the side is empty."""
        if self._raw is not None:
            return self._loaded[-1][0] if self._loaded else None
        return self._sign * self._keys[-1] if self._keys else None

    def forget(self) -> None:
        self._reader.forget()
        self._raw, self._text, self._loaded = None, b"[]", ()
        self._keys = []
        self._parts = []

    def _open(self) -> None:
        """Make single levels of the last full frame."""
        raw, self._raw = self._raw or b"[]", None
        self._text = raw
        parts = self._reader.parts(raw)
        sign = self._sign
        self._keys = sorted([sign * price for price in parts])
        self._parts = [parts[sign * key] for key in self._keys]


def _written(parts: list[bytes]) -> bytes:
    """Return levels as the venue writes a side."""
    return b"[{" + _BETWEEN.join(parts) + b"}]" if parts else b"[]"


def _put(text: bytearray, part: bytes, before: int) -> None:
    """Put a level before the one that starts at `before`, −1 = behind all."""
    if before >= 0:
        text[before:before] = part + _BETWEEN
    elif len(text) == len(b"[]"):
        text[:] = _written([part])
    else:
        text[-2:] = _BETWEEN + part + b"}]"


def _cut(text: bytearray, start: int, size: int, *, only_one: bool) -> None:
    """Cut a level out, with what stands between it and a neighbour."""
    end = start + size
    if only_one:
        text[:] = b"[]"
    elif end == len(text) - 2:
        del text[start - len(_BETWEEN) : end]
    else:
        del text[start : end + len(_BETWEEN)]


# -- One token's book in the venue's own bytes; what it tells is in YES-space ----------------------

LevelChange = tuple[Side, int, int]
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

    def change(self, entry: PriceChange, size: int) -> LevelChange:
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
        bids, asks = self.bids.levels(), self.asks.levels()
        return (asks, bids) if self.mirrored else (bids, asks)

    @property
    def crossed(self) -> bool:
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
