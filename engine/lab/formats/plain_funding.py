"""Funding rates of any source: a table of times and rates of one perpetual."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from engine.lab.formats.door import Format
from engine.lab.formats.numbers import TIMES
from storage.datasets import DataKind


class PlainFunding(Format):
    """CSV, JSON, lines of JSON or Parquet; a rate is a part of the position, paid by longs."""

    title = "Funding rates by column names"
    source = "the names in common use, and Binance's own files"
    kind = DataKind.FUNDING
    fallback = True
    names: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "time": (*TIMES, "t", "fundingtime", "funding_time", "calc_time", "settletime"),
        "rate": ("rate", "funding rate", "funding_rate", "fundingrate", "last_funding_rate"),
    }
    example = (
        "funding.csv\nSymbol,Date,Funding Rate\n"
        "BTC-USDT,2024-01-01 00:00:00,0.0001\nBTC-USDT,2024-01-01 08:00:00,-0.00012\n"
    )
