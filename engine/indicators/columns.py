"""Numbers over bars that are known already: of a file, many at once, as one column.

What comes out of a column is to the last bit what the indicator gives bar by bar. One that adds
nothing of its own is fed bar by bar (`Streamed`); `over` of an indicator is for those whose numbers
arrays can make.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.indicators.door import BarIndicator, PriceBar
from engine.indicators.window import Last

FloatColumn = NDArray[np.float64]
"""A number a bar; not a number = it is not known."""
Mask = NDArray[np.bool_]


@dataclass(eq=False)
class PriceColumns:
    """Closed bars in order, as `PriceBar` has them: prices in the currency, volume in the thing."""

    open: FloatColumn
    high: FloatColumn
    low: FloatColumn
    close: FloatColumn
    volume: FloatColumn

    def __len__(self) -> int:
        return len(self.close)

    @cached_property
    def bars(self) -> list[PriceBar]:
        """The same, one object a bar."""
        columns = self.open, self.high, self.low, self.close, self.volume
        return [PriceBar(*row) for row in zip(*(one.tolist() for one in columns), strict=True)]


class ValuesAhead(Protocol):
    """What bars an indicator has not taken yet will make of it."""

    @property
    def values(self) -> FloatColumn:
        """Its number after each of them."""
        ...

    def go(self, taken: int, count: int) -> None:
        """Bring the indicator, which has taken so many of them, to where it has taken `count`."""
        ...


def ahead(indicator: BarIndicator, bars: PriceColumns) -> ValuesAhead:
    """Return what these bars will make of an indicator, which is left as it is."""
    over = getattr(indicator, "over", None)
    made: ValuesAhead | None = None if over is None else over(bars)
    return Streamed(indicator, bars) if made is None else made


class Streamed:
    """Takes the bars one by one. Implements `ValuesAhead`."""

    def __init__(self, indicator: BarIndicator, bars: PriceColumns) -> None:
        self._indicator = indicator
        self._bars = bars.bars
        kept = msgspec.msgpack.encode(indicator)
        copy = msgspec.msgpack.decode(kept, type=type(indicator))
        found: list[float | None] = []
        for bar in self._bars:
            copy.on_bar(bar)
            found.append(copy.value(0))
        self.values: FloatColumn = np.array(found, dtype=np.float64)

    def go(self, taken: int, count: int) -> None:
        for bar in self._bars[taken:count]:
            self._indicator.on_bar(bar)


class Totals:
    """Sums of the last n numbers, as `Last` makes them, over numbers that come."""

    def __init__(self, last: Last, numbers: FloatColumn) -> None:
        """`last` must be full."""
        self._last = last
        self._next = first = last.next
        self._numbers = [*last.values[first:], *last.values[:first], *numbers.tolist()]
        self.totals = self._totals(last.total, numbers)

    def _totals(self, total: float, coming: FloatColumn) -> FloatColumn:
        """Return the sum after each number; a row is one round, which begins with a new sum.

        Within a row what leaves is taken away and what comes is added, in this order: `accumulate`
        rounds as the running sum does.
        """
        size, numbers, before = self._last.size, self._numbers, self._next + 1
        count = len(coming)
        rows = -(-(before + count) // size)
        steps = np.zeros((rows * size, 2))
        steps[before : before + count, 0] = -np.array(numbers[:count])
        steps[before : before + count, 1] = coming
        begins = range(size - self._next, count + 1, size)
        sums = [total, *[sum(numbers[at : at + size]) for at in begins]]
        steps[::size, 0] = sums[:rows]
        steps[::size, 1] = 0.0
        summed = np.add.accumulate(steps.reshape(rows, 2 * size), axis=1)[:, 1::2].reshape(-1)
        return summed[before : before + count]

    def go(self, count: int) -> None:
        """Bring the window to where it has taken so many of the numbers."""
        last = self._last
        size = last.size
        kept = self._numbers[count : count + size]
        last.next = at = (self._next + count) % size
        last.values = kept[size - at :] + kept[: size - at] if at else kept
        if count:
            last.total = float(self.totals[count - 1])


def behind(column: FloatColumn, earlier: Sequence[float], back: int) -> FloatColumn:
    """Return what a column said so many places before each; `earlier` = what came before it."""
    first = np.full(back, np.nan)
    if earlier:
        first[-len(earlier) :] = earlier
    return np.concatenate((first, column))[: len(column)]


def known(column: FloatColumn) -> Mask:
    """Return where a column is known."""
    return ~np.isnan(column)


def highest(columns: Iterable[FloatColumn]) -> FloatColumn:
    """Return the highest of several numbers at each place; not a number where one is not known."""
    return reduce(np.maximum, columns)


def lowest(columns: Iterable[FloatColumn]) -> FloatColumn:
    """Return the lowest of several numbers at each place; not a number where one is not known."""
    return reduce(np.minimum, columns)


def parts_where(whole: Mask, nothing: Mask) -> FloatColumn:
    """Return 1 where all is wanted, 0 where nothing is, else not a number: as before."""
    return np.where(whole, 1.0, np.where(nothing, 0.0, np.nan))


class TurnsAhead:
    """Where a column of wanted parts first says another thing than what stands."""

    def __init__(self, parts: FloatColumn) -> None:
        known = np.flatnonzero(~np.isnan(parts))
        self._count = len(parts)
        self._known: list[int] = known.tolist()
        self._parts: list[float] = parts[known].tolist()
        self._changes: list[int] = (np.flatnonzero(np.diff(parts[known])) + 1).tolist()

    def first(self, at: int, part: float) -> int:
        """Return the first place from `at` on where another part is wanted, else how many."""
        place = bisect_left(self._known, at)
        if place == len(self._known) or self._parts[place] != part:
            return self._known[place] if place < len(self._known) else self._count
        change = bisect_right(self._changes, place)
        return self._known[self._changes[change]] if change < len(self._changes) else self._count
