"""Text to int at the door: prices and sizes as the venue writes them, exactly.

A price is counted in 0.0001 pUSD, a size in 0.000001 share, whatever the market's present tick.
"""

from __future__ import annotations

from engine.feeds.counts import BadFrame

PRICE_DECIMALS = 4
SIZE_DECIMALS = 6
ONE = 10**PRICE_DECIMALS
"""The price of certainty."""

DIGITS_MAX = 18
"""More do not fit into 64 bits."""

PRICES_MAX = 4_096
"""Price texts a map remembers: 999 prices of the finest common grid, written in several ways."""


def units(text: str, decimals: int, what: str) -> int:
    """Return `text` in units of 10^−decimals. Raises BadFrame where it is not exactly that.

    Takes plain decimals only ("0.48", ".48", "350"): no sign, no exponent, no NaN, 64 bits.
    """
    whole, dot, part = text.partition(".")
    digits = whole + part
    if not (digits.isascii() and digits.isdigit()) or len(whole) + decimals > DIGITS_MAX:
        if text.startswith("-"):
            raise BadFrame(f"{what} negative", repr(text))
        raise BadFrame(f"{what} not a number", repr(text))
    if dot and not part:
        raise BadFrame(f"{what} not a number", repr(text))
    if len(part) > decimals:
        if part[decimals:].strip("0"):
            raise BadFrame(f"{what} too fine", f"{text!r} has more than {decimals} decimals")
        digits = whole + part[:decimals]
        part = part[:decimals]
    return int(digits) * int(10 ** (decimals - len(part)))
