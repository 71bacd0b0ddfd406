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


CANCELS_AHEAD_PERCENT = 54
"""What `PaperSettings.cancels_ahead_percent` is where it is not set: 53.8, 95 % interval 52.1 to
55.7, of 17,966 cancels in the demo exchange, by `python -m studies.compare --days 32
--hours 0.25 --seed 1`.
"""


class FillModel(StrEnum):
    """What is assumed where the recording cannot tell (queue position, sizes, sides).

    The three differ in nothing but the unknown; each fills at least as much as the one before.
    """

    PESSIMISTIC = "pessimistic"
    """Cancels come from behind us first; trades of unknown size or side do not count."""
    REALISTIC = "realistic"
    """Cancels come from ahead and behind as a share says; unknown trades do not count."""
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
    """From something happening at the venue until we receive it."""
    taker_delay_ms: Milliseconds = 0
    """Held back on top of `Instrument.taker_delay_ns`, which is 250 ms where the venue delays."""
    settle_delay_ms: Milliseconds = 2_000
    """From MATCHED to CONFIRMED, binaries only; 0 = at once. Linear fills settle at once."""
    gtd_early_ms: Milliseconds = 60_000
    """How long before its expiry the venue removes a GTD order, binaries only (Polymarket: 60 s).

    An order whose removal would already be past is refused with `invalid expiration`.
    """
    model: FillModel = FillModel.REALISTIC
    cancels_ahead_percent: Annotated[int, Field(ge=0, le=100)] = CANCELS_AHEAD_PERCENT
    """Of the realistic model alone: how readily what stands ahead of us is cancelled; what stands
    behind, 100 less this. 50 = both alike, in proportion to their sizes.
    """
    starting_cash: dict[str, Annotated[float, Field(ge=0, le=1e9)]] = Field(
        default_factory=lambda: {"USD": 1000.0}
    )
    """Cash at the first start, units per currency."""

    @property
    def ahead_percent(self) -> int:
        """Return the share `queue` counts with: none and all of it are the two other models'."""
        if self.model is FillModel.REALISTIC:
            return self.cancels_ahead_percent
        return 0 if self.model is FillModel.PESSIMISTIC else 100

    def starting_micro(self) -> dict[str, int]:
        """Return the starting cash in micro-units, rounded to the nearest one."""
        return {currency: round(units * MICRO) for currency, units in self.starting_cash.items()}
