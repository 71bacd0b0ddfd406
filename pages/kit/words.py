"""Numbers, times and ages as a person reads them. What is not known is a dash, never a zero."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo, available_timezones

import streamlit as st

from engine.domain.money import MICRO
from pages.kit.home import now_ns

SECOND_NS = 1_000_000_000
NOTHING = "\N{EN DASH}"
MONEY_DECIMALS = (2, 4, 6)
"""How many an amount may be shown with: cents, what a fee needs, and all that is kept."""


def decimals_of(values: Iterable[Decimal | float], least: int = 2) -> int:
    """Return with how many decimals amounts are shown, so that none seems a zero that is not one.

    A loss of less than half a cent is -0.0031, and no -0.00; `least` = where all are larger.
    """
    smallest = min((abs(float(value)) for value in values if value), default=1.0)
    enough = [one for one in MONEY_DECIMALS if one >= least and 2 * smallest * 10**one > 1]
    return enough[0] if enough else MONEY_DECIMALS[-1]


def money(value: Decimal | None, currency: str = "", *, signed: bool = False) -> str:
    """Return an amount with its currency: two decimals, or four where it is small and needs them.

    Six where it would seem a zero with four.
    """
    if value is None:
        return NOTHING
    cents = abs(value) >= 1 or value == round(value, 2)
    text = _amount(value, decimals_of([value], 2 if cents else 4), signed=signed)
    return f"{text} {currency}".strip()


def in_column(value: Decimal | float | None, *, signed: bool = False) -> str:
    """Return an amount as one of a column: two decimals always, so that points stand in line.

    What is not zero but would round to it keeps its four decimals: a zero it must not seem.
    """
    return NOTHING if value is None else _amount(value, decimals_of([value]), signed=signed)


def _amount(value: Decimal | float, decimals: int, *, signed: bool) -> str:
    value += 0  # a zero has no minus
    return f"{value:{'+' if signed else ''},.{decimals}f}".replace("-", "\N{MINUS SIGN}")


def micro(value: int | None, currency: str = "", *, signed: bool = False) -> str:
    """Return an amount given in micro-units."""
    return money(None if value is None else Decimal(value) / MICRO, currency, signed=signed)


def age(ns: int | None) -> str:
    """Return a duration: 0.4 s, 12 s, 3 min, 5 h, 2 d."""
    if ns is None:
        return NOTHING
    seconds = ns / SECOND_NS
    if seconds < 0:
        return "in the future"
    for limit, unit, size in (
        (10, "s", 1),
        (120, "s", 1),
        (7_200, "min", 60),
        (172_800, "h", 3600),
    ):
        if seconds < limit:
            return f"{seconds / size:.{1 if limit == 10 else 0}f} {unit}"
    return f"{seconds / 86_400:.0f} d"


def moment(ns: int | None) -> str:
    """Return a time in the operator's zone, which is named: 2026-03-01 14:05:09 CET."""
    if ns is None:
        return NOTHING
    return f"{_at(ns).astimezone(clock()):%Y-%m-%d %H:%M:%S %Z}"


def nearby(ns: int, now: int) -> str:
    """Return a time in the operator's zone without the date where it is of today: 14:05 CET."""
    at, today = (_at(one).astimezone(clock()) for one in (ns, now))
    return f"{at:%H:%M %Z}" if at.date() == today.date() else f"{at:%b %-d, %H:%M %Z}"


def utc(ns: int | None) -> str:
    if ns is None:
        return NOTHING
    return f"{_at(ns):%Y-%m-%dT%H:%M:%S}.{ns % SECOND_NS:09d}Z"


def _at(ns: int) -> datetime:
    return datetime.fromtimestamp(ns // SECOND_NS, UTC)


def percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %" if whole > 0 else NOTHING


def count(number: int, one: str, many: str = "") -> str:
    """Return a number with its noun: 1 order, 2 orders."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


# -- The operator's time zone: the one chosen in this browser, else the browser's own, else U --

ZONE_COOKIE = "pitboss_zone"
EXACT_UTC = "exact_utc"
"""The switch in the sidebar: times of tables exactly, in UTC."""


def zone() -> str:
    chosen = st.context.cookies.get(ZONE_COOKIE, "").replace("%2F", "/")
    for name in (chosen, st.context.timezone or ""):
        if name in zones():
            return name
    return "UTC"


@st.cache_resource(show_spinner=False)
def zones() -> frozenset[str]:
    return frozenset(available_timezones())


def zone_short() -> str:
    """Return the zone's short name as of now, for example CET; where it has none, the long one."""
    short = f"{datetime.fromtimestamp(now_ns() / 1e9, UTC).astimezone(clock()):%Z}"
    return short if short.isalpha() else zone()


def exact() -> bool:
    """Say whether tables show exact UTC instead of the operator's zone."""
    return bool(st.session_state.get(EXACT_UTC))


def clock() -> ZoneInfo:
    return ZoneInfo(zone())
