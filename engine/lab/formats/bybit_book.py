"""Bybit's files of the order book (ob500, ob200): a snapshot, then changes, an update a line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import msgspec

from engine.errors import BadInput
from engine.lab.formats.door import Format, RowFold
from engine.lab.formats.levels import Levels, quote_row
from engine.lab.formats.tables import Cells, FileHead
from storage.datasets import DataKind


class BybitBook(Format):
    """The best bid and ask after each update; a file begins with a snapshot."""

    title = "Bybit order book"
    source = "bybit.com, historical order book (ob500), and its v5 stream orderbook.500"
    kind = DataKind.QUOTES
    leaves_out = "levels behind the best bid and ask are left out"
    names: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "time": ("ts",),
        "topic": ("topic",),
        "sort": ("type",),
        "update": ("data",),
    }
    example = (
        "2024-12-01_XRPUSDT_ob500.jsonl\n"
        '{"topic":"orderbook.500.XRPUSDT","type":"snapshot","ts":1733011200691,"data":'
        '{"s":"XRPUSDT","b":[["1.9531","6203"]],"a":[["1.9532","80"]],"u":1,"seq":5}}\n'
        '{"topic":"orderbook.500.XRPUSDT","type":"delta","ts":1733011200693,"data":'
        '{"s":"XRPUSDT","b":[["1.9531","0"],["1.9530","7"]],"a":[],"u":2,"seq":6}}\n'
    )

    def fits(self, head: FileHead) -> bool:
        """Say whether it has these columns, and its topic is an order book."""
        at = self.places(head)
        return len(at) == len(self.names) and all(
            row[at["topic"]].startswith("orderbook.") for row in head.rows
        )

    def folding(self) -> RowFold | None:
        """Return what keeps the book of one file."""
        return _UpdateFold()


class _Update(msgspec.Struct):
    s: str
    b: list[tuple[str, str]]
    a: list[tuple[str, str]]
    u: int


_DECODE = msgspec.json.Decoder(_Update).decode
_RESTARTED = 1
"""Bybit numbers a snapshot 1 after its service began anew; then it replaces the book."""


class _UpdateFold:
    """The book of one file. Implements `RowFold`."""

    single = True

    def __init__(self) -> None:
        self._bids, self._asks = Levels(), Levels()
        self._symbol, self._number = "", 0

    def take(self, cells: Cells, places: Mapping[str, int]) -> Cells | None:
        """Apply a line; return the best bid and ask behind it. Raises BadInput."""
        try:
            update = _DECODE(cells[places["update"]])
        except msgspec.MsgspecError as error:
            raise BadInput(f"has an update that cannot be read: {error}") from None
        self._place(cells[places["sort"]], update)
        for side, levels in ((self._bids, update.b), (self._asks, update.a)):
            for price, size in levels:
                side.put(price, size)
        return quote_row(cells[places["time"]], self._bids, self._asks)

    def rest(self) -> Cells | None:
        """Return nothing: each update's row was returned with it."""
        return None

    def _place(self, sort: str, update: _Update) -> None:
        """Look whether an update follows the one before it. Raises BadInput."""
        if self._symbol and update.s != self._symbol:
            raise BadInput(f"is of {update.s}, the lines before it are of {self._symbol}")
        if sort == "snapshot" or update.u == _RESTARTED:
            self._bids.clear()
            self._asks.clear()
        elif sort != "delta":
            raise BadInput(f"has the type {sort!r}: snapshot or delta")
        elif not self._symbol:
            raise BadInput("changes a book that no snapshot before it began")
        elif update.u != self._number + 1:
            raise BadInput(f"is update {update.u}, the one before it is {self._number}")
        self._symbol, self._number = update.s, update.u
