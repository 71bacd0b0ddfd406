"""Trades of a recorded stream of Binance, by the time they were received."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from engine.lab.formats.door import Format
from engine.lab.formats.frames import NAMES, holds, stream_of
from engine.lab.formats.tables import Cells, FileHead
from storage.datasets import DataKind


class BinanceStreamTrades(Format):
    """Lines of `<ns> {"stream": "btcusdt@trade", "data": {…}}`; other streams are passed over."""

    title = "Recorded Binance stream, trades"
    source = "developers.binance.com, WebSocket streams: combined streams, trade"
    kind = DataKind.TRADES
    numbered = True
    folds = ("symbol", "time", "price", "size", "buyer_maker", "id")
    leaves_out = "quotes and changes of the book are left out: --kind quotes reads the quotes"
    names: ClassVar[Mapping[str, tuple[str, ...]]] = NAMES
    example = (
        "btcusdt.txt\n"
        '1723161254087896568 {"stream":"btcusdt@trade","data":{"e":"trade","t":7,"p":"61837.63",'
        '"q":"0.02","m":true}}\n'
        '1723161254088096568 {"stream":"btcusdt@trade","data":{"e":"trade","t":8,"p":"61837.64",'
        '"q":"0.01","m":false}}\n'
    )

    def fits(self, head: FileHead) -> bool:
        """Say whether it is of stamped frames with trades among the first."""
        return holds(head, "trade")

    def rows_in(self, cells: Cells, places: Mapping[str, int]) -> Sequence[Cells]:
        """Return the trade of a frame."""
        found = stream_of(cells, places, "trade")
        if found is None:
            return ()
        symbol, data = found
        maker = "true" if data.m else "false"
        return ([symbol, cells[places["time"]], data.p, data.q, maker, str(data.t)],)
