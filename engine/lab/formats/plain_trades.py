"""Trades of any source: a table whose columns are named time, price and size, and the like."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from engine.lab.formats.door import Format
from engine.lab.formats.numbers import TIMES
from engine.lab.formats.tables import FileHead
from storage.datasets import DataKind

OF_BOOKS = frozenset({"update_type", "bid", "ask", "bid_price", "ask_price", "level", "depth"})
"""Names of columns that tell of a book: its rows are no trades."""


class PlainTrades(Format):
    """CSV, JSON, lines of JSON or Parquet; the side is the taker's."""

    title = "Trades by column names"
    source = "the names in common use"
    kind = DataKind.TRADES
    fallback = True
    names: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "time": (*TIMES, "at_ns", "ts", "t"),
        "price": ("price", "p", "px"),
        "size": ("size", "quantity", "qty", "amount", "q"),
        "side": ("side", "taker_side", "aggressor"),
        "buyer_maker": ("buyer_maker", "is_buyer_maker", "m"),
        "id": ("trade_id", "id"),
    }
    example = (
        "trades.csv\ntime,price,size,side\n1704067200.5,0.52,100,buy\n1704067201.5,0.51,25.5,sell\n"
    )

    def fits(self, head: FileHead) -> bool:
        """Say whether its columns are those of trades and of no book."""
        return not OF_BOOKS & set(head.header) and super().fits(head)
