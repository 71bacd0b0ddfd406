"""What the paper venue writes down: fills, what still has to settle, and totals for an audit."""

from __future__ import annotations

import msgspec

from engine.domain.events import OrderFilled
from engine.domain.fills import FillId
from engine.domain.instruments import InstrumentId, Leg


class FillRecord(msgspec.Struct, frozen=True):
    """One fill and when it matched at the venue."""

    at_ns: int
    event: OrderFilled


class PaperUnsettled(msgspec.Struct, frozen=True):
    """What a matched fill still has to bring, and when."""

    fill: FillId
    instrument: InstrumentId
    leg: Leg
    tokens: int
    cash_micro: int
    due_ns: int


class PaperTotals:
    """Totals since the start of the process, for judges that watch from outside. Sizes summed."""

    __slots__ = (
        "maker_size",
        "orphans",
        "prints",
        "prints_ambiguous",
        "prints_unknown",
        "taker_size",
        "unknown_size",
    )

    def __init__(self) -> None:
        self.maker_size = 0
        """Filled against prints."""
        self.taker_size = 0
        """Taken from displayed levels."""
        self.unknown_size = 0
        """Part of `maker_size` that rests on prints of unknown size."""
        self.prints = 0
        self.prints_ambiguous = 0
        """Prints of which nobody can tell the side they hit."""
        self.prints_unknown = 0
        """Prints of unknown size."""
        self.orphans = 0
        """Events of instruments nobody listed."""
