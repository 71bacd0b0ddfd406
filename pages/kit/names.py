"""Names as a person knows them: markets without their prefix, prices in the venue's own style."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from engine.domain.legs import Leg
from engine.domain.money import written
from engine.domain.products import funded, quoted_in_cents
from engine.errors import PitbossError
from pages.kit.data import engine_id, fresh
from pages.kit.words import NOTHING, clock
from storage import feeds
from storage.views import Row, shown

# -- How markets are called in words, as their venues write it -------------------------------------


UNLISTED: Row = {"price_decimals": None, "size_decimals": None, "listed_kind": None}


def titles() -> dict[str, str]:
    """Return market → its name in words; empty where the state cannot be read."""
    try:
        return fresh(feeds.titles, engine_id())
    except PitbossError:
        return {}  # the page that asks for rows says what is wrong; an id is a name, too


_ROLLING = re.compile(r"^(.+)-(\d{10})$")
HUNDREDTH = Decimal("0.01")
EXACT_BELOW = 100
"""Sizes below it are written with all their decimals, larger ones with two."""
_PAIR = re.compile(r"[/-]")
_HASH = re.compile(r"^0x[0-9a-f]{16,}$")
_SPELLED = re.compile(r"\b[a-z0-9_-]+:(?:0x[0-9a-f]{16,}|[a-z0-9-]+-\d{10})\b")


def market(instrument: str) -> str:
    """Return a market's short name: no venue, a rolling one by its start, a bare id in words."""
    name = instrument.partition(":")[2] or instrument
    rolling = _ROLLING.match(name)
    if rolling:
        starts = datetime.fromtimestamp(int(rolling[2]), UTC).astimezone(clock())
        return f"{rolling[1]} {starts:%H:%M}"
    if not _HASH.match(name):
        return name
    return titles().get(instrument) or f"{name[:10]}…{name[-4:]}"


def spelled(text: str) -> str:
    """Return a text with each market it names by a hash or a start in digits as `market` does."""
    return _SPELLED.sub(lambda found: market(found[0]), text)


def cents(row: Any) -> bool:
    """Say whether a row's prices are probabilities, which their venues quote in cents."""
    return quoted_in_cents(row.get("listed_kind", row.get("kind")))


def price(value: Decimal | float | None, *, in_cents: bool) -> str:
    """Return a price in the venue's style: 61.5¢, or the plain number."""
    if value is None:
        return NOTHING
    if not in_cents:
        return f"{value:,.6f}".rstrip("0").rstrip(".")
    return f"{float(value) * 100:.2f}".rstrip("0").rstrip(".") + "¢"


def base(instrument: str) -> str:
    """Return what a pair trades: BTC of okx:BTC/USDT:USDT and of demo:BTC-pUSD."""
    return _PAIR.split(instrument.partition(":")[2] or instrument, maxsplit=1)[0]


def leg(name: str, instrument: str) -> str:
    """Return a leg as people name it: YES, NO, or what a pair trades."""
    return base(instrument) if name == Leg.BASE else name.upper()


def fine(value: Decimal | float | None) -> bool:
    """Say whether a size is written with all its decimals, because two would hide some."""
    exact = Decimal(str(value or 0))
    return abs(exact) < EXACT_BELOW and bool(exact % HUNDREDTH)


def size(value: Decimal | None, raw: int | None = None) -> str:
    """Return a size, or the increments of an instrument that was never listed."""
    if value is None:
        return NOTHING if raw is None else f"{raw:,} increments"
    if fine(value):
        return written(value)
    return f"{value:,.2f}".removesuffix(".00")


def price_raw(raw: int, row: Row) -> str:
    """Return a price in increments of the row's instrument in its venue's style."""
    value = shown(raw, row["price_decimals"])
    return f"{raw:,} increments" if value is None else price(value, in_cents=cents(row))


def size_raw(raw: int, row: Row) -> str:
    return size(shown(raw, row["size_decimals"]), raw)


def held(instrument: str, first: int, second: int, row: Row) -> str:
    """Return what is held of an instrument, in increments of its legs, by its product's words.

    `12 YES, 5 NO`, `0.015 BTC`, `SHORT 0.015 BTC`; `row` says what it is counted in.
    """
    if cents(row) or row["listed_kind"] is None:
        return f"{size_raw(first, row)} YES, {size_raw(second, row)} NO"
    side = ("SHORT " if first < 0 else "LONG ") if funded(row["listed_kind"]) else ""
    return f"{side}{size_raw(abs(first) if side else first, row)} {base(instrument)}"
