"""Events of hftbacktest (npz): the trades among them, by the exchange's clock."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from engine.lab.formats.door import Format
from engine.lab.formats.hftbacktest_events import (
    BUY_EVENT,
    COLUMNS,
    EXCH_EVENT,
    KIND_MASK,
    SELL_EVENT,
    TRADE,
)
from engine.lab.formats.tables import Cells, FileHead
from storage.datasets import DataKind


class HftbacktestTrades(Format):
    """A structured array with ev, exch_ts, local_ts, px and qty; BUY = the taker bought."""

    title = "hftbacktest events"
    source = "hftbacktest, types.py: event_dtype and its flags"
    kind = DataKind.TRADES
    leaves_out = "changes of the book are left out"
    names: ClassVar[Mapping[str, tuple[str, ...]]] = COLUMNS
    example = (
        "events.csv\n"
        "ev,exch_ts,local_ts,px,qty,order_id,ival,fval\n"
        "3758096385,1704067200000000000,1704067200000100000,100.5,3,0,0,0.0\n"
        "3758096386,1704067200100000000,1704067200100100000,100.5,0.25,0,0,0.0\n"
        "3489660930,1704067200200000000,1704067200200100000,100.4,0.5,0,0,0.0\n"
    )

    def fits(self, head: FileHead) -> bool:
        """Say whether it has all of these columns and both clocks."""
        return "local_ts" in head.header and len(self.places(head)) == len(self.names)

    def translated(self, cells: Cells, places: Mapping[str, int]) -> Cells | None:
        """Return a trade with its side in words; None for any other event."""
        text = cells[places["side"]]
        flags = int(text) if text.isdecimal() else 0
        if flags & KIND_MASK != TRADE or not flags & EXCH_EVENT:
            return None
        side = "buy" if flags & BUY_EVENT else "sell" if flags & SELL_EVENT else ""
        return [side if at == places["side"] else cell for at, cell in enumerate(cells)]
