"""Trades of a capture of Bybit, by the exchange's clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import msgspec

from engine.lab.formats.door import Format
from engine.lab.formats.frames import NAMES, TRADE, captured_at, frame_of
from engine.lab.formats.tables import Cells, FileHead
from storage.datasets import DataKind


class _BybitTrade(msgspec.Struct):
    symbol: str
    price: str
    size: float
    trade_time_ms: str
    side: str


class _BybitFrame(msgspec.Struct):
    data: list[_BybitTrade]


class BybitStreamTrades(Format):
    """Lines of `<seconds>: <frame>` behind those of what was sent; other channels are left out."""

    title = "Capture of Bybit, trades of USDT perpetuals"
    source = "bybit-exchange.github.io/docs-legacy, WebSocket: trade"
    kind = DataKind.TRADES
    folds = TRADE
    leaves_out = "books are left out, and inverse contracts: their sizes are amounts of USD"
    names: ClassVar[Mapping[str, tuple[str, ...]]] = NAMES
    example = (
        "BYBIT.ws.25.0\n"
        "wss://stream.bybit.com/realtime_public <-> 1652459224.5\n"
        '1652459225.5: {"topic":"trade.BCHUSDT","data":[{"symbol":"BCHUSDT","price":"1053.90"'
        ',"size":0.14,"trade_time_ms":"1652459225400","side":"Buy"}]}\n'
        '1652459225.6: {"topic":"trade.BCHUSDT","data":[{"symbol":"BCHUSDT","price":"1053.85"'
        ',"size":0.02,"trade_time_ms":"1652459225500","side":"Sell"}]}\n'
    )

    def fits(self, head: FileHead) -> bool:
        """Say whether it is a capture of this socket."""
        return captured_at(head, "stream.bybit.com/realtime_public")

    def rows_in(self, cells: Cells, places: Mapping[str, int]) -> Sequence[Cells]:
        """Return the trades of a frame."""
        frame = frame_of(cells, places, _BybitFrame)
        trades = () if frame is None else frame.data
        return [
            [one.symbol, one.trade_time_ms, one.price, str(one.size), one.side] for one in trades
        ]
