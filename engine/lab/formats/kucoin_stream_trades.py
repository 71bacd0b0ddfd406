"""Trades of a capture of KuCoin, by the exchange's clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import msgspec

from engine.lab.formats.door import Format
from engine.lab.formats.frames import NAMES, TRADE, captured_at, frame_of
from engine.lab.formats.tables import Cells, FileHead
from storage.datasets import DataKind


class _KucoinMatch(msgspec.Struct):
    symbol: str
    side: str
    size: str
    price: str
    time: str
    type: str


class _KucoinFrame(msgspec.Struct):
    data: _KucoinMatch


class KucoinStreamTrades(Format):
    """Lines of `<seconds>: <frame>` behind those of what was sent; other channels are left out."""

    title = "Capture of KuCoin, matches"
    source = "www.kucoin.com/docs, WebSocket: match execution data"
    kind = DataKind.TRADES
    folds = TRADE
    leaves_out = "books, candles and tickers are left out"
    names: ClassVar[Mapping[str, tuple[str, ...]]] = NAMES
    example = (
        "KUCOIN.ws.1.0\n"
        "wss://push-private.kucoin.com/endpoint <-> 1652459224.5\n"
        '1652459225.5: {"data":{"symbol":"EQZ-BTC","side":"buy","size":"81.8","price":"0.0000'
        '111","time":"1652459225400000000","type":"match"}}\n'
        '1652459225.6: {"data":{"symbol":"EQZ-BTC","side":"sell","size":"0.02","price":"0.000'
        '0119","time":"1652459225500000000","type":"match"}}\n'
    )

    def fits(self, head: FileHead) -> bool:
        """Say whether it is a capture of this socket."""
        return captured_at(head, ".kucoin.com")

    def rows_in(self, cells: Cells, places: Mapping[str, int]) -> Sequence[Cells]:
        """Return the trades of a frame."""
        frame = frame_of(cells, places, _KucoinFrame)
        if frame is None or frame.data.type != "match":
            return ()
        one = frame.data
        return ([one.symbol, one.time, one.price, one.size, one.side],)
