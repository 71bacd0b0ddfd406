"""Trades of a capture of Gate, by the exchange's clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import msgspec

from engine.lab.formats.door import Format
from engine.lab.formats.frames import NAMES, TRADE, captured_at, frame_of
from engine.lab.formats.tables import Cells, FileHead
from storage.datasets import DataKind


class _GateTrade(msgspec.Struct):
    create_time_ms: str
    side: str
    currency_pair: str
    amount: str
    price: str


class _GateFrame(msgspec.Struct):
    channel: str
    result: _GateTrade


class GateStreamTrades(Format):
    """Lines of `<seconds>: <frame>` behind those of what was sent; other channels are left out."""

    title = "Capture of Gate, trades of spot pairs"
    source = "www.gate.com/docs/developers/apiv4/ws, spot.trades"
    kind = DataKind.TRADES
    folds = TRADE
    leaves_out = "books, candles and tickers are left out"
    names: ClassVar[Mapping[str, tuple[str, ...]]] = NAMES
    example = (
        "GATEIO.ws.1.0\n"
        "wss://api.gateio.ws/ws/v4/ <-> 1652459224.5\n"
        '1652459225.5: {"channel":"spot.trades","event":"update","result":{"id":7,"create_tim'
        'e_ms":"1652459225400.26","side":"sell","currency_pair":"A_USDT","amount":"0.2","pric'
        'e":"121.58"}}\n'
        '1652459225.6: {"channel":"spot.trades","event":"update","result":{"id":9,"create_tim'
        'e_ms":"1652459225500.1","side":"buy","currency_pair":"A_USDT","amount":"0.5","price"'
        ':"121.59"}}\n'
    )

    def fits(self, head: FileHead) -> bool:
        """Say whether it is a capture of this socket."""
        return captured_at(head, "api.gateio.ws/ws/v4")

    def rows_in(self, cells: Cells, places: Mapping[str, int]) -> Sequence[Cells]:
        """Return the trades of a frame."""
        frame = frame_of(cells, places, _GateFrame)
        if frame is None or frame.channel != "spot.trades":
            return ()
        one = frame.result
        return ([one.currency_pair, one.create_time_ms, one.price, one.amount, one.side],)
