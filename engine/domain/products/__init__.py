"""Products: what a kind of instrument is, in one value.

`Instrument.product` gives the product of an instrument. What differs between a binary and a thing
with one price is asked there: which legs there are, how far a price can go, what sells and what
opens in one direction of the book, what a position can lose, and the words people read. A new kind
is a file beside these and a row of `PRODUCTS`.

Levels are prices of the first leg (YES-space for a binary). Prices and sizes are in the
instrument's increments, money in micro-units of its currency.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from engine.domain.legs import Kind
from engine.domain.products.binary import Binary
from engine.domain.products.linear import Linear
from engine.domain.products.perpetual import PerpetualContract
from engine.domain.products.product import Product, ProductTerms

__all__ = [
    "PRODUCTS",
    "RAW",
    "Product",
    "beside_holding",
    "funded",
    "opening_price",
    "quoted_in_cents",
]

PRODUCTS: Mapping[Kind, Callable[[ProductTerms], Product]] = {
    Kind.BINARY: Binary.of,
    Kind.SPOT: Linear.of,
    Kind.PERPETUAL: PerpetualContract.of,
}

RAW = Kind.BINARY
"""Of which kind the markets of a raw recording are: no other venue's is read."""


def opening_price(product: Product, level: int, *, long: bool) -> int:
    """Return what one unit opened at a level costs, in price increments.

    A short that no leg of the product opens costs the level.
    """
    return product.opening(level, long)[1] if long or product.opens_asks else level


def quoted_in_cents(kind: str | None) -> bool:
    """Say whether the prices of a kind are quoted in hundredths of the currency."""
    return kind == Kind.BINARY


def funded(kind: str) -> bool:
    """Say whether who holds a thing of this kind pays or gets funding."""
    return kind == Kind.PERPETUAL


def beside_holding(kind: str) -> bool:
    """Say whether a gain counts only above what holding the thing alone brought.

    Who holds a binary waits for an outcome: that is no market's return.
    """
    return kind != Kind.BINARY
