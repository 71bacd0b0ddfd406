"""Public trades of Polymarket: rows of GET /trades of its Data API, saved as JSON or its lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from engine.lab.formats.door import Format
from engine.lab.formats.tables import FileHead
from storage.datasets import DataKind


class PolymarketTrades(Format):
    """Rows with asset, side, size, price and a time in seconds, newest first as it answers.

    `--only asset=TOKEN --sort` reads the trades of one token. A price that the venue derived from
    amounts (0.4199998235998977) is rounded to 1e-8.
    """

    title = "Polymarket trades"
    source = "docs.polymarket.com, Data API, GET /trades"
    kind = DataKind.TRADES
    rounds = True
    names: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "time": ("timestamp",),
        "price": ("price",),
        "size": ("size",),
        "side": ("side",),
        "asset": ("asset",),
        "market": ("conditionid",),
    }
    example = (
        "trades.json\n"
        '[{"side": "BUY", "asset": "39983", "conditionId": "0x8b", "size": 2.380951, '
        '"price": 0.4199998235998977, "timestamp": 1772268540}, '
        '{"side": "SELL", "asset": "39983", "conditionId": "0x8b", "size": 5, "price": 0.42, '
        '"timestamp": 1772268541}]\n'
    )

    def fits(self, head: FileHead) -> bool:
        """Say whether it has every one of these columns."""
        return len(self.places(head)) == len(self.names)
