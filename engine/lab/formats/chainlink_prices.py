"""Prices of a Chainlink data stream, as a recorder received them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from engine.lab.formats.door import Format
from storage.datasets import DataKind


class ChainlinkPrices(Format):
    """Columns feed_ts_ms, value and recv_ms; the time of a row is that of its receipt.

    A backtest knows a price no earlier than its recorder did; by the feed's own time it would.
    """

    title = "Chainlink prices, as received"
    source = "docs.chain.link, data streams: observations; the recorder's clock beside them"
    kind = DataKind.PRICES
    names: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "time": ("recv_ms",),
        "price": ("value",),
        "feed_time": ("feed_ts_ms",),
    }
    example = (
        "BTCUSD.csv\nfeed_ts_ms,value,full_accuracy_value,server_ts_ms,recv_ms\n"
        "1780876800000,63304.20030119507,63304200301195075000000,1780876800939,1780876801156\n"
        "1780876801000,63304.5,63304500000000000000000,1780876801939,1780876802156\n"
    )
