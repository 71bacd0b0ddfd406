"""The venue's own checksum of a book, and the search for what a frame leaves out of it.

`hash` = SHA-1 of compact JSON with exactly these keys in this order: market, asset_id, timestamp,
hash (empty), bids, asks, min_order_size, tick_size, neg_risk, last_trade_price. Levels stand as the
venue sends them (bids ascending, asks descending), last_trade_price with three decimals. Source:
solved on recordings, 611,309 of 611,309 book frames.

A later book frame names neither tick nor last trade price. Both come from small sets, so whatever
completes the checksum is proven by it: nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from hashlib import sha1
from typing import TYPE_CHECKING

from engine.domain.books import Level
from engine.venues.polymarket.market.numbers import ONE

if TYPE_CHECKING:
    from hashlib import _Hash

Sides = tuple[tuple[Level, ...], tuple[Level, ...]]
"""(bids, asks) of a book in YES-space, best last."""

Text = bytes | bytearray
Texts = tuple[Text, Text]
"""(bids, asks) of one token in compact JSON, in the venue's order."""

PIECE = 2_047
"""Bytes hashed at once: with one more `hashlib` hands the interpreter to whichever thread waits for
it, in the middle of a frame, and must wait to get it back."""

PRICE_STEPS = 1_000
"""Last trade prices are written in thousandths."""

_STEP = ONE // PRICE_STEPS

TICKS = ("0.01", "0.001")
"""Tick sizes a recording may leave out, as the venue writes them."""

ALL_TICKS = (*TICKS, "0.1", "0.005", "0.0025", "0.0001")
"""Every tick size the venue has, the usual ones first."""

GRID = (*range(0, PRICE_STEPS + 1, 10), *(m for m in range(PRICE_STEPS + 1) if m % 10))
"""All last trade prices in thousandths: whole cents first, then the rest."""


def head_of(market: str, asset_id: str) -> bytes:
    """Return the constant beginning of a token's hashed text."""
    return f'{{"market":"{market}","asset_id":"{asset_id}","timestamp":"'.encode()


def stem(head: bytes, timestamp: str, bids: Text, asks: Text) -> _Hash:
    """Hash everything but the end. `bids` and `asks` are the sides' verbatim compact JSON."""
    return sha1(  # noqa: S324 - the venue chose SHA-1; it guards against loss, not malice
        b"".join((head, timestamp.encode(), b'","hash":"","bids":', bids, b',"asks":', asks))
    )


def proves(head: bytes, timestamp: str, sides: Texts, end: bytes, expected: str) -> bool:
    """Return whether a book, (bids, asks) as in `stem`, has this very hash."""
    whole = sha1(  # noqa: S324 - the venue chose SHA-1; it guards against loss, not malice
        head + timestamp.encode() + b'","hash":"","bids":'
    )
    update, bids, asks = whole.update, sides[0], sides[1]
    if len(bids) > PIECE or len(asks) > PIECE:
        text = b"".join((bids, b',"asks":', asks, end))
        for start in range(0, len(text), PIECE):
            update(text[start : start + PIECE])
    else:
        update(bids)
        update(b',"asks":')
        update(asks)
        update(end)
    return whole.hexdigest() == expected


@lru_cache(maxsize=4_096)
def end_of(
    tick_size: str, last_trade_price: str, min_order_size: str = "5", *, neg_risk: bool = False
) -> bytes:
    """Return the end of the hashed text. All texts verbatim as the venue writes them. Remembers."""
    return (
        f',"min_order_size":"{min_order_size}","tick_size":"{tick_size}",'
        f'"neg_risk":{"true" if neg_risk else "false"},"last_trade_price":"{last_trade_price}"}}'
    ).encode()


@lru_cache(maxsize=64)
def ends(tick_size: str, min_order_size: str = "5", *, neg_risk: bool = False) -> tuple[bytes, ...]:
    """Return the end of the hashed text for each last trade price, by thousandths."""
    return tuple(
        end_of(tick_size, price_text(price), min_order_size, neg_risk=neg_risk)
        for price in range(PRICE_STEPS + 1)
    )


def price_text(price: int) -> str:
    """Return thousandths as the venue writes a last trade price: 480 → `0.480`."""
    return f"{price // PRICE_STEPS}.{price % PRICE_STEPS:03d}"


def completes(root: _Hash, expected: str, end: bytes) -> bool:
    probe = root.copy()
    probe.update(end)
    return probe.hexdigest() == expected


def find(root: _Hash, expected: str, tails: tuple[bytes, ...], prices: Iterable[int]) -> int | None:
    """Return the first of `prices` (thousandths) that completes the hash, or None."""
    for price in prices:
        probe = root.copy()
        probe.update(tails[price])
        if probe.hexdigest() == expected:
            return price
    return None


def touches(*books: Sides) -> list[int]:
    """Return where a trade most likely was, in thousandths: it rested on a touch of these books.

    Both readings of a touch come, p and 1 − p: the price stands in the resting order's token.
    """
    likely: list[int] = []
    for bids, asks in books:
        if bids:
            own = bids[-1][0] // _STEP
            likely += (own, PRICE_STEPS - own)
        if asks:
            own = asks[-1][0] // _STEP
            likely += (PRICE_STEPS - own, own)
    return likely


def thousandths(text: str) -> int | None:
    """Return a last trade price in thousandths; None where it is not written in three decimals."""
    whole, dot, part = text.partition(".")
    digits = whole + part
    if not dot or len(part) != 3 or not (digits.isascii() and digits.isdigit()):
        return None
    price = int(digits)
    return price if price <= PRICE_STEPS else None
