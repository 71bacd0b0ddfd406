"""What bars of a file that are known ahead do to indicators, and where a rule wants another thing.

Made once for many bars: the numbers of indicators as columns, and of each rule the places at which
what it wants turns. Nothing is decided by it: the bar of such a place is played as any other, with
indicators that stand as if each had taken every bar before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from engine.bots.later_bars import KnownBars
from engine.bots.signals import FAILS, Watched
from engine.domain.instruments import Instrument
from engine.errors import BadInput
from engine.indicators.columns import (
    FloatColumn,
    PriceColumns,
    TurnsAhead,
    ValuesAhead,
    ahead,
    behind,
)
from engine.indicators.door import BarIndicator
from engine.strategies.door import ColumnReadings, Reads, not_declared


class Foresees(Protocol):
    """A rule that may say what it wants at each of many bars."""

    def parts_over(self, columns: ColumnReadings, instrument: Instrument) -> FloatColumn | None:
        """Return what it wants at each; None = it must be asked at each. See `BarRule.parts`."""
        ...


class Foreseen:
    """What bars from a place on do to what is computed of their instrument."""

    def __init__(
        self, bars: KnownBars, first: int, watched: Watched, rules: Sequence[tuple[Foresees, Reads]]
    ) -> None:
        self._bars = bars
        self._first = first
        self.watched, self._fed, self._rules = watched, watched.fed, rules
        (name,) = watched.series
        self._series = watched.series[name]
        self._ahead: dict[int, ValuesAhead] = {}
        self._turns: list[TurnsAhead] = []
        if not name == bars.spec_text == watched.given:
            return
        price, size = self._series.price_unit, watched.size_unit
        self.prices = PriceColumns(
            open=bars.column("open", first) * price,
            high=bars.column("high", first) * price,
            low=bars.column("low", first) * price,
            close=bars.column("close", first) * price,
            volume=bars.column("volume", first) * size,
        )
        try:
            self._foresee(name)
        except FAILS:  # what raises does so again where it is asked bar by bar
            self._turns = []

    def _foresee(self, name: str) -> None:
        """Find where each rule turns, unless one of them must be asked at each bar."""
        turns = []
        for rule, reads in self._rules:
            parts = rule.parts_over(self.columns(reads), self.watched.instrument)
            if parts is None:
                return
            turns.append(TurnsAhead(parts))
        for indicator in self._fed.bars.get(name, ()):
            self.ahead(indicator)
        self._turns = turns

    def stands(
        self, bars: KnownBars, watched: Watched, rules: Sequence[tuple[Foresees, Reads]]
    ) -> bool:
        """Say whether it is of these bars, and nothing else is read of them by now."""
        return self._bars is bars and self._fed is watched.fed and self._rules == rules

    @property
    def turns(self) -> bool:
        """False = the rules must be asked at each bar."""
        return bool(self._turns)

    def columns(self, reads: Reads) -> ColumnReadings:
        """Return the bars and indicators that a rule declared."""
        return _Columns(self, reads)

    def ahead(self, indicator: BarIndicator) -> ValuesAhead:
        """Return what the bars make of an indicator."""
        found = self._ahead.get(id(indicator))
        if found is None:
            found = self._ahead[id(indicator)] = ahead(indicator, self.prices)
        return found

    def alike(self, at: int, parts: Sequence[float], most: int) -> int:
        """Return at how many bars from a place on each rule wants its part, at most `most`."""
        here = at - self._first
        for turns, part in zip(self._turns, parts, strict=True):
            most = min(most, turns.first(here, part) - here)
        return most

    def go(self, at: int, count: int) -> None:
        """Have bars and indicators take so many bars from a place on, the next they would get."""
        taken, last = at - self._first, at + count
        for one in self._ahead.values():
            one.go(taken, taken + count)
        self._series.keep_later(self._bars, at, last)

    def column(self, field: str, back: int) -> FloatColumn:
        """Return a field of the bar so many bars before each; not a number = there was none."""
        earlier = [getattr(bar, field) for bar in self._series.bars[-back:]] if back else []
        return behind(self._bars.column(field, self._first), earlier, back)


class _Columns:
    """The readings of one rule. Implements `ColumnReadings`."""

    def __init__(self, foreseen: Foreseen, reads: Reads) -> None:
        self._foreseen = foreseen
        self._reads = reads
        self._named = foreseen.watched.named.get(id(reads), {})

    def indicator(self, name: str) -> FloatColumn:
        """Return a declared variant's numbers. Raises BadInput where it is not fed with bars."""
        found = self._named.get(name)
        if not isinstance(found, BarIndicator):
            raise BadInput(f"indicator {name} is not one of bars that is declared")
        return self._foreseen.ahead(found).values

    def bars(self, field: str, back: int = 0) -> FloatColumn:
        """Return a field of the bar so many bars before each."""
        (name,) = self._foreseen.watched.series
        if back >= self._reads.bars.get(name, 0):
            raise BadInput(not_declared(name, back + 1, self._reads))
        return self._foreseen.column(field, back)
