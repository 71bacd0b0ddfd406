"""Bars of any source: a table whose columns are named time, open, high, low, close and volume."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from engine.lab.formats.door import Format
from engine.lab.formats.numbers import TIMES
from storage.datasets import DataKind


class PlainBars(Format):
    """CSV, JSON, lines of JSON or Parquet; the time is the start of the bar."""

    title = "Bars by column names"
    source = "the names in common use"
    kind = DataKind.BARS
    fallback = True
    names: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "time": (*TIMES, "start", "start_ns", "ts", "t"),
        "open": ("open", "o"),
        "high": ("high", "h"),
        "low": ("low", "l"),
        "close": ("close", "c"),
        "volume": ("volume", "vol", "v", "amount"),
    }
    example = (
        "bars.jsonl\n"
        '{"time": "2024-01-01T00:00:00Z", "open": 1.5, "high": 2, "low": 1, "close": 1.75, '
        '"volume": 10}\n'
        '{"time": "2024-01-01T00:01:00Z", "open": 1.75, "high": 2, "low": 1.5, "close": 2, '
        '"volume": 0}\n'
    )
