"""Events of hftbacktest (npz): the book among them, by the exchange's clock."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from engine.errors import BadInput
from engine.lab.formats.door import Format, RowFold
from engine.lab.formats.hftbacktest_events import (
    BUY_EVENT,
    CLEAR,
    COLUMNS,
    DEPTH,
    EXCH_EVENT,
    KIND_MASK,
    SELL_EVENT,
    SNAPSHOT,
)
from engine.lab.formats.levels import Levels, quote_row
from engine.lab.formats.tables import Cells, FileHead
from storage.datasets import DataKind


class HftbacktestBook(Format):
    """The best bid and ask behind all events of one time."""

    title = "hftbacktest events, the book"
    source = "hftbacktest, types.py: event_dtype and its flags"
    kind = DataKind.QUOTES
    leaves_out = "trades and levels behind the best bid and ask are left out"
    names: ClassVar[Mapping[str, tuple[str, ...]]] = COLUMNS
    example = (
        "events.csv\n"
        "ev,exch_ts,local_ts,px,qty,order_id,ival,fval\n"
        "3758096388,1704067200000000000,1704067200000100000,100.5,3,0,0,0.0\n"
        "3489660932,1704067200000000000,1704067200000100000,100.6,2,0,0,0.0\n"
        "3758096385,1704067200100000000,1704067200100100000,100.5,0,0,0,0.0\n"
    )

    def fits(self, head: FileHead) -> bool:
        """Say whether it has all of these columns, both clocks, and an event of the book."""
        at = self.places(head)
        if "local_ts" not in head.header or len(at) != len(self.names):
            return False
        return any(_kind(row[at["side"]]) in (DEPTH, CLEAR, SNAPSHOT) for row in head.rows)

    def folding(self) -> RowFold | None:
        """Return what keeps the book of one file."""
        return _EventFold()


def _kind(text: str) -> int:
    return int(text) & KIND_MASK if text.isdecimal() else 0


class _EventFold:
    """The book of one file. Implements `RowFold`: a row is made of all events of one time."""

    single = False

    def __init__(self) -> None:
        self._bids, self._asks = Levels(), Levels()
        self._time = ""

    def take(self, cells: Cells, places: Mapping[str, int]) -> Cells | None:
        """Take an event; return the row of the time before it where it begins another."""
        text = cells[places["side"]]
        if not text.isdecimal():
            raise BadInput(f"has the event {text!r}, which is no whole number")
        flags = int(text)
        if flags & KIND_MASK not in (DEPTH, CLEAR, SNAPSHOT) or not flags & EXCH_EVENT:
            return None
        time = cells[places["time"]]
        made = self.rest() if time != self._time else None
        self._time = time
        self._apply(flags, cells[places["price"]], cells[places["size"]])
        return made

    def rest(self) -> Cells | None:
        """Return the best bid and ask behind the events so far; None = none was read."""
        return quote_row(self._time, self._bids, self._asks) if self._time else None

    def _apply(self, flags: int, price: str, size: str) -> None:
        sides = [(self._bids, True)] * bool(flags & BUY_EVENT)
        sides += [(self._asks, False)] * bool(flags & SELL_EVENT)
        if flags & KIND_MASK == CLEAR:
            for side, highest in sides or [(self._bids, True), (self._asks, False)]:
                if float(price):
                    side.clear_to(price, highest=highest)
                else:
                    side.clear()
        elif len(sides) == 1:
            sides[0][0].put(price, size)
        else:
            raise BadInput("changes the book on neither side, or on both")
