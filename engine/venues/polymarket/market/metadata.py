"""A market's metadata → Instrument. All of Polymarket's binaries share these units."""

from __future__ import annotations

from decimal import Decimal

from engine.domain.instruments import FeeSchedule, Instrument, InstrumentId, Kind
from engine.domain.readings import decimal_of, shown
from engine.errors import BadInput
from engine.feeds.counts import BadFrame
from engine.venues.polymarket.market.frames import NewMarketMessage
from engine.venues.polymarket.market.hourly import hourly_series
from engine.venues.polymarket.market.numbers import (
    ONE,
    PRICE_DECIMALS,
    SIZE_DECIMALS,
    bounded,
    units,
)

SECOND_NS = 1_000_000_000
CURRENCY = "pUSD"

LOT = 10_000
"""0.01 share: the venue takes sizes of two decimals."""

SIZE_MIN = 5_000_000
"""5 shares, the venue's usual smallest order."""

NOTIONAL_MIN_MICRO = 1_000_000
"""1 pUSD, the smallest marketable order."""

YES_LABELS = frozenset({"yes", "up"})
NO_LABELS = frozenset({"no", "down"})

WINDOWS_S = {"5m": 300, "15m": 900, "1h": 3_600, "4h": 14_400}
"""Lengths of the rolling series whose slug ends with `<length>-<start in seconds>`."""


START_DIGITS = 10
"""Digits of a window's start in seconds, to the year 2286."""

FEE_EXPONENT_MAX = 4
"""The venue's schedules have 1 and 2."""

PPM = 1_000_000


def binary(
    condition: str,
    tokens: tuple[str, str] | None,
    *,
    tick: str,
    fees: FeeSchedule,
    slug: str = "",
    window_ns: tuple[int, int] | None = None,
    size_min: int = SIZE_MIN,
    protocol: str = "v1",
    market: str = "",
) -> Instrument:
    """Return the instrument of a condition. `tokens` = (YES, NO). Raises BadFrame.

    Where `slug` is that of a rolling series it gives the series, and the window if none is given.
    """
    series, window = rolling(slug)
    starts_ns, closes_ns = window_ns or window or (None, None)
    return Instrument(
        id=InstrumentId(f"polymarket:{condition}"),
        kind=Kind.BINARY,
        currency=CURRENCY,
        price_decimals=PRICE_DECIMALS,
        size_decimals=SIZE_DECIMALS,
        tick=tick_units(tick),
        lot=LOT,
        size_min=size_min,
        notional_min_micro=NOTIONAL_MIN_MICRO,
        fees=fees,
        market=market,
        series=series,
        tokens=tokens,
        starts_ns=starts_ns,
        closes_ns=closes_ns,
        protocol=protocol,
    )


def rolling(slug: str) -> tuple[str, tuple[int, int] | None]:
    """Return (series, (start, close) in ns) of `btc-updown-5m-1776081600`; else ("", None).

    An hourly market's slug gives its series alone: the window is Gamma's to say.
    """
    if hour := hourly_series(slug):
        return hour, None
    series, _, start = slug.rpartition("-")
    seconds = WINDOWS_S.get(series.rpartition("-")[2])
    if seconds is None or not (start.isascii() and start.isdigit()) or len(start) > START_DIGITS:
        return "", None
    starts_ns = int(start) * SECOND_NS
    return series, (starts_ns, starts_ns + seconds * SECOND_NS)


def tick_units(text: str) -> int:
    """Return a tick size in price increments. Raises BadFrame."""
    tick = units(text, PRICE_DECIMALS, "tick")
    if not 0 < tick < ONE:
        raise BadFrame("tick out of range" if tick else "tick zero", repr(text))
    return tick


def yes_first(tokens: list[str], labels: list[str]) -> tuple[str, str]:
    """Return (YES, NO) by label; labels of neither kind (two teams) keep the venue's order.

    Raises BadFrame where there are not two tokens.
    """
    if len(tokens) != 2 or len(labels) != 2:
        raise BadFrame("not a binary market")
    first, second = (label.strip().lower() for label in labels)
    if first in NO_LABELS or second in YES_LABELS:
        return tokens[1], tokens[0]
    return tokens[0], tokens[1]


def fee_schedule(*, exponent: object, rate: object, rebate: object) -> FeeSchedule:
    """Return the schedule of `feeSchedule` / `fd` values, given as text or numbers.

    Rates are fractions (0.07 = 7 %). Raises BadFrame where they are not exact in ppm.
    """
    power = _ppm(exponent, FEE_EXPONENT_MAX)
    if power % PPM:
        raise BadFrame("fee exponent not whole", shown(exponent))
    return FeeSchedule(
        taker_rate_ppm=_ppm(rate), exponent=power // PPM, rebate_rate_ppm=_ppm(rebate)
    )


def new_market(message: NewMarketMessage) -> Instrument:
    """Return the instrument a `new_market` message announces. Raises BadFrame."""
    return binary(
        message.market,
        yes_first(message.assets_ids, message.outcomes),
        tick=message.order_price_min_tick_size,
        fees=_announced_fees(message),
        slug=message.slug,
        protocol=message.version,
    )


def _announced_fees(message: NewMarketMessage) -> FeeSchedule:
    """Return the fees of an announcement. A market with fees and no schedule is not guessed at."""
    if not message.fees_enabled:
        return FeeSchedule(exponent=1)
    fees = message.fee_schedule
    if fees is None or fees.taker_only is False:
        raise BadFrame("fees without a taker schedule", message.market)
    return fee_schedule(exponent=fees.exponent, rate=fees.rate, rebate=fees.rebate_rate)


def _ppm(value: object, most: int = 1) -> int:
    """Return a fraction in parts per million, up to `most` times all. Raises BadFrame."""
    try:
        number = decimal_of(value, "fee")
    except BadInput:
        raise BadFrame("fee not a number", shown(value)) from None
    found = bounded(value, 6, "fee", most * PPM)
    if number != Decimal(found).scaleb(-6):
        raise BadFrame("fee not exact in ppm", shown(value))
    return found
