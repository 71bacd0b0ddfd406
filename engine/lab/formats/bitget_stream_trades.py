"""Trades of a capture of Bitget, by the exchange's clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import msgspec

from engine.lab.formats.door import Format
from engine.lab.formats.frames import NAMES, TRADE, captured_at, frame_of
from engine.lab.formats.tables import Cells, FileHead
from storage.datasets import DataKind


class _BitgetChannel(msgspec.Struct):
    channel: str
    instId: str  # noqa: N815


class _BitgetFrame(msgspec.Struct):
    action: str
    arg: _BitgetChannel
    data: list[tuple[str, str, str, str]]


class BitgetStreamTrades(Format):
    """Lines of `<seconds>: <frame>` behind those of what was sent; other channels are left out."""

    title = "Capture of Bitget, trades"
    source = "bitgetlimited.github.io/apidoc, WebSocket: trade channel"
    kind = DataKind.TRADES
    folds = TRADE
    leaves_out = (
        "books, candles and tickers are left out, and the trades before the recording began"
    )
    names: ClassVar[Mapping[str, tuple[str, ...]]] = NAMES
    example = (
        "BITGET.ws.1.0\n"
        "wss://ws.bitget.com/spot/v1/stream <-> 1652459224.5\n"
        '1652459225.5: {"action":"update","arg":{"channel":"trade","instId":"EOSUSDT"},"data"'
        ':[["1652459225400","2.4383","2.05","buy"]]}\n'
        '1652459225.6: {"action":"update","arg":{"channel":"trade","instId":"EOSUSDT"},"data"'
        ':[["1652459225500","2.4382","1.05","sell"]]}\n'
    )

    def fits(self, head: FileHead) -> bool:
        """Say whether it is a capture of this socket."""
        return captured_at(head, "ws.bitget.com")

    def rows_in(self, cells: Cells, places: Mapping[str, int]) -> Sequence[Cells]:
        """Return the trades of a frame."""
        frame = frame_of(cells, places, _BitgetFrame)
        if frame is None or frame.action != "update" or frame.arg.channel != "trade":
            return ()
        symbol = frame.arg.instId
        # The newest of a frame stands first.
        return [[symbol, *one] for one in sorted(frame.data, key=lambda one: one[0])]
