"""One side of a token's book that takes both full frames and single changes.

Levels are kept as the venue's own bytes, so that the side's text, and with it the book's hash, can
be written at any moment. Prices are in YES-space; the text runs towards the best, as the venue's.
"""

from __future__ import annotations

from bisect import bisect_left, insort

from engine.domain.books import Level
from engine.feeds.polymarket.level_map import LevelMap
from engine.feeds.polymarket.side_reader import SideReader


class SideBook:
    """One side of one token. `rising` as in SideReader: YES-space prices rise towards the best."""

    __slots__ = ("_levels", "_parts", "_prices", "_raw", "_reader", "_rising", "_text")

    def __init__(self, levels: LevelMap, *, rising: bool) -> None:
        self._levels = levels
        self._rising = rising
        self._reader = SideReader(levels, rising=rising)
        self._raw: bytes | None = None
        """The last full frame, while nothing has changed since."""
        self._text: bytes | None = None
        """The side as written last, while nothing has changed since."""
        self._parts: dict[int, bytes] = {}
        self._prices: list[int] = []

    def load(self, raw: bytes) -> tuple[Level, ...]:
        """Take a full side; give its levels, best last. Raises BadFrame and forgets."""
        levels = self._reader.read(raw)
        self._raw = raw
        return levels

    def change(self, part: bytes, price: int, *, gone: bool) -> None:
        """Set or remove one level. `part` = `"price":"0.48","size":"350"`, price in YES-space."""
        if self._raw is not None:
            self._open()
        self._text = None
        if not gone:
            if price not in self._parts:
                insort(self._prices, price)
            self._parts[price] = part
        elif price in self._parts:
            del self._parts[price]
            del self._prices[bisect_left(self._prices, price)]

    def text(self) -> bytes:
        """Return the side as the venue writes it."""
        text = self._raw if self._raw is not None else self._text
        if text is None:
            order = self._prices if self._rising else reversed(self._prices)
            levels = b"},{".join(map(self._parts.__getitem__, order))
            text = self._text = b"[{" + levels + b"}]" if levels else b"[]"
        return text

    def levels(self) -> tuple[Level, ...]:
        """Return the levels in YES-space, best last."""
        if self._raw is not None:
            return self._reader.read(self._raw)
        order = self._prices if self._rising else reversed(self._prices)
        return tuple([self._levels[self._parts[price]] for price in order])

    @property
    def best(self) -> int | None:
        """Return the best price in YES-space, None where the side is empty."""
        if self._raw is not None:
            self._open()
        if not self._prices:
            return None
        return self._prices[-1] if self._rising else self._prices[0]

    def forget(self) -> None:
        """Drop everything."""
        self._reader.forget()
        self._raw = self._text = None
        self._parts = {}
        self._prices = []

    def _open(self) -> None:
        """Make single levels of the last full frame."""
        raw, self._raw = self._raw, None
        self._text = raw
        self._parts = self._reader.parts(raw or b"[]")
        self._prices = sorted(self._parts)
