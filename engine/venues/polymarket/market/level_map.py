"""Levels in the venue's bytes → (price, size) in YES-space. The hot spot of every full book."""

from __future__ import annotations

from functools import lru_cache

from engine.domain.books import Level
from engine.feeds.counts import BadFrame
from engine.venues.polymarket.market.numbers import (
    DIGITS_MAX,
    ONE,
    PRICE_DECIMALS,
    PRICES_MAX,
    SIZE_DECIMALS,
    SIZE_MAX,
    units,
)

LEVELS_MAX = 16_384
"""Levels a LevelMap remembers: a third of what changes between frames was there before."""

_PRICE_KEY = b'"price":"'
_QUOTE = ord('"')

# By the length of what follows the point, closing quote included; 0 = there was no point. A bare
# point ("350.") leaves length 1 and is no number of the venue's.
_SCALES = (10**SIZE_DECIMALS, 0, *(10 ** (SIZE_DECIMALS - d) for d in range(1, SIZE_DECIMALS + 1)))
_FINE = frozenset((0, *range(2, SIZE_DECIMALS + 2)))
_WHOLE_MAX = DIGITS_MAX - SIZE_DECIMALS


class OddShape(Exception):
    """A level is not written the compact way."""


class LevelMap(dict[bytes, Level]):
    """`"price":"0.48","size":"350"` → (4800, 350000000). Bounded.

    `mirrored`: the levels are the NO token's, prices are given as 1 − price. Raises OddShape for
    other white space, order or keys, BadFrame for what is no level of a book (size zero included).
    """

    __slots__ = ("_mirrored", "_prices")

    def __init__(self, *, mirrored: bool = False) -> None:
        super().__init__()
        self._mirrored = mirrored
        self._prices: dict[bytes, int] = {}

    def __missing__(self, part: bytes) -> Level:
        head, _, tail = part.partition(b'","size":"')
        price = self._prices.get(head)
        if price is None:
            price = self._price(head)
        whole, _, decimals = tail.partition(b".")
        digits = whole + decimals[:-1] if decimals else whole[:-1]
        plain = digits.isdigit() and len(whole) <= _WHOLE_MAX
        if plain and len(decimals) in _FINE and tail[-1] == _QUOTE:
            size = int(digits) * _SCALES[len(decimals)]
        else:
            size = _odd_size(tail)
        if not 0 < size <= SIZE_MAX:
            kind = "size out of range" if size else "size zero"
            raise BadFrame(kind, "a full book names no such level")
        if len(self) >= LEVELS_MAX:
            self.clear()
        level = self[part] = price, size
        return level

    def _price(self, head: bytes) -> int:
        """Return the price of `"price":"0.48` in YES-space and remember it."""
        text = head[len(_PRICE_KEY) :]
        if not head.startswith(_PRICE_KEY) or _QUOTE in text:
            raise OddShape
        price = price_units(text.decode("latin-1"))
        if self._mirrored:
            price = ONE - price
        if len(self._prices) >= PRICES_MAX:
            self._prices.clear()
        self._prices[head] = price
        return price


def _odd_size(tail: bytes) -> int:
    """Return the size of `350.1250000"`, or say what is wrong with it."""
    if not tail.endswith(b'"') or b'"' in tail[:-1]:
        raise OddShape
    return units(tail[:-1].decode("latin-1"), SIZE_DECIMALS, "size")


@lru_cache(maxsize=PRICES_MAX)
def price_units(text: str) -> int:
    """Return a price inside (0, 1) in increments. Raises BadFrame. Remembers, bounded."""
    price = units(text, PRICE_DECIMALS, "price")
    if not 0 < price < ONE:
        raise BadFrame("price out of range", repr(text))
    return price
