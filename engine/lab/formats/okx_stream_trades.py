"""Trades of a capture of OKX, by the exchange's clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import msgspec

from engine.lab.formats.door import Format
from engine.lab.formats.frames import NAMES, TRADE, captured_at, frame_of
from engine.lab.formats.tables import Cells, FileHead
from storage.datasets import DataKind


class _OkxTrade(msgspec.Struct):
    instId: str  # noqa: N815
    px: str
    sz: str
    side: str
    ts: str


class _OkxFrame(msgspec.Struct):
    data: list[_OkxTrade]


class OkxStreamTrades(Format):
    """Lines of `<seconds>: <frame>` behind those of what was sent; other channels are left out."""

    title = "Capture of OKX, trades of spot pairs"
    source = "www.okx.com/docs-v5, WebSocket: trades channel"
    kind = DataKind.TRADES
    folds = TRADE
    leaves_out = (
        "books and tickers are left out, and derivatives: their sizes are numbers of contracts"
    )
    names: ClassVar[Mapping[str, tuple[str, ...]]] = NAMES
    example = (
        "OKX.ws.1.0\n"
        "wss://ws.okx.com:8443/ws/v5/public <-> 1652459224.5\n"
        '1652459225.5: {"arg":{"channel":"trades","instId":"BTC-USDT"},"data":[{"instId":"BTC'
        '-USDT","tradeId":"7","px":"30218.8","sz":"0.01","side":"buy","ts":"1652459225400"}]}\n'
        '1652459225.6: {"arg":{"channel":"trades","instId":"BTC-USDT"},"data":[{"instId":"BTC'
        '-USDT","tradeId":"8","px":"30218.7","sz":"0.02","side":"sell","ts":"1652459225500"}]'
        "}\n"
    )

    def fits(self, head: FileHead) -> bool:
        """Say whether it is a capture of this socket."""
        return captured_at(head, "ws.okx.com")

    def rows_in(self, cells: Cells, places: Mapping[str, int]) -> Sequence[Cells]:
        """Return the trades of a frame."""
        frame = frame_of(cells, places, _OkxFrame)
        trades = () if frame is None else frame.data
        spot = (one for one in trades if one.instId.count("-") == 1)
        return [[one.instId, one.ts, one.px, one.sz, one.side] for one in spot]
