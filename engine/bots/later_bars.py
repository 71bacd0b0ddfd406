"""Closed bars of a file that are known ahead: made when somebody looks at them, and only those."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol, overload

from engine.domain.bars import Bar
from engine.domain.instruments import InstrumentId
from engine.indicators.columns import FloatColumn


class KnownBars(Protocol):
    """Bars that follow one another, known ahead."""

    @property
    def spec_text(self) -> str:
        """Which bars they are, as `BarSpec.text`."""
        ...

    @property
    def step_ns(self) -> int:
        """How long each of them is."""
        ...

    @property
    def instrument(self) -> InstrumentId:
        """What they are of."""
        ...

    def __len__(self) -> int: ...

    def bar(self, at: int) -> Bar:
        """Return the one of a place."""
        ...

    def bars(self, first: int, last: int) -> list[Bar]:
        """Return those from one place on and before another."""
        ...

    def column(self, name: str, first: int) -> FloatColumn:
        """Return a field of those from a place on, in the units of their spec."""
        ...


class LaterBars(Sequence[Bar]):
    """Those from one place on and before another."""

    __slots__ = ("first", "known", "last")

    def __init__(self, known: KnownBars, first: int, last: int) -> None:
        self.known = known
        self.first = first
        self.last = last

    def __len__(self) -> int:
        return self.last - self.first

    def __iter__(self) -> Iterator[Bar]:
        return iter(self.known.bars(self.first, self.last))

    @overload
    def __getitem__(self, at: int) -> Bar: ...
    @overload
    def __getitem__(self, at: slice) -> list[Bar]: ...
    def __getitem__(self, at: int | slice) -> Bar | list[Bar]:
        if type(at) is not int:
            return self.known.bars(self.first, self.last)[at]
        place = at + (self.last if at < 0 else self.first)
        if not self.first <= place < self.last:
            raise IndexError(at)
        return self.known.bar(place)
