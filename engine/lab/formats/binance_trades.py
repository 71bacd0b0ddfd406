"""Trades of Binance: the zips of data.binance.vision, spot and futures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from engine.lab.formats.door import Format, flags
from engine.lab.formats.tables import FileHead
from storage.datasets import DataKind

BARE = {"id": 0, "price": 1, "size": 2, "time": 4, "buyer_maker": 5}


class BinanceTrades(Format):
    """One trade a row: id, price, quantity, its value, time, whether the buyer was the maker."""

    title = "Binance trades"
    source = "github.com/binance/binance-public-data, trades"
    kind = DataKind.TRADES
    numbered = True
    names: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "id": ("id",),
        "price": ("price",),
        "size": ("qty",),
        "time": ("time",),
        "buyer_maker": ("is_buyer_maker",),
    }
    example = (
        "BTCUSDT-trades-2024-01-01.csv\n"
        "3366475001,42283.58,0.00072,30.44,1704067200000,True,True\n"
        "3366475002,42283.59,0.00160,67.65,1704067200006,False,True\n"
    )

    def places(self, head: FileHead) -> dict[str, int]:
        """Return the columns by their names, or by where the rows have true and false."""
        if head.header:
            return super().places(head)
        return BARE if flags(head) in ((5,), (5, 6)) else {}

    def fits(self, head: FileHead) -> bool:
        """Say whether it is such a file: with a header it has all of its names."""
        return len(self.places(head)) == len(BARE)
