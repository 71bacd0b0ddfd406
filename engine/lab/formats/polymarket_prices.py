"""Price history of Polymarket: the answer of GET /prices-history of its CLOB."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from engine.lab.formats.door import Format
from engine.lab.formats.tables import FileHead
from storage.datasets import DataKind


class PolymarketPrices(Format):
    """`{"history": [{"t": seconds, "p": price}, …]}` of one outcome token, saved as JSON."""

    title = "Polymarket price history"
    source = "docs.polymarket.com, GET /prices-history"
    kind = DataKind.PRICES
    names: ClassVar[Mapping[str, tuple[str, ...]]] = {"time": ("t",), "price": ("p",)}
    example = (
        "history.json\n"
        '{"history": [{"t": 1697875200, "p": 0.515}, {"t": 1697878800, "p": 0.525}]}\n'
    )

    def fits(self, head: FileHead) -> bool:
        """Say whether its rows have these two names and no other."""
        return sorted(head.header) == ["p", "t"]
