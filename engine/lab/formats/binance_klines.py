"""Klines of Binance: the zips of data.binance.vision, spot and futures, and the API's arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from engine.lab.formats.door import ROLES, Format
from engine.lab.formats.tables import FileHead, is_number
from storage.datasets import DataKind

WIDTH = 12
"""open time, open, high, low, close, volume, close time, quote volume, trades, two of takers, 0"""


class BinanceKlines(Format):
    """Spot files have no header, those of futures have one; times are ms, since 2025 µs."""

    title = "Binance klines"
    source = "github.com/binance/binance-public-data, klines"
    kind = DataKind.BARS
    names: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "time": ("open_time",),
        "open": ("open",),
        "high": ("high",),
        "low": ("low",),
        "close": ("close",),
        "volume": ("volume",),
        "close_time": ("close_time",),
    }
    example = (
        "BTCUSDT-1m-2024-01.csv\n"
        "1704067200000,42283.58,42298.62,42261.02,42298.61,35.92724,1704067259999,1519032.7,1327,"
        "23.1,977056.0,0\n"
        "1704067260000,42298.62,42320.00,42298.61,42320.00,21.16779,1704067319999,895580.9,1348,"
        "13.6,575840.6,0\n"
    )

    def places(self, head: FileHead) -> dict[str, int]:
        """Return the columns by their names, or by their places in twelve numbers."""
        if head.header:
            return super().places(head)
        if any(len(row) != WIDTH or not all(map(is_number, row)) for row in head.rows):
            return {}
        return {role: place for place, role in enumerate(ROLES[self.kind])}

    def fits(self, head: FileHead) -> bool:
        """Say whether it is a kline file: with a header it has a close time, too."""
        found = self.places(head)
        return bool(head.rows) and super().fits(head) and (not head.header or "close_time" in found)
