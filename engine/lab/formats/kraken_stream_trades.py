"""Trades of a capture of Kraken, by the exchange's clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import msgspec

from engine.lab.formats.door import Format
from engine.lab.formats.frames import NAMES, TRADE, captured_at, frame_of
from engine.lab.formats.tables import Cells, FileHead
from storage.datasets import DataKind


class _KrakenTrade(msgspec.Struct, array_like=True):
    price: str
    volume: str
    time: str
    side: str


class _KrakenFrame(msgspec.Struct, array_like=True):
    channel: int
    trades: list[_KrakenTrade]
    name: str
    pair: str


class KrakenStreamTrades(Format):
    """Lines of `<seconds>: <frame>` behind those of what was sent; other channels are left out."""

    title = "Capture of Kraken, trades"
    source = "docs.kraken.com/api/docs/websocket-v1/trade"
    kind = DataKind.TRADES
    folds = TRADE
    leaves_out = "books and tickers are left out"
    names: ClassVar[Mapping[str, tuple[str, ...]]] = NAMES
    example = (
        "KRAKEN.ws.48.0\n"
        "wss://ws.kraken.com <-> 1652459224.5\n"
        '1652459225.5: [993,[["354.11","0.8","1652459225.4","s","l",""],["354.10","0.1","1652'
        '459225.4","s","l",""]],"trade","XMR/USD"]\n'
        '1652459225.6: [993,[["354.12","0.2","1652459225.5","b","l",""]],"trade","XMR/USD"]\n'
    )

    def fits(self, head: FileHead) -> bool:
        """Say whether it is a capture of this socket."""
        return captured_at(head, "ws.kraken.com")

    def rows_in(self, cells: Cells, places: Mapping[str, int]) -> Sequence[Cells]:
        """Return the trades of a frame."""
        frame = frame_of(cells, places, _KrakenFrame)
        if frame is None or frame.name != "trade":
            return ()
        return [[frame.pair, one.time, one.price, one.volume, one.side] for one in frame.trades]
