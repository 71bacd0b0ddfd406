"""Aggregate trades of Binance: fills of one taker at one price, as data.binance.vision has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from engine.lab.formats.door import Format, flags
from engine.lab.formats.tables import FileHead
from storage.datasets import DataKind

BARE = {"id": 0, "price": 1, "size": 2, "time": 5, "buyer_maker": 6}
WIDTHS = (7, 8)
"""Futures, spot."""


class BinanceAggTrades(Format):
    """One taker's fills at one price a row: id, price, quantity, first and last id, time, maker."""

    title = "Binance aggTrades"
    source = "github.com/binance/binance-public-data, aggTrades"
    kind = DataKind.TRADES
    numbered = True
    names: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "id": ("agg_trade_id",),
        "price": ("price",),
        "size": ("quantity",),
        "time": ("transact_time",),
        "buyer_maker": ("is_buyer_maker",),
    }
    example = (
        "BTCUSDT-aggTrades-2024-01-01.csv\n"
        "2827195001,42283.58,0.00072,3366475001,3366475001,1704067200000,True,True\n"
        "2827195002,42283.59,0.00160,3366475002,3366475003,1704067200006,False,True\n"
    )

    def places(self, head: FileHead) -> dict[str, int]:
        """Return the columns by their names, or by where the rows have true and false."""
        if head.header:
            return super().places(head)
        wide = {len(row) for row in head.rows}
        return BARE if flags(head) in ((6,), (6, 7)) and wide <= set(WIDTHS) else {}

    def fits(self, head: FileHead) -> bool:
        """Say whether it is such a file: with a header it has all of its names."""
        return len(self.places(head)) == len(BARE)
