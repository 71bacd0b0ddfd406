"""Trades of a capture of Coinbase, by the exchange's clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import msgspec

from engine.lab.formats.door import Format
from engine.lab.formats.frames import NAMES, TRADE, captured_at, frame_of
from engine.lab.formats.tables import Cells, FileHead
from storage.datasets import DataKind

_TAKER = {"sell": "buy", "buy": "sell"}
"""A match says the side of the maker."""


class _CoinbaseFrame(msgspec.Struct):
    type: str
    product_id: str
    side: str
    size: str
    price: str
    time: str
    trade_id: int


class CoinbaseStreamTrades(Format):
    """Lines of `<seconds>: <frame>` behind those of what was sent; other channels are left out."""

    title = "Capture of Coinbase, matches"
    source = "docs.cdp.coinbase.com, Exchange WebSocket: matches channel"
    kind = DataKind.TRADES
    numbered = True
    folds = (*TRADE, "id")
    leaves_out = "books and tickers are left out"
    names: ClassVar[Mapping[str, tuple[str, ...]]] = NAMES
    example = (
        "COINBASE.ws.28.0\n"
        "wss://ws-feed.pro.coinbase.com <-> 1652459224.5\n"
        '1652459225.5: {"type":"match","trade_id":7,"side":"sell","size":"0.04","price":"14.7'
        '775","product_id":"BAND-GBP","time":"2022-05-13T16:27:05.4Z"}\n'
        '1652459225.6: {"type":"match","trade_id":8,"side":"buy","size":"0.05","price":"14.77'
        '74","product_id":"BAND-GBP","time":"2022-05-13T16:27:05.5Z"}\n'
    )

    def fits(self, head: FileHead) -> bool:
        """Say whether it is a capture of this socket."""
        return captured_at(head, "ws-feed.pro.coinbase.com", "ws-feed.exchange.coinbase.com")

    def rows_in(self, cells: Cells, places: Mapping[str, int]) -> Sequence[Cells]:
        """Return the trades of a frame."""
        one = frame_of(cells, places, _CoinbaseFrame)
        if one is None or one.type != "match" or one.side not in _TAKER:
            return ()
        side, number = _TAKER[one.side], str(one.trade_id)
        return ([one.product_id, one.time, one.price, one.size, side, number],)
