"""Quotes of any source: a table of best bids and asks with their sizes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from engine.lab.formats.door import Format
from engine.lab.formats.numbers import TIMES
from storage.datasets import DataKind


class PlainQuotes(Format):
    """CSV, JSON, lines of JSON or Parquet; Binance's files of book tickers, too."""

    title = "Quotes by column names"
    source = "the names in common use, and https://data.binance.vision (bookTicker)"
    kind = DataKind.QUOTES
    fallback = True
    names: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "time": (*TIMES, "transaction_time", "event_time", "at_ns", "ts", "t"),
        "bid": ("bid", "bid_price", "best_bid", "best_bid_price"),
        "ask": ("ask", "ask_price", "best_ask", "best_ask_price"),
        "bid_size": ("bid_size", "bid_qty", "bid_amount", "best_bid_qty", "best_bid_size"),
        "ask_size": ("ask_size", "ask_qty", "ask_amount", "best_ask_qty", "best_ask_size"),
    }
    example = (
        "quotes.csv\ntime,bid,bid_size,ask,ask_size\n"
        "1704067200.5,0.51,100,0.52,40\n1704067201,0.51,80,,\n"
    )
