"""What a person may set about a paper account: latencies, settlement, fill model, cash."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from engine.domain.money import MICRO
from engine.domain.settings import Settings

NS_PER_MS = 1_000_000

LATENCY_MS_MAX = 60_000
"""Longest latency or delay that may be set: one minute."""


class FillModel(StrEnum):
    """What is assumed where the recording cannot tell (queue position, sizes, sides).

    The three differ in nothing but the unknown; each fills at least as much as the one before.
    """

    PESSIMISTIC = "pessimistic"
    """Cancels come from behind us first; trades of unknown size or side do not count."""
    REALISTIC = "realistic"
    """Cancels come from ahead and behind in proportion; unknown trades do not count."""
    OPTIMISTIC = "optimistic"
    """Cancels come from ahead of us first; a trade of unknown size fills us wholly."""


Milliseconds = Annotated[int, Field(ge=0, le=LATENCY_MS_MAX)]


class PaperSettings(Settings):
    """One paper account. Times in milliseconds, cash in units of its currency."""

    order_latency_ms: Milliseconds = 150
    """From our decision until an order is live at the venue."""
    cancel_latency_ms: Milliseconds = 150
    """From our decision until a cancel or a question is answered by the venue."""
    feed_latency_ms: Milliseconds = 0
    """From something happening at the venue until we hear of it."""
    taker_delay_ms: Milliseconds = 0
    """Held back on top of `Instrument.taker_delay_ns`, which is 250 ms where the venue delays."""
    settle_delay_ms: Milliseconds = 2_000
    """From MATCHED to CONFIRMED, binaries only; 0 = at once. Linear fills settle at once."""
    gtd_early_ms: Milliseconds = 60_000
    """How long before its expiry the venue removes a GTD order, binaries only (Polymarket: 60 s).

    An order whose removal would already be past is refused with `invalid expiration`.
    """
    model: FillModel = FillModel.REALISTIC
    starting_cash: dict[str, Annotated[float, Field(ge=0, le=1e9)]] = Field(
        default_factory=lambda: {"USD": 1000.0}
    )
    """Cash at the first start, units per currency."""

    def starting_micro(self) -> dict[str, int]:
        """Return the starting cash in micro-units, rounded to the nearest one."""
        return {currency: round(units * MICRO) for currency, units in self.starting_cash.items()}
