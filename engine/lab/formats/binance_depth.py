"""Binance's files of the order book: snapshots and changes, a level a line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from engine.errors import BadInput
from engine.lab.formats.door import Format, RowFold
from engine.lab.formats.levels import Levels, quote_row
from engine.lab.formats.tables import Cells, FileHead
from storage.datasets import DataKind

_SNAPSHOT, _CHANGE = "snap", "set"
_SIDES = {"b": "bid", "a": "ask"}


class BinanceDepth(Format):
    """The best bid and ask after each update; a file begins with a snapshot."""

    title = "Binance order book"
    source = "Binance, historical order book (T_DEPTH), and its rules of a local order book"
    kind = DataKind.QUOTES
    leaves_out = "levels behind the best bid and ask are left out"
    names: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "time": ("timestamp",),
        "bid": ("price",),
        "bid_size": ("qty",),
        "ask": ("price",),
        "ask_size": ("qty",),
        "side": ("side",),
        "sort": ("update_type",),
        "first": ("first_update_id",),
        "update": ("last_update_id",),
        "before": ("pu",),
    }
    example = (
        "BTCUSDT_T_DEPTH.csv\n"
        "symbol,timestamp,first_update_id,last_update_id,side,update_type,price,qty,pu\n"
        "BTCUSDT,1667346579146,9,9,b,snap,20377.00,1.770,-1\n"
        "BTCUSDT,1667346579146,9,9,a,snap,20377.10,0.500,-1\n"
        "BTCUSDT,1667346579250,8,12,b,set,20377.00,0.000,7\n"
        "BTCUSDT,1667346579250,8,12,b,set,20376.90,0.001,7\n"
        "BTCUSDT,1667346579360,13,15,a,set,20377.10,0.250,12\n"
    )

    def folding(self) -> RowFold | None:
        """Return what keeps the book of one file."""
        return _FileBook()

    def fits(self, head: FileHead) -> bool:
        """Say whether it has every one of these columns."""
        return len(self.places(head)) == len(self.names)


class _FileBook:
    """The book of one file. Implements `RowFold`: a row is made of all lines of one update."""

    single = False

    def __init__(self) -> None:
        self._sides = {"bid": Levels(), "ask": Levels()}
        self._stamp: tuple[str, str, str] | None = None
        """Time, sort and number of the update whose lines are read; None = none was yet."""
        self._snapshot: int | None = None
        """Number of the last snapshot while no change came after it."""

    def take(self, cells: Cells, places: Mapping[str, int]) -> Cells | None:
        """Take a line; return the row of the update before it where another one begins."""
        stamp = cells[places["time"]], cells[places["sort"]], cells[places["update"]]
        made = None
        if stamp != self._stamp:
            made = self.rest()
            if not self._begins(stamp, cells, places):
                return made
        side = _SIDES.get(cells[places["side"]])
        if side is None:
            raise BadInput(f"has the side {cells[places['side']]!r}: a or b")
        self._sides[side].put(cells[places["bid"]], cells[places["bid_size"]])
        return made

    def rest(self) -> Cells | None:
        """Return the best bid and ask behind the lines so far; None = none was read."""
        if self._stamp is None:
            return None
        return quote_row(self._stamp[0], self._sides["bid"], self._sides["ask"])

    def _begins(self, stamp: tuple[str, str, str], cells: Cells, places: Mapping[str, int]) -> bool:
        """Begin an update; False = the snapshot holds it already. Raises BadInput for a gap."""
        first, update, before = (
            _whole(cells[places[role]]) for role in ("first", "update", "before")
        )
        if stamp[1] == _SNAPSHOT:
            self._sides = {"bid": Levels(), "ask": Levels()}
            self._snapshot = update
        elif stamp[1] != _CHANGE:
            raise BadInput(f"has the update_type {stamp[1]!r}: {_SNAPSHOT} or {_CHANGE}")
        elif self._stamp is None:
            raise BadInput("changes a book that no snapshot before it began")
        elif self._snapshot is not None:
            if update < self._snapshot:
                return False
            if first > self._snapshot:
                raise BadInput(f"begins at update {first}, the snapshot ends at {self._snapshot}")
            self._snapshot = None
        elif before != int(self._stamp[2]):
            raise BadInput(f"follows update {before}, the one before it is {self._stamp[2]}")
        self._stamp = stamp
        return True


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise BadInput(f"has the update number {text!r}, which is none") from None
