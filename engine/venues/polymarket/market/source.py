"""Polymarket's public market: its channel, its listing and the prices its markets settle by.

Public data only: no request here is signed, and the one key is a data-only one (law R).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable

import msgspec

from engine.domain.events import (
    Event,
    InstrumentListed,
    InstrumentResolved,
    ReferencePriced,
    StrikeProven,
)
from engine.domain.instruments import InstrumentId
from engine.domain.telemetry import FeedStatus
from engine.feeds.counts import FeedCounts
from engine.feeds.references.lines import ReferenceLines
from engine.feeds.references.strikes import Strikes, strike_key
from engine.runtime.market_hub import HubMarket, MarketHub, Routes
from engine.runtime.services import Services
from engine.runtime.venue_plugin import VenueSetup
from engine.venues.polymarket.hosts import public_rest, reference_hosts
from engine.venues.polymarket.market.channel import MarketChannel
from engine.venues.polymarket.market.core import PREFIX
from engine.venues.polymarket.market.discovery import Discovery
from engine.venues.polymarket.market.listing import Listing
from engine.venues.polymarket.market.shard import traffic

NAMED = re.compile(re.escape(PREFIX) + "0x[0-9a-f]{64}")
PAGES_MAX = 5
"""Pages of 100 markets the catalog is brought in step with on request."""


class PolymarketMarketData(HubMarket):
    """The venue's public market, for every account that trades over it and every recording."""

    venue = PREFIX.rstrip(":")

    def __init__(self, setup: VenueSetup) -> None:
        super().__init__()
        self._setup = setup

    def made(self, services: Services, hub: MarketHub) -> PolymarketSource:
        """Return what hears it."""
        return PolymarketSource(self._setup, services, hub)

    def may_be(self, name: str) -> bool:
        """Say whether a name is a market's condition: whether there is one, its listing says."""
        return NAMED.fullmatch(name) is not None

    async def sync(self, services: Services) -> str:
        """Write the most traded open markets into the catalog, for people to choose from.

        The venue lists tens of thousands; what a bot names need not be among these.
        """
        counts = FeedCounts()
        rest = public_rest(self._setup, counts)
        try:
            listings = await rest.markets(
                services.clock.now_ns(), {"order": "volume24hr", "ascending": "false"},
                pages_max=PAGES_MAX,
            )  # fmt: skip
        finally:
            await rest.close()
        open_now = [one for one in listings if one.accepting]
        new = await services.catalogue([(one.instrument, one.title, one.slug) for one in open_now])
        unread = sum(counts.anomalies.values())
        left = f"; {unread} could not be read" if unread else ""
        return f"{len(open_now)} of Polymarket's most traded markets are open: {new} new{left}"


class PolymarketSource:
    """Everything heard of the venue. Made and used on the loop's thread."""

    def __init__(self, setup: VenueSetup, services: Services, hub: MarketHub) -> None:
        self._services = services
        self._hub = hub
        now_ns = services.clock.now_ns
        self.counts = FeedCounts()
        self._rest = public_rest(setup, self.counts)
        self._strikes = Strikes()
        self.discovery = Discovery(self._rest, now_ns)
        self.channel = MarketChannel(
            f"{setup.urls['ws']}/ws/market",
            rest=self._rest,
            counts=self.counts,
            now_ns=now_ns,
            tell=hub.tell,
            tape=services.tape,
        )
        self.lines = ReferenceLines(
            reference_hosts(setup),
            counts=self.counts,
            now_ns=now_ns,
            tell=self._priced,
            tape=services.tape,
        )

    async def run(self) -> None:
        """Hear until cancelled."""
        self._services.watchers.append(self.channel.advance)
        try:
            await asyncio.gather(self.channel.run(), self.lines.run())
        finally:
            await self._rest.close()

    # -- what is wanted ----------------------------------------------------------------------------

    async def follow(self, wanted: Routes) -> None:
        """Subscribe to what is wanted, and to the prices by which its strikes are proven."""
        self.lines.want((*wanted.prices, *self._oracles(wanted)))
        found = await self.discovery.look(wanted.named, wanted.series)
        for listing in found.listings:
            self._found(listing)
        now_ns = self._services.clock.now_ns()
        for outcome in found.outcomes:
            self._hub.tell([outcome], now_ns)

    def _oracles(self, wanted: Routes) -> dict[str, None]:
        """Return whose prices prove strikes; nobody quotes by a reference, nothing to prove."""
        if not wanted.prices:
            return {}
        known = self.discovery.known
        listings = [known[name] for name in self.channel.watched if name in known]
        keys = (strike_key(one.instrument, one.resolution_source) for one in listings)
        return dict.fromkeys(key for key in keys if key)

    def _found(self, listing: Listing) -> None:
        """Follow a market, or list it only where it is over."""
        instrument, now_ns = listing.instrument, self._services.clock.now_ns()
        self._hub.place(instrument, listing.title, listing.slug)
        if listing.payout_yes_micro is not None:
            self._hub.tell([InstrumentListed(instrument=instrument)], now_ns)
            return
        self.channel.watch(listing)
        self._hub.tell(self._strikes.watch(instrument, listing.resolution_source), now_ns)

    def watched(self) -> Iterable[InstrumentId]:
        """Return the markets of the channel."""
        return self.channel.watched

    def forget(self, name: InstrumentId) -> None:
        """Unsubscribe."""
        self.channel.unwatch(name)
        self.discovery.forget(name)

    def stands(self, name: InstrumentId) -> list[Event]:
        """Return a market as it stands."""
        market = self.channel.core.watched(name)
        return market.told() if market is not None else []

    # -- what is heard -----------------------------------------------------------------------------

    def lasts(self, event: Event) -> None:
        """Let later listings of a market carry its strike; ask no more about one that is over."""
        if isinstance(event, StrikeProven):
            market = self.channel.core.watched(event.instrument)
            if market is not None:
                market.instrument = msgspec.structs.replace(
                    market.instrument, strike_e8=event.strike_e8
                )
        elif isinstance(event, InstrumentResolved):
            self.discovery.ended(event.instrument)

    def _priced(self, events: list[Event], now_ns: int) -> None:
        for event in events:
            if isinstance(event, ReferencePriced):
                self._hub.priced(event, now_ns)
                if strikes := self._strikes.hear(event):
                    self._hub.tell(strikes, now_ns)

    # -- what a person must know -------------------------------------------------------------------

    def missing(self, now_ns: int, wanted: Routes) -> Iterable[str]:
        """Tell of markets nobody lists, prices nobody tells, a dead feed."""
        for name, why in self.discovery.problems.items():
            if name in wanted.named or name in wanted.series:
                yield f"{name} is wanted and not found: {why}"
        for key, why in self.lines.missing(now_ns).items():
            yield f"no price of {key} is heard ({why}); bots that need it make no quote by it"
        trouble = self.channel.trouble()
        if trouble:
            yield f"Polymarket's market channel is not heard: {trouble}"

    def figures(self, now_ns: int) -> FeedStatus:
        """Return how the feed is, for the heartbeat."""
        heard_ns = self.channel.heard_ns
        return FeedStatus(
            last_word_ms=(now_ns - heard_ns) / 1e6 if heard_ns else None,
            markets=len(self.channel.watched),
            **traffic(self.channel.shards),
            trouble=self.channel.trouble() or self.channel.reason,
            hash_checked=self.counts.hash_checked,
            hash_mismatched=self.counts.hash_mismatched,
            gaps=0,
            prices_age_ms=self.lines.ages_ms(now_ns),
        )
