"""Rounding, by name, in one place. All arguments and results are whole numbers.

The ledger always rounds against us: what we pay is rounded up, what we get is rounded down.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

MICRO = 1_000_000
"""Micro-units per unit of currency."""

MICRO_DECIMALS = 6

PPM = 1_000_000
"""Parts per million; rates are stored in this unit."""


def written(value: Decimal) -> str:
    """Write a number as a person and a venue do: no exponent, no zeros at its end."""
    return f"{value.normalize():f}"


def cents_text(price: Decimal) -> str:
    """Write a price in parts of one as binaries are quoted: 26.5¢ for 0.265."""
    return f"{written(price * 100)}\N{CENT SIGN}"


def money_text(micro: int) -> str:
    return written(Decimal(micro).scaleb(-6))


def floor_div(numerator: int, denominator: int) -> int:
    """Return the quotient rounded towards minus infinity."""
    return numerator // denominator


def ceil_div(numerator: int, denominator: int) -> int:
    """Return the quotient rounded towards plus infinity."""
    return -(-numerator // denominator)


def round_half_even_div(numerator: int, denominator: int) -> int:
    """Return the quotient rounded to the nearest integer, ties to even. `denominator` > 0."""
    quotient, remainder = divmod(numerator, denominator)
    doubled = 2 * remainder
    if doubled > denominator or (doubled == denominator and quotient % 2):
        return quotient + 1
    return quotient


def floor_to_lot(size: int, lot: int) -> int:
    """Return the largest multiple of `lot` that is ≤ `size`."""
    return size - size % lot


def floor_to_tick(price: int, tick: int) -> int:
    """Return the highest price on the grid that is ≤ `price` (a bid never pays more)."""
    return price - price % tick


def ceil_to_tick(price: int, tick: int) -> int:
    """Return the lowest price on the grid that is ≥ `price` (an ask never gets less)."""
    return price + -price % tick


def named_amounts(numbers: Iterable[tuple[str, int]]) -> dict[str, str]:
    """Return micro-units by the names of their fields, both as a person reads them."""
    return {
        name.removesuffix("_micro").replace("_", " "): money_text(value) for name, value in numbers
    }
