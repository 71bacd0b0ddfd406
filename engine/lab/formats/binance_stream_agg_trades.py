"""Aggregate trades of a recorded stream of Binance, by the time they were received."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from engine.lab.formats.door import Format
from engine.lab.formats.frames import NAMES, captured_at, holds, stream_of
from engine.lab.formats.tables import Cells, FileHead
from storage.datasets import DataKind


class BinanceStreamAggTrades(Format):
    """Lines of `<ns> {"stream": "btcusdt@aggTrade", "data": {…}}`; others are passed over."""

    title = "Recorded Binance stream, aggregate trades"
    source = "developers.binance.com, WebSocket streams: combined streams, aggTrade"
    kind = DataKind.TRADES
    numbered = True
    folds = ("symbol", "time", "price", "size", "buyer_maker", "id")
    leaves_out = "quotes, bars and changes of the book are left out: --kind quotes reads the quotes"
    names: ClassVar[Mapping[str, tuple[str, ...]]] = NAMES
    example = (
        "btcusdt.txt\n"
        '1723161254087896568 {"stream":"btcusdt@aggTrade","data":{"e":"aggTrade","a":7,'
        '"p":"61837.63","q":"0.02","m":true}}\n'
        '1723161254088096568 {"stream":"btcusdt@aggTrade","data":{"e":"aggTrade","a":8,'
        '"p":"61837.64","q":"0.01","m":false}}\n'
    )

    def fits(self, head: FileHead) -> bool:
        """Say whether it begins with aggregate trades, or is a capture."""
        return holds(head, "aggTrade") or captured_at(head, "stream.binance.com")

    def rows_in(self, cells: Cells, places: Mapping[str, int]) -> Sequence[Cells]:
        """Return the aggregate trade of a frame."""
        found = stream_of(cells, places, "aggTrade")
        if found is None:
            return ()
        symbol, data = found
        maker = "true" if data.m else "false"
        return ([symbol, cells[places["time"]], data.p, data.q, maker, str(data.a)],)
