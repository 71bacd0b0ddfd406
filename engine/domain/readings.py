"""Numbers from outside: the one door for what a venue, a file or a person wrote.

Each reader names the unit and the range. It returns an int that fits 64 bits, or raises BadInput
with the value; it raises nothing else, whatever it is given: text, number, null, list, object.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation

from engine.errors import BadInput

INT64_MAX = (1 << 63) - 1
TEXT_MAX = 40
"""Characters of a wrong value that are repeated in a sentence."""

STAMP_NS_MIN = 1_000_000_000 * 1_000_000_000
"""2001-09-09: no venue and no recording is older."""
STAMP_NS_MAX = 4_102_444_800 * 1_000_000_000
"""2100-01-01."""
STAMP_UNITS_NS = (1_000_000_000, 1_000_000, 1_000, 1)
"""Seconds, milliseconds, microseconds, nanoseconds: their ranges between the two do not meet."""

_WHOLE = Context(prec=40, rounding=ROUND_HALF_EVEN)
_ONE = Decimal(1)


def plain_text(value: str) -> str:
    """Return a text that can be kept: half a surrogate pair, which JSON may hold, becomes `?`."""
    return value if value.isascii() else value.encode("utf-8", "replace").decode()


def shown(value: object) -> str:
    """Return a wrong value as a sentence may repeat it: short, on one line."""
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 200:
        return f"a whole number of {value.bit_length()} bits"
    text = repr(value)
    return text if len(text) <= TEXT_MAX else f"{text[: TEXT_MAX - 1]}…"


def decimal_of(value: object, what: str) -> Decimal:
    """Return a finite number of ASCII digits, or the number itself. Raises BadInput.

    True and False are no numbers, nor are digits of other scripts and underscores, which Python's
    own readers take.
    """
    if isinstance(value, str):
        text = value.strip(" ")
        plain = text.isascii() and "_" not in text and text == text.strip()
    elif isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        # A longer int has no text (sys.int_max_str_digits).
        plain = not isinstance(value, int) or value.bit_length() <= 4_096
        text = str(value) if plain else ""
    else:
        plain, text = False, ""
    try:
        found = Decimal(text) if plain else None
    except (InvalidOperation, ValueError):
        found = None
    if found is None or not found.is_finite():
        raise BadInput(f"{what} {shown(value)} is not a number")
    return found


def whole_units(
    value: object, decimals: int, what: str, *, least: int = 0, most: int = INT64_MAX
) -> int:
    """Return a number in units of 10^−decimals, finer parts rounded half to even.

    `least` and `most` are in these units. Raises BadInput.
    """
    number = decimal_of(value, what)
    # Judged before it is scaled: 1e999999 as a whole number has a million digits.
    if number and number.adjusted() + decimals > len(str(INT64_MAX)):
        raise BadInput(f"{what} {shown(value)} is out of range")
    try:
        found = int(_WHOLE.quantize(_WHOLE.scaleb(number, decimals), _ONE))
    except InvalidOperation:
        raise BadInput(f"{what} {shown(value)} is out of range") from None
    if not least <= found <= most:
        raise BadInput(f"{what} {shown(value)} is out of range")
    return found


def stamp_ns(value: object, what: str) -> int:
    """Return a time in ns since 1970, UTC, of seconds, ms, µs or ns, known by their magnitude.

    Raises BadInput for what is in none of the four between 2001 and 2100.
    """
    number = decimal_of(value, what)
    units = STAMP_UNITS_NS if abs(number.adjusted()) <= len(str(INT64_MAX)) else ()
    for unit_ns in units:
        if STAMP_NS_MIN <= number * unit_ns < STAMP_NS_MAX:
            return int(number * unit_ns)
    raise BadInput(f"{what} {shown(value)} is no time between 2001 and 2100")
