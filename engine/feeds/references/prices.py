"""Prices as text → 1e-8 units, and the rule that a price never goes back in time."""

from __future__ import annotations

from datetime import UTC, datetime

from engine.domain.events import Event, ReferencePriced
from engine.domain.money import round_half_even_div
from engine.feeds.counts import BadFrame, FeedCounts

KEYS_MAX = 1_000
"""Reference keys followed at once."""

E8_DECIMALS = 8
MS_NS = 1_000_000
SECOND_NS = 1_000_000_000
DIGITS_MAX = 60

CHAINLINK_DECIMALS = 18
"""`full_accuracy_value` of the Chainlink topic counts 1e-18."""

DIFFERENCE_PPM_MAX = 10
"""How far the rounded value beside an accurate one may be from it."""

QUOTES = ("usdt", "usd")


def price_e8(text: str) -> int:
    """Return a decimal text in 1e-8 units, what is finer rounded half to even. Raises BadFrame."""
    whole, _, part = text.partition(".")
    digits = whole + part
    if not (digits.isascii() and digits.isdigit()) or len(digits) > DIGITS_MAX:
        raise BadFrame("price not a number", repr(text[:80]))
    return scaled_e8(digits, len(part))


def scaled_e8(digits: str, decimals: int) -> int:
    """Return digits · 10^−decimals in 1e-8 units, rounded half to even; above zero or BadFrame."""
    if not (digits.isascii() and digits.isdigit()) or len(digits) > DIGITS_MAX:
        raise BadFrame("price not a number", repr(digits[:80]))
    if not -DIGITS_MAX <= decimals <= DIGITS_MAX:
        raise BadFrame("price scale out of range", str(decimals))
    number = int(digits)
    if decimals <= E8_DECIMALS:
        number *= 10 ** (E8_DECIMALS - decimals)
    else:
        number = round_half_even_div(number, int(10 ** (decimals - E8_DECIMALS)))
    if number <= 0:
        raise BadFrame("price not above zero", repr(digits[:80]))
    return number


def accurate_e8(text: str, rounded: bytes) -> int:
    """Return `full_accuracy_value` in 1e-8 units, whether it counts 1e-18 or is a decimal.

    The two cannot be told apart by themselves, so the rounded value beside it must agree; without
    one a text of digits alone counts 1e-18, as Chainlink's topic does. Raises BadFrame.
    """
    readings = [price_e8(text)]
    if "." not in text:
        readings.insert(0, scaled_e8(text, CHAINLINK_DECIMALS) if len(text) > 10 else 0)
    if not rounded:
        return readings[0] or readings[-1]
    rounded_price = price_e8(rounded.decode("latin-1").strip('"'))
    for price in readings:
        if abs(price - rounded_price) * 1_000_000 <= rounded_price * DIFFERENCE_PPM_MAX:
            return price
    raise BadFrame("accurate value differs from the rounded one")


def slashed(symbol: str) -> str:
    """Return a symbol as keys of Chainlink spell it: `btcusd` → `btc/usd`. Raises BadFrame."""
    plain = symbol.lower().replace("-", "/")
    if "/" in plain:
        return plain
    quote = next((one for one in QUOTES if plain.endswith(one) and plain != one), "")
    if not quote:
        raise BadFrame("symbol not readable", plain[:40])
    return f"{plain.removesuffix(quote)}/{quote}"


def iso_ns(text: str) -> int:
    """Return `2026-04-29T02:10:52.233043Z` in ns since 1970, UTC. Raises BadFrame."""
    seconds, _, part = text.removesuffix("Z").partition(".")
    if not text.endswith("Z") or not f"0{part}".isdigit() or len(part) > 9:
        raise BadFrame("time not readable", repr(text[:40]))
    try:
        moment = datetime.fromisoformat(seconds).replace(tzinfo=UTC)
    except ValueError:
        raise BadFrame("time not readable", repr(text[:40])) from None
    return int(moment.timestamp()) * SECOND_NS + int(part.ljust(9, "0"))


class Latest:
    """Lets a reference price through only where it is not older than the last one of its key."""

    def __init__(self, counts: FeedCounts) -> None:
        self._counts = counts
        self._stamps: dict[str, int] = {}

    def take(self, key: str, price: int, exchange_ns: int) -> list[Event]:
        last_ns = self._stamps.get(key)
        if last_ns is None and len(self._stamps) >= KEYS_MAX:
            raise BadFrame("too many reference keys", key)
        if last_ns is not None and exchange_ns < last_ns:
            self._counts.out_of_order += 1
            return []
        self._stamps[key] = exchange_ns
        return [ReferencePriced(key=key, price_e8=price, exchange_ns=exchange_ns)]
