"""Trades of a toy exchange: `when,what,how_much` in seconds, as its ticker prints them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from engine.lab.formats.door import Format
from storage.datasets import DataKind


class ToyTicker(Format):
    """Columns when, what and how_much; the ticker does not say who took."""

    title = "Toy ticker"
    source = "the toy's own manual"
    kind = DataKind.TRADES
    names: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "time": ("when",),
        "price": ("what",),
        "size": ("how_much",),
    }
    example = "ticker.csv\nwhen,what,how_much\n1704067200.25,101.5,2\n1704067201.75,101.25,0.5\n"
