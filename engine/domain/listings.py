"""What a venue lists: every market it has, as a trader looks for one. Never traded on.

Prices and amounts come from the venue's listing, which is a cache: they are floats, and nothing
decides by them. What is traded is confirmed with the venue first.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple, Protocol

import msgspec

from engine.domain.instruments import InstrumentId, Kind

PAIRS = "Spot"
"""Category of pairs: their prices are amounts of the quote currency, and they have no outcome."""

PERPETUALS = "Perpetual"
"""Category of perpetuals: priced as pairs are, and held long or short."""

KINDS = {PAIRS: Kind.SPOT, PERPETUALS: Kind.PERPETUAL}
"""What a market of these categories is; one of any other is a binary."""


class ListingState(StrEnum):
    """Where a market stands in its life, in the venue's own words; never inferred from a price."""

    ACTIVE = "active"
    """The venue takes orders."""
    ENDED = "ended"
    """It takes none, and no outcome is proposed."""
    PROPOSED = "proposed"
    DISPUTED = "disputed"
    RESOLVED = "resolved"
    UNLISTED = "unlisted"
    """The venue stopped listing it among the open ones, and has not been asked why."""


class MarketListing(msgspec.Struct, frozen=True, kw_only=True):
    """One market as its venue lists it. Prices in the currency per share, sizes in shares."""

    id: InstrumentId
    venue: str
    slug: str
    question: str
    event: str
    """Title of what it belongs to; the same for all outcomes of one question."""
    series: str
    category: str
    state: ListingState
    bid: float | None
    ask: float | None
    last: float | None
    volume_24h: float
    """Traded in 24 h, in the currency."""
    volume: float
    liquidity: float
    """Resting in its book, in the currency, as the venue counts it."""
    tick: float
    size_min: float
    taker_fee_ppm: int
    rewards_daily: float
    """Paid to resting orders a day, in the currency; 0 = nothing."""
    rewards_size_min: float
    rewards_spread_max: float
    """How far from the mid an order still earns, in cents; 0 = the market pays nothing."""
    neg_risk: bool
    ends_ns: int | None
    description: str
    """The rules by which it resolves."""
    source: str
    """Where the outcome comes from, as the venue names it."""


class ListingPage(NamedTuple):
    """One page of a venue's listing."""

    markets: tuple[MarketListing, ...]
    skipped: Mapping[str, int]
    """Rows that are no market that can be traded here: how many, by why."""
    cursor: str
    """Where the next page begins; empty = this was the last."""


class VenueListing(Protocol):
    """A venue's listing, page by page. Every question is answered whole or raises."""

    async def page(self, cursor: str) -> ListingPage:
        """Return the page at a cursor; empty = the first.

        Raises BadInput for a cursor the venue does not know (any more), NotSent, OutcomeUnknown,
        Throttled.
        """
        ...

    async def close(self) -> None: ...
