"""Bars: what a market did over a span of time, a traded volume or a number of trades.

A bar of trades counts prices in increments of its instrument, a bar of mids in *half* increments,
because the middle of a book may lie between two prices: `BarSpec.per_increment` says which.
"""

from __future__ import annotations

import re
from decimal import Decimal
from enum import StrEnum

import msgspec

from engine.errors import BadInput

S = 1_000_000_000

DEPTH_MAX = 5_000
"""Most closed bars that are kept of one series."""


class BarUnit(StrEnum):
    """What ends a bar."""

    TIME = "time"
    """A span of time; spans are aligned to the epoch, as at every exchange."""
    VOLUME = "volume"
    """An amount that was traded. Trades are not split: the one that reaches it ends the bar."""
    TICKS = "ticks"
    """A number of trades."""


class BarBasis(StrEnum):
    """What a bar is made of."""

    TRADES = "trades"
    MIDS = "mids"
    """The middle of each two-sided, trusted book after it changed."""


TIMES = {"s": S, "m": 60 * S, "h": 3_600 * S, "d": 86_400 * S}
STEP_NS_MIN, STEP_NS_MAX = S, 86_400 * S
TICKS_MAX = 1_000_000
_COUNT, _AMOUNT = re.compile(r"[0-9]{1,7}"), re.compile(r"[0-9]{1,12}(\.[0-9]{1,8})?")
_TIME = re.compile(r"([0-9]{1,5})([smhd])")
HELP = (
    "time bars are 1s to 1d (5s, 1m, 4h), volume bars volume:1000, tick bars ticks:500; "
    "bars of mids end in /mids (1m/mids)"
)


class BarSpec(msgspec.Struct, frozen=True, gc=False):
    """Which bars: what ends one, after how much, and what they are made of.

    `step` is nanoseconds of time bars and trades of tick bars; of volume bars it is 0, and `volume`
    says how much of the thing (1000 shares, 0.5 BTC).
    """

    unit: BarUnit
    step: int = 0
    volume: str = ""
    basis: BarBasis = BarBasis.TRADES

    @property
    def per_increment(self) -> int:
        """Units of a bar's prices in one price increment: 1 of trades, 2 of mids."""
        return 2 if self.basis is BarBasis.MIDS else 1

    @property
    def text(self) -> str:
        """The name it is asked for by; `bar_spec` reads it."""
        return f"{self._steps()}{'/mids' if self.basis is BarBasis.MIDS else ''}"

    def _steps(self) -> str:
        if self.unit is BarUnit.VOLUME:
            return f"volume:{self.volume}"
        if self.unit is BarUnit.TICKS:
            return f"ticks:{self.step}"
        unit = next(unit for unit in "dhms" if self.step % TIMES[unit] == 0)
        return f"{self.step // TIMES[unit]}{unit}"


def bar_spec(text: str) -> BarSpec:
    """Return the bars of this name, for example `1m`, `1m/mids`, `volume:1000`, `ticks:500`.

    Raises BadInput with the names there are.
    """
    steps = text.removesuffix("/mids")
    of = BarBasis.TRADES if steps == text else BarBasis.MIDS
    unit, _, amount = steps.partition(":")
    time = _TIME.fullmatch(steps)
    if time is not None:
        step_ns = int(time[1]) * TIMES[time[2]]
        if STEP_NS_MIN <= step_ns <= STEP_NS_MAX and STEP_NS_MAX % step_ns == 0:
            return BarSpec(BarUnit.TIME, step_ns, basis=of)
    elif unit == "ticks" and _COUNT.fullmatch(amount) and 1 <= int(amount) <= TICKS_MAX:
        return BarSpec(BarUnit.TICKS, int(amount), basis=of)
    elif unit == "volume" and _AMOUNT.fullmatch(amount) and Decimal(amount) > 0 and steps == text:
        return BarSpec(BarUnit.VOLUME, volume=amount)
    raise BadInput(f"bars {text!r}: {HELP}")


def closes_ns(spec: BarSpec, count: int, after_ns: int) -> int | None:
    """Return when the last of `count` bars that close after a moment does, in ns UTC.

    None = no clock says: bars of volume and of ticks end with trades.
    """
    if spec.unit is not BarUnit.TIME:
        return None
    return (after_ns // spec.step + count) * spec.step


class Bar(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One closed bar. Prices in the units of its spec, sizes in increments, times in ns UTC."""

    start_ns: int
    end_ns: int
    """The first moment after a time bar; the stamp of the last trade of the others."""
    open: int
    high: int
    low: int
    close: int
    volume: int = 0
    """What was traded; 0 of mids."""
    count: int = 0
    """Trades, or changes of the mid. 0 = nothing happened: all prices are the last close."""
    value: int = 0
    """Σ price · size of its trades, exact; 0 = a file of bars did not tell it."""
    gap_ns: int = 0
    """How much of it the feed was lost or its book not trusted."""
    late: int = 0
    """Trades that came after their own bar had closed: they are in no bar."""

    @property
    def vwap(self) -> float | None:
        """Volume-weighted average price in the spec's units; None where it is not known."""
        return self.value / self.volume if self.value else None
