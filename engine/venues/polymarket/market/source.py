"""Polymarket's public market: its channel, its listing and the prices its markets settle by.

Public data only: no request here is signed, and the one key is a data-only one (law R).
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable, Iterable, Sequence

import msgspec
from msgspec.structs import replace

from engine.domain.events import (
    Event,
    InstrumentClosed,
    InstrumentListed,
    InstrumentResolved,
    ReferencePriced,
    StrikeProven,
)
from engine.domain.instruments import InstrumentId
from engine.domain.telemetry import FeedStatus
from engine.errors import BadInput, PitbossError
from engine.feeds.counts import FeedCounts
from engine.feeds.references.lines import ReferenceHosts, ReferenceLines
from engine.feeds.references.strikes import Strikes, strike_key
from engine.runtime.market_hub import HubMarket, MarketHub, Routes
from engine.runtime.services import Services
from engine.runtime.venue_plugin import VenueSetup
from engine.venues.polymarket.market.channel import MarketChannel
from engine.venues.polymarket.market.core import PREFIX
from engine.venues.polymarket.market.hourly import hourly_slug
from engine.venues.polymarket.market.listing import Listing, rewards_of
from engine.venues.polymarket.market.metadata import SECOND_NS, WINDOWS_S
from engine.venues.polymarket.market.rest import SLUGS_MAX, PublicRest
from engine.venues.polymarket.market.shard import traffic

# -- Which markets stand behind what is wanted: named ones, and the windows of rolling series ------
# `look` asks Gamma and the CLOB for whatever is still missing, each at its own pace, and gives what
# was found. A market that Gamma lists before the CLOB knows it is asked again (§3.1, hydration).

AHEAD = 1
"""Windows of a series that are looked for before they begin."""

PAUSE_NS = 2 * SECOND_NS
PAUSE_NS_MAX = 60 * SECOND_NS
"""Between two questions for the same thing: doubled from the first to the second."""

OUTCOME_AFTER_NS = 20 * SECOND_NS
"""How long the channel may take to tell an outcome before Gamma is asked."""

GIVE_UP_NS = 24 * 3_600 * SECOND_NS
"""How long after its end an outcome is asked for without rest."""

RARELY_NS = 300 * SECOND_NS
"""How often it is asked whether any other market is decided: one may end before its announced end,
or have none, or be disputed for days, and the channel may be down when it tells so (§6.4)."""


class DiscoveredMarket(msgspec.Struct):
    """What one look brought."""

    listings: list[Listing] = []
    outcomes: list[InstrumentResolved] = []
    rewards: dict[InstrumentId, dict[str, int]] = {}
    """What known markets pay from now on, by the fields of an instrument."""


class Discovery:
    """Finds markets. `known` holds every one found, by its instrument."""

    def __init__(self, rest: PublicRest, now_ns: Callable[[], int]) -> None:
        self._rest = rest
        self._now_ns = now_ns
        self.known: dict[InstrumentId, Listing] = {}
        self.problems: dict[str, str] = {}
        """What is wanted and missing, and why."""
        self._slugs: dict[str, InstrumentId] = {}
        self._next_ns: dict[str, tuple[int, int]] = {}
        """What was asked for in vain → (when again, pause)."""
        self._ended: dict[InstrumentId, None] = {}
        self._rarely_ns: dict[InstrumentId, int] = {}
        """Markets without a known outcome → when each is asked about although it may be open."""
        self._rewards_ns = now_ns() + RARELY_NS
        """When it is asked what known markets pay: band, minimum and rate move."""

    def ended(self, instrument: InstrumentId) -> None:
        """Note that an outcome is published: it is not asked for any more."""
        self._ended[instrument] = None
        self._rarely_ns.pop(instrument, None)

    def closed(self, instrument: InstrumentId) -> None:
        """Note that a market closed, perhaps before its time: its outcome is asked for at once."""
        if instrument in self._rarely_ns:
            self._rarely_ns[instrument] = self._now_ns()

    def forget(self, instrument: InstrumentId) -> None:
        """Drop a market that is not wanted any more."""
        listing = self.known.pop(instrument, None)
        self._ended.pop(instrument, None)
        self._rarely_ns.pop(instrument, None)
        if listing is not None:
            self._slugs.pop(listing.slug, None)

    async def look(self, names: Iterable[InstrumentId], series: Iterable[str]) -> DiscoveredMarket:
        """Ask for what is wanted and missing. What fails is in `problems` and asked for again."""
        found = DiscoveredMarket()
        now_ns = self._now_ns()
        missing = [name for name in names if name not in self.known and self._may(name, now_ns)]
        slugs = [
            slug
            for one in series
            for slug in self._windows(one, now_ns)
            if slug not in self._slugs and self._may(slug, now_ns)
        ]
        for part in _parts(missing):
            ids = [name.removeprefix(PREFIX) for name in part]
            await self._ask(part, found, {"condition_ids": ids})
        for part in _parts(slugs):
            await self._ask(part, found, {"slug": part})
        await self._outcomes(found)
        if self._rewards_ns <= now_ns:
            self._rewards_ns = now_ns + RARELY_NS
            await self._rewards(now_ns, found)
        return found

    def _windows(self, series: str, now_ns: int) -> list[str]:
        """Return the slugs of the running window and of those ahead."""
        length_s = WINDOWS_S.get(series.rpartition("-")[2])
        if length_s is None:
            self.problems[series] = f"{series!r} does not end with {', '.join(WINDOWS_S)}"
            return []
        first = now_ns // SECOND_NS // length_s * length_s
        starts = [first + number * length_s for number in range(AHEAD + 1)]
        return [hourly_slug(series, start) or f"{series}-{start}" for start in starts]

    def _may(self, what: str, now_ns: int) -> bool:
        return self._next_ns.get(what, (0, 0))[0] <= now_ns

    async def _ask(
        self, wanted: list[str], found: DiscoveredMarket, filters: dict[str, list[str]]
    ) -> None:
        """Ask Gamma, then the CLOB, for some markets."""
        now_ns = self._now_ns()
        try:
            listings = await self._rest.markets(now_ns, filters)
            lacking = len(listings) < len(wanted)
            if lacking and "condition_ids" in filters:  # it may be over: then it is listed as such
                listings += await self._rest.markets(now_ns, {**filters, "closed": "true"})
        except PitbossError as error:
            self._retry(wanted, str(error))
            return
        for listing in listings:
            what = listing.slug if "slug" in filters else listing.instrument.id
            if what not in wanted or listing.instrument.id in self.known:
                continue
            try:
                confirmed = await self._confirm(listing)
            except PitbossError as error:
                self._retry([what], str(error))
                continue
            self._take(confirmed, found)
        listed = {listing.slug for listing in listings} | {one.instrument.id for one in listings}
        self._retry([what for what in wanted if what not in listed], "Gamma lists no such market")

    async def _confirm(self, listing: Listing) -> Listing:
        if listing.payout_yes_micro is not None:
            return listing  # it is over; what it paid is all there is to know
        confirmed = await self._rest.confirm(listing)
        if not confirmed.accepting:
            raise BadInput(f"{listing.slug}: the venue takes no orders in it")
        return confirmed

    def _take(self, listing: Listing, found: DiscoveredMarket) -> None:
        name = listing.instrument.id
        self.known[name] = listing
        self._rarely_ns[name] = self._now_ns() + RARELY_NS
        self._slugs[listing.slug] = name
        for what in (name, listing.slug):
            self._next_ns.pop(what, None)
            self.problems.pop(what, None)
        found.listings.append(listing)
        if listing.payout_yes_micro is not None:
            found.outcomes.append(_outcome(listing))
            self.ended(name)

    def _retry(self, wanted: Iterable[str], reason: str) -> None:
        """Ask again later, ever more rarely."""
        now_ns = self._now_ns()
        for what in wanted:
            pause_ns = min(PAUSE_NS_MAX, 2 * self._next_ns.get(what, (0, 0))[1] or PAUSE_NS)
            self._next_ns[what] = (now_ns + pause_ns, pause_ns)
            self.problems[what] = reason
        while len(self._next_ns) > 10_000:
            self._next_ns.pop(next(iter(self._next_ns)))
        while len(self.problems) > 1_000:
            self.problems.pop(next(iter(self.problems)))

    async def _outcomes(self, found: DiscoveredMarket) -> None:
        """Ask Gamma how what is over ended, where the channel did not say."""
        now_ns = self._now_ns()
        over = [
            name
            for name, listing in self.known.items()
            if name not in self._ended
            and (closes_ns := listing.instrument.closes_ns) is not None
            and closes_ns + OUTCOME_AFTER_NS <= now_ns < closes_ns + GIVE_UP_NS
            and self._may(f"outcome {name}", now_ns)
        ]
        for part in _parts(over):
            try:
                left = await self._decided(part, now_ns, found)
            except PitbossError as error:
                self._retry([f"outcome {name}" for name in part], str(error))
                continue
            self._retry([f"outcome {name}" for name in left], "the venue has not said how it ended")
        await self._early(set(over), now_ns, found)

    async def _rewards(self, now_ns: int, found: DiscoveredMarket) -> None:
        """Ask Gamma what the markets that go on pay."""
        for part in _parts([name for name in self.known if name not in self._ended]):
            ids = [name.removeprefix(PREFIX) for name in part]
            with contextlib.suppress(PitbossError):  # asked again with the next round
                for listing in await self._rest.markets(now_ns, {"condition_ids": ids}):
                    name, pays = listing.instrument.id, rewards_of(listing.instrument)
                    known = self.known.get(name)
                    if known is not None and rewards_of(known.instrument) != pays:
                        moved = replace(known.instrument, **pays)
                        self.known[name] = replace(known, instrument=moved)
                        found.rewards[name] = pays

    async def _early(self, asked: set[InstrumentId], now_ns: int, found: DiscoveredMarket) -> None:
        """Ask now and then about everything else that is not known to have ended."""
        rarely = self._rarely_ns
        due = [name for name, at_ns in rarely.items() if at_ns <= now_ns and name not in asked]
        for part in _parts(due):
            rarely |= dict.fromkeys(map(InstrumentId, part), now_ns + RARELY_NS)
            with contextlib.suppress(PitbossError):  # asked again with the next round
                await self._decided(part, now_ns, found)

    async def _decided(self, names: list[str], now_ns: int, found: DiscoveredMarket) -> list[str]:
        """Ask how markets ended; return those of which the venue does not say it."""
        ids = [name.removeprefix(PREFIX) for name in names]
        listings = await self._rest.markets(now_ns, {"condition_ids": ids, "closed": "true"})
        decided = [one for one in listings if one.payout_yes_micro is not None]
        for listing in decided:
            found.outcomes.append(_outcome(listing))
            self.ended(listing.instrument.id)
            self.problems.pop(f"outcome {listing.instrument.id}", None)
        known = {one.instrument.id for one in decided}
        return [name for name in names if name not in known]


def _outcome(listing: Listing) -> InstrumentResolved:
    return InstrumentResolved(
        instrument=listing.instrument.id,
        payout_yes_micro=listing.payout_yes_micro or 0,
        source="polymarket gamma outcomePrices",
    )


def _parts(names: Sequence[str]) -> list[list[str]]:
    return [list(names[start : start + SLUGS_MAX]) for start in range(0, len(names), SLUGS_MAX)]


# -- The source itself: what is wanted, received, found and published ------------------------------

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
        return PolymarketSource(self._setup, services, hub)

    def may_be(self, name: str) -> bool:
        """Say whether a name is a market's condition: whether there is one, its listing says."""
        return NAMED.fullmatch(name) is not None

    async def sync(self, services: Services) -> str:
        """Write the most traded open markets into the catalog, for people to choose from.

        The venue lists tens of thousands; what a bot names need not be among these.
        """
        counts = FeedCounts()
        rest = PublicRest(self._setup.urls, counts)
        try:
            listings = await rest.markets(
                services.clock.now_ns(),
                {"order": "volume24hr", "ascending": "false"},
                pages_max=PAGES_MAX,
            )
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
        self._rest = PublicRest(setup.urls, self.counts)
        self._strikes = Strikes()
        self.discovery = Discovery(self._rest, now_ns)
        self.channel = MarketChannel(
            f"{setup.urls['ws']}/ws/market",
            rest=self._rest,
            counts=self.counts,
            now_ns=now_ns,
            publish=hub.publish,
            tape=services.tape,
        )
        self.lines = ReferenceLines(
            _reference_hosts(setup),
            counts=self.counts,
            now_ns=now_ns,
            publish=self._priced,
            tape=services.tape,
        )

    async def run(self) -> None:
        """Receive until cancelled."""
        self._services.watchers.append(self.channel.advance)
        try:
            await asyncio.gather(self.channel.run(), self.lines.run())
        finally:
            await self._rest.close()

    # -- what is wanted ----------------------------------------------------------------------------

    async def follow(self, wanted: Routes) -> None:
        """Subscribe to what is wanted, and to the prices by which its strikes are proven."""
        self.lines.subscribe((*wanted.prices, *self._oracles(wanted)))
        found = await self.discovery.look(wanted.named, wanted.series)
        for listing in found.listings:
            self._found(listing)
        now_ns = self._services.clock.now_ns()
        for outcome in found.outcomes:
            self._hub.publish([outcome], now_ns)
        for name, pays in found.rewards.items():
            if (market := self.channel.core.watched(name)) is not None:
                market.instrument = replace(market.instrument, **pays)
                self._hub.publish([InstrumentListed(instrument=market.instrument)], now_ns)

    def _oracles(self, wanted: Routes) -> dict[str, None]:
        """Return whose prices prove strikes; where no bot quotes by a reference, none."""
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
            self._hub.publish([InstrumentListed(instrument=instrument)], now_ns)
            return
        self.channel.watch(listing)
        self._hub.publish(self._strikes.watch(instrument, listing.resolution_source), now_ns)

    def watched(self) -> Iterable[InstrumentId]:
        return self.channel.watched

    def forget(self, name: InstrumentId) -> None:
        self.channel.unwatch(name)
        self.discovery.forget(name)

    def snapshot(self, name: InstrumentId) -> list[Event]:
        market = self.channel.core.watched(name)
        return market.snapshot_events() if market is not None else []

    # -- what is received --------------------------------------------------------------------------

    def lasts(self, event: Event) -> None:
        """Let later listings of a market carry its strike; ask no more about one that is over."""
        if isinstance(event, StrikeProven):
            market = self.channel.core.watched(event.instrument)
            if market is not None:
                market.instrument = replace(market.instrument, strike_e8=event.strike_e8)
        elif isinstance(event, InstrumentResolved):
            self.discovery.ended(event.instrument)
        elif isinstance(event, InstrumentClosed):
            self.discovery.closed(event.instrument)

    def _priced(self, events: list[Event], now_ns: int) -> None:
        for event in events:
            if isinstance(event, ReferencePriced):
                self._hub.priced(event, now_ns)
                if strikes := self._strikes.receive(event):
                    self._hub.publish(strikes, now_ns)

    # -- what a person must know -------------------------------------------------------------------

    def missing(self, now_ns: int, wanted: Routes) -> Iterable[str]:
        """Yield what is missing: markets not found, prices not received, a dead feed."""
        for name, why in self.discovery.problems.items():
            if name in wanted.named or name in wanted.series:
                yield f"{name} is wanted and not found: {why}"
        for key, why in self.lines.missing(now_ns).items():
            yield f"no price of {key} is received ({why}); bots that need it make no quote by it"
        trouble = self.channel.trouble()
        if trouble:
            yield f"Polymarket's market channel is not received: {trouble}"

    def figures(self, now_ns: int) -> FeedStatus:
        """Return how the feed is, for the heartbeat."""
        received_ns = self.channel.received_ns
        return FeedStatus(
            last_word_ms=(now_ns - received_ns) / 1e6 if received_ns else None,
            markets=len(self.channel.watched),
            **traffic(self.channel.shards),
            trouble=self.channel.trouble() or self.channel.reason,
            hash_checked=self.counts.hash_checked,
            hash_mismatched=self.counts.hash_mismatched,
            gaps=0,
            prices_age_ms=self.lines.ages_ms(now_ns),
        )


def _reference_hosts(setup: VenueSetup) -> ReferenceHosts:
    """Return where prices come from; a data key is all three of its parts, or none."""
    config = setup.config
    key = (
        config.polymarket_data_key.get_secret_value(),
        config.polymarket_data_secret.get_secret_value(),
        config.polymarket_data_passphrase.get_secret_value(),
    )
    return ReferenceHosts(
        binance=config.binance_ws_url,
        coinbase=config.coinbase_ws_url,
        rtds=setup.urls["rtds"],
        polybolt=setup.urls["polybolt"],
        data_key=key if all(key) else None,
    )
