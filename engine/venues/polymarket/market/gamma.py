"""Gamma's listing of every market, for people who look for one.

What Gamma says is up to five minutes old (trading API, §3.5): nothing is quoted by it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from engine.clock import WallClock
from engine.domain.listings import ListingPage, ListingState, MarketListing
from engine.feeds.counts import BadFrame, FeedCounts
from engine.venues.polymarket.market.listing import (
    Listing,
    from_gamma,
    number,
    rewards_daily,
    time_ns,
)
from engine.venues.polymarket.market.rest import PublicRest

DESCRIPTION_MAX = 8_000
"""Characters kept of a market's rules."""

_SETTLING = {
    "requested": ListingState.ENDED,
    "proposed": ListingState.PROPOSED,
    "disputed": ListingState.DISPUTED,
    "resolved": ListingState.RESOLVED,
    "settled": ListingState.RESOLVED,
}
"""By `umaResolutionStatus` (trading API, §3.5)."""


class GammaListing:
    """Polymarket's listing: the open markets, by the venue's own order."""

    def __init__(self, clob_url: str, gamma_url: str) -> None:
        self._rest = PublicRest(clob_url=clob_url, gamma_url=gamma_url, counts=FeedCounts())
        self._clock = WallClock()

    async def page(self, cursor: str) -> ListingPage:
        """Return the page at a cursor. See `VenueListing`."""
        rows, following = await self._rest.rows(cursor, {})
        now_ns, skipped = self._clock.now_ns(), Counter[str]()
        found: dict[str, MarketListing] = {}
        for row in rows:
            try:
                made = listed(row, now_ns)
            except BadFrame as error:
                skipped[error.kind] += 1
            else:
                found[made.id] = made
        return ListingPage(tuple(found.values()), skipped, following)

    async def close(self) -> None:
        """Close the connections."""
        await self._rest.close()


def listed(row: object, now_ns: int) -> MarketListing:
    """Return a row of Gamma's listing. Raises BadFrame for what is no market of two tokens."""
    if not isinstance(row, Mapping):
        raise BadFrame("not a market")
    known = from_gamma(row, now_ns)
    events = row.get("events")
    event = events[0] if isinstance(events, list) and events else {}
    event = event if isinstance(event, Mapping) else {}
    size_min, spread_max = number(row, "rewardsMinSize"), number(row, "rewardsMaxSpread")
    return MarketListing(
        id=known.instrument.id,
        venue="polymarket",
        slug=known.slug,
        question=known.title,
        event=_text(event, "title"),
        series=known.instrument.series or _text(event, "seriesSlug"),
        category=_text(row, "category") or _text(event, "category"),
        state=_state(row, known, now_ns),
        bid=_price(row, "bestBid"),
        ask=_price(row, "bestAsk"),
        last=_price(row, "lastTradePrice"),
        volume_24h=number(row, "volume24hr"),
        volume=number(row, "volumeNum"),
        liquidity=number(row, "liquidityNum"),
        tick=float(known.tick),
        size_min=float(known.min_order_size),
        taker_fee_ppm=known.instrument.fees.taker_rate_ppm,
        rewards_daily=rewards_daily(row, now_ns),
        rewards_size_min=size_min,
        rewards_spread_max=spread_max,
        neg_risk=known.neg_risk,
        ends_ns=time_ns(row.get("endDate")),
        description=_text(row, "description")[:DESCRIPTION_MAX],
        source=known.resolution_source,
    )


def _state(row: Mapping[str, Any], known: Listing, now_ns: int) -> ListingState:
    """Return where the market stands; a price says nothing about it."""
    for said in (row.get("umaResolutionStatus"), row.get("resolutionStatus")):
        if said in _SETTLING:
            return _SETTLING[str(said)]
    if not known.accepting:
        starts_ns = time_ns(row.get("startDate"))
        early = starts_ns is not None and starts_ns > now_ns and not row.get("closed")
        return ListingState.ACTIVE if early else ListingState.ENDED
    return ListingState.ACTIVE


def _price(row: Mapping[str, Any], name: str) -> float | None:
    """Return a price of a share; None where there is none, as on an empty side."""
    price = number(row, name)
    return price if 0 < price < 1 else None


def _text(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    return value if isinstance(value, str) else ""
