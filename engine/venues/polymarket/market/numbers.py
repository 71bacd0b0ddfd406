"""Text to int at the door: prices and sizes as the venue writes them, exactly.

A price is counted in 0.0001 pUSD, a size in 0.000001 share, whatever the market's present tick.
"""

from __future__ import annotations

from engine.domain.readings import STAMP_NS_MAX, STAMP_NS_MIN, whole_units
from engine.errors import BadInput
from engine.feeds.counts import BadFrame

PRICE_DECIMALS = 4
SIZE_DECIMALS = 6
ONE = 10**PRICE_DECIMALS
"""The price of certainty."""

DIGITS_MAX = 18
"""More do not fit into 64 bits."""

SIZE_MAX = 10**15
"""A billion shares: the levels of a whole book still sum up in 64 bits."""

AHEAD_NS_MAX = 86_400 * 1_000_000_000
"""How far a stamp may be ahead of our clock. One of next year would make every later one old."""

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


def size_units(text: str) -> int:
    """Return a size in increments. Raises BadFrame where it is none, or no size of a book."""
    size = units(text, SIZE_DECIMALS, "size")
    if size > SIZE_MAX:
        raise BadFrame("size out of range", repr(text))
    return size


def stamp_of(text: str, now_ns: int) -> int:
    """Return a message's time in ns; the channel writes milliseconds.

    Raises BadFrame for other units, and for a time that is ahead of `now_ns` by more than a day.
    """
    stamp_ns = units(text, 0, "timestamp") * 1_000_000
    if not STAMP_NS_MIN <= stamp_ns < STAMP_NS_MAX:
        raise BadFrame("timestamp not in milliseconds", repr(text))
    # A simulated clock that begins at zero judges nothing.
    if stamp_ns > now_ns + AHEAD_NS_MAX and now_ns >= STAMP_NS_MIN:
        raise BadFrame("timestamp in the future", repr(text))
    return stamp_ns


def bounded(value: object, decimals: int, what: str, most: int) -> int:
    """Return a number of the metadata in units of 10^−decimals, from 0 to `most`.

    Raises BadFrame.
    """
    try:
        return whole_units(value, decimals, what, most=most)
    except BadInput as error:
        raise BadFrame(f"{what} out of range", str(error)) from None
