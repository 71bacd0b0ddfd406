"""Columnar recordings: market events of one instrument as rows, told as events where asked for.

`engine.venues.paper.columns` says what a row holds. `told` is the plain reading of a stretch; both
readings must give the same events, so a recording that has columns makes its events from them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from engine.domain.events import BookChanged, Event, TradePrinted
from engine.domain.instruments import InstrumentId, Side
from engine.errors import BadInput
from engine.lab.recordings.door import Recording
from engine.venues.paper.columns import ASK, BOUGHT, NOTHING, OTHER, SOLD

Rows = NDArray[np.int64]
_SIDES = (Side.BUY, Side.SELL)


@dataclass(frozen=True, kw_only=True, slots=True)
class ColumnStretch:
    """Events of one instrument, in order. `others` holds the event of each row `OTHER`."""

    instrument: InstrumentId
    rows: Rows
    others: Mapping[int, Event] = field(default_factory=dict)

    def event(self, first: int) -> tuple[int, Event, int]:
        """Return (now_ns, event, row after it) of the event that begins at a row.

        Raises BadInput for a row that begins none.
        """
        at_ns, op, price, size, last = self.rows[first].tolist()
        if op == OTHER and first in self.others:
            return at_ns, self.others[first], first + 1
        if op in {SOLD, BOUGHT} and last:
            side = Side.SELL if op == SOLD else Side.BUY
            event = TradePrinted(instrument=self.instrument, price=price, size=size, aggressor=side)
            return at_ns, event, first + 1
        return self._changes(first, at_ns)

    def _changes(self, first: int, at_ns: int) -> tuple[int, Event, int]:
        changes: list[tuple[Side, int, int]] = []
        end = first
        while True:
            _, op, price, size, last = self.rows[end].tolist()
            if 0 <= op <= ASK:
                changes.append((_SIDES[op], price, size))
            elif op != NOTHING:
                raise BadInput(f"{self.instrument}: row {end} of a stretch holds no event ({op})")
            end += 1
            if last:
                event = BookChanged(instrument=self.instrument, changes=tuple(changes))
                return at_ns, event, end
            if end == len(self.rows):
                raise BadInput(f"{self.instrument}: a stretch ends within an event")


@runtime_checkable
class ColumnarRecording(Recording, Protocol):
    """A recording that can also be read as stretches; one of the two, once."""

    def stretches(self) -> Iterator[ColumnStretch]:
        """Yield everything `events` tells, in the same order."""
        ...


def told(stretch: ColumnStretch) -> Iterator[tuple[int, Event]]:
    """Tell a stretch event by event."""
    first, rows = 0, len(stretch.rows)
    while first < rows:
        at_ns, event, first = stretch.event(first)
        yield at_ns, event
