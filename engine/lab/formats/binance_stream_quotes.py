"""Book tickers of a recorded stream of Binance, by the time they were received."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from engine.lab.formats.door import Format
from engine.lab.formats.frames import NAMES, holds, stream_of
from engine.lab.formats.tables import Cells, FileHead
from storage.datasets import DataKind


class BinanceStreamQuotes(Format):
    """Lines of `<ns> {"stream": "btcusdt@bookTicker", "data": {…}}`; others are passed over."""

    title = "Recorded Binance stream, quotes"
    source = "developers.binance.com, WebSocket streams: combined streams, bookTicker"
    kind = DataKind.QUOTES
    leaves_out = "trades and changes of the book are left out: --kind trades reads the trades"
    folds = ("symbol", "time", "bid", "ask", "bid_size", "ask_size")
    names: ClassVar[Mapping[str, tuple[str, ...]]] = NAMES
    example = (
        "btcusdt.txt\n"
        '1723161254087891268 {"stream":"btcusdt@bookTicker","data":{"u":1,"b":"61837.63",'
        '"B":"3.7","a":"61837.64","A":"1.5"}}\n'
        '1723161254116723068 {"stream":"btcusdt@bookTicker","data":{"u":2,"b":"61837.63",'
        '"B":"3.7","a":"61837.64","A":"1.6"}}\n'
    )

    def fits(self, head: FileHead) -> bool:
        """Say whether it is of stamped frames with book tickers among the first."""
        return holds(head, "bookTicker")

    def rows_in(self, cells: Cells, places: Mapping[str, int]) -> Sequence[Cells]:
        """Return the quote of a frame."""
        found = stream_of(cells, places, "bookTicker")
        if found is None:
            return ()
        symbol, data = found
        return ([symbol, cells[places["time"]], str(data.b), str(data.a), data.B, data.A],)
