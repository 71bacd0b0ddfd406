"""Numbers and times as they stand in files: prices and sizes in parts of 1e-8, times in ns UTC."""

from __future__ import annotations

import datetime as dt
import re
from decimal import Context, Decimal, InvalidOperation

from engine.errors import BadInput

S = 1_000_000_000
DECIMALS_MAX = 8
"""Finer prices are refused, finer volumes are cut: an account counts in 1e-8 at most."""
PARTS = 10**DECIMALS_MAX
DOUBLE = Context(prec=15)
"""Digits that a double keeps of any decimal number."""
PARTS_MAX = 2**63 - 1
"""Largest price or volume in parts: 92 billion."""

TIMES = ("open_time", "timestamp", "time", "date", "datetime", "open time")


class NotANumber(BadInput):
    """A cell holds no number at all."""


def plain_parts(text: str) -> int:
    """Read a number written as digits and at most 8 decimals, in parts of 1e-8; 0 = it is not."""
    whole, _, part = text.partition(".")
    digits = whole + part
    if whole and len(part) <= DECIMALS_MAX and digits.isdecimal() and digits.isascii():
        parts = int(digits) * 10 ** (DECIMALS_MAX - len(part))
        return parts if parts <= PARTS_MAX else 0
    return 0


def parts_of(text: str, *, exact: bool) -> int:
    """Return any number in parts of 1e-8. Raises NotANumber; BadInput for what cannot be held.

    `exact` = one that is finer is refused and not cut. What a number written by a double holds
    behind its 15th digit is no part of it (IEEE 754: 15 decimal digits survive) and is rounded.
    """
    try:
        value = Decimal(text.strip())
    except InvalidOperation:
        raise NotANumber(f"{text!r} is no number") from None
    if not value.is_finite():
        raise BadInput("has a number that is not finite")
    if abs(value) * PARTS > PARTS_MAX:
        raise BadInput(f"has the number {value}, which is larger than 92 billion")
    parts = int(value * PARTS)
    if exact and parts != value * PARTS:
        rounded = DOUBLE.create_decimal(value) * PARTS
        if rounded == int(rounded) and len(value.as_tuple().digits) > DOUBLE.prec:
            return int(rounded)
        raise BadInput(f"a price is finer than 1e-{DECIMALS_MAX}")
    return parts


def _plain(text: str) -> bool:
    return re.fullmatch(r"\s*[0-9]+(\.[0-9]+)?\s*", text) is not None


_STAMPS = {10: S, 13: 1_000_000, 16: 1_000, 19: 1}
"""Digits of a whole stamp -> nanoseconds of its unit."""


def stamp_ns(text: str) -> int | None:
    """Return a time in ns UTC; None = it is none.

    Numbers are seconds, milliseconds, microseconds or nanoseconds since the epoch, distinguished by
    their size (years 2001 to 2286); text is ISO 8601, UTC where it names no zone.
    """
    text = text.strip()
    power = _STAMPS.get(len(text))
    if power is not None and text.isdecimal() and text.isascii() and text[0] != "0":
        return int(text) * power
    if _plain(text):
        number = Decimal(text)
        for power in (9, 6, 3, 0):
            if 10**9 <= number * 10**power / 10**9 < 10**10:
                return int(number * 10**power)
        return None
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        return None
    moment = moment.replace(tzinfo=moment.tzinfo or dt.UTC)
    return (
        int((moment - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) / dt.timedelta(microseconds=1))
        * 1_000
    )


def decimals_of(parts: int) -> int:
    """Return how many decimals numbers have whose common divisor, in parts, is this."""
    decimals = DECIMALS_MAX
    while decimals and parts % 10 ** (DECIMALS_MAX - decimals + 1) == 0:
        decimals -= 1
    return decimals
