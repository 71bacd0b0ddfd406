"""Polymarket's market on the live loop: what its accounts' bots want, and nothing else.

Nothing connects before an account of the venue wants something. Every frame goes on the tape, what
lasts into the journal; each account hears the instruments and prices its own bots named, and what
it holds. Public data only: no request here is signed, and the one key is a data-only one (law R).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence

import msgspec

from engine.domain.effects import RaiseAlert, Severity
from engine.domain.events import (
    BookChanged,
    Event,
    InstrumentClosed,
    InstrumentListed,
    InstrumentResolved,
    ReferencePriced,
    StrikeProven,
    TradePrinted,
)
from engine.domain.instruments import Instrument, InstrumentId
from engine.domain.telemetry import FeedStatus
from engine.errors import PitbossError
from engine.feeds.counts import FeedCounts
from engine.feeds.references.lines import ReferenceLines
from engine.feeds.references.strikes import Strikes, strike_key
from engine.runtime.account_runner import AccountRunner
from engine.runtime.gaps import Gaps
from engine.runtime.recording import LiveRecording
from engine.runtime.services import Services, Stream
from engine.runtime.venue_plugin import MarketData, VenueSetup
from engine.venues.polymarket.hosts import public_rest, reference_hosts
from engine.venues.polymarket.market.channel import MarketChannel
from engine.venues.polymarket.market.core import PREFIX
from engine.venues.polymarket.market.discovery import Discovery
from engine.venues.polymarket.market.listing import Listing
from engine.venues.polymarket.market.routes import MarketDataListener, Routes, Subscriber, wants_of
from engine.venues.polymarket.market.shard import traffic

VENUE = "polymarket"
NAMED = re.compile(re.escape(PREFIX) + "0x[0-9a-f]{64}")
PAGES_MAX = 5
"""Pages of 100 markets the catalog is brought in step with on request."""
MISSING_TOLD = 20
"""Of what is missing so many are named; the rest is counted."""

LOOK_S = 0.5
"""How often it is looked at what the bots want."""

ALERT_NS = 5 * 1_000_000_000
"""How long something wanted may be missing before a person is told."""

FLEETING = frozenset({BookChanged, TradePrinted})
"""What comes thousands of times a second: it lasts nowhere, and neither begins nor ends a gap."""

LASTING = frozenset({InstrumentListed, InstrumentClosed, InstrumentResolved, StrikeProven})


class PolymarketMarketData(MarketData):
    """The venue's public market, for every account that trades over it and every recording."""

    def __init__(self, setup: VenueSetup) -> None:
        self._setup = setup
        self._runners: list[AccountRunner] = []
        self._begun = False
        self.ears: list[Subscriber] = []
        """Recordings that hear it too."""

    def begin(self, services: Services, runners: list[AccountRunner]) -> list[Stream]:
        """Hear the market for the accounts of a start."""
        self._runners += runners
        return self._once(services)

    def join(self, services: Services, runner: AccountRunner) -> list[Stream]:
        """Let an account hear the market; it is told how everything it wants stands."""
        self._runners.append(runner)
        return self._once(services)

    def _once(self, services: Services) -> list[Stream]:
        if self._begun:
            return []
        self._begun = True
        return [lambda: Hub(services, self._setup, self._runners, self.ears).run()]

    def may_be(self, name: str) -> bool:
        """Say whether a name is a market's condition: whether there is one, its listing says."""
        return NAMED.fullmatch(name) is not None

    def source(self, services: Services, wanted: Sequence[str]) -> Recorded:
        """Return the market as the accounts hear it, and every reference price that is heard."""
        del services
        named = tuple(InstrumentId(one) for one in wanted if one.startswith(PREFIX))
        series = tuple(one for one in wanted if not one.startswith(PREFIX))
        return Recorded(self.ears, named, series)

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


class Recorded:
    """One recording among those who hear the venue."""

    feed = VENUE

    def __init__(
        self, ears: list[Subscriber], named: tuple[InstrumentId, ...], series: tuple[str, ...]
    ) -> None:
        self._ears = ears
        self._wants = named, series

    async def tell(self, recording: LiveRecording) -> None:
        """Let a recording hear the venue until cancelled."""
        ear = Subscriber(*self._wants, recording)
        self._ears.append(ear)
        try:
            await asyncio.Event().wait()
        finally:
            self._ears.remove(ear)


class Hub:
    """Everything heard of the venue. Made and used on the loop's thread."""

    def __init__(
        self,
        services: Services,
        setup: VenueSetup,
        runners: list[AccountRunner],
        ears: list[Subscriber],
    ) -> None:
        self._services = services
        self._runners = runners
        self._ears = ears
        now_ns = services.clock.now_ns
        self.counts = FeedCounts()
        self._rest = public_rest(setup, self.counts)
        self._routes = Routes()
        self._strikes = Strikes()
        self._proven: dict[InstrumentId, StrikeProven] = {}
        self._kept: dict[tuple[type[Event], InstrumentId], Event] = {}
        self._gaps = Gaps(services, VENUE)
        self._missing: dict[str, int] = {}
        """What is wanted and missing → since when; 0 = a person was told."""
        self.discovery = Discovery(self._rest, now_ns)
        self.channel = MarketChannel(
            f"{setup.urls['ws']}/ws/market",
            rest=self._rest,
            counts=self.counts,
            now_ns=now_ns,
            tell=self._tell,
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
        self._services.feeds[VENUE] = self.figures
        try:
            await asyncio.gather(self.channel.run(), self.lines.run(), self._look())
        finally:
            await self._rest.close()

    # -- what is wanted ----------------------------------------------------------------------------

    async def _look(self) -> None:
        while True:
            try:
                await self._follow()
            except PitbossError as error:
                self._services.log.warning("polymarket.look", reason=str(error))
            await asyncio.sleep(LOOK_S)

    async def _follow(self) -> None:
        """Bring what is heard in step with what the bots want."""
        services = self._services
        for runner in self._runners:
            named, series, prices = wants_of(services, runner)
            self._routes.want(runner, named, series, prices)
        for ear in self._ears:
            self._routes.want(ear, ear.named, ear.series, ())
        self._routes.keep((*self._runners, *self._ears))
        self.lines.want((*self._routes.prices, *self._oracles()))
        found = await self.discovery.look(self._routes.named, self._routes.series)
        for listing in found.listings:
            self._found(listing)
        now_ns = services.clock.now_ns()
        for outcome in found.outcomes:
            self._tell([outcome], now_ns)
        self._catch_up(now_ns)
        self._let_go()
        self._warn(now_ns)

    def _oracles(self) -> dict[str, None]:
        """Return whose prices prove strikes; nobody quotes by a reference, nothing to prove."""
        if not self._routes.prices:
            return {}
        known = self.discovery.known
        listings = [known[name] for name in self.channel.watched if name in known]
        keys = (strike_key(one.instrument, one.resolution_source) for one in listings)
        return dict.fromkeys(key for key in keys if key)

    def _found(self, listing: Listing) -> None:
        """Follow a market, or list it only where it is over."""
        services, instrument, now_ns = (
            self._services,
            listing.instrument,
            self._services.clock.now_ns(),
        )
        self._routes.place(instrument)
        services.name(instrument.id, listing.title, listing.slug)
        if listing.payout_yes_micro is not None:
            self._tell([InstrumentListed(instrument=instrument)], now_ns)
            return
        self.channel.watch(listing)
        self._tell(self._strikes.watch(instrument, listing.resolution_source), now_ns)

    def _catch_up(self, now_ns: int) -> None:
        """Tell whoever wants a market only now how it stands."""
        for runner, name in self._routes.behind():
            market = self.channel.core.watched(name)
            told = market.told() if market is not None else []
            if name in self._proven:
                told.append(self._proven[name])
            if told:
                runner.market(told, now_ns)

    def _let_go(self) -> None:
        for name in self.channel.watched:
            if not self._routes.wanted(name):
                self.channel.unwatch(name)
                self.discovery.forget(name)
                self._gaps.forget(name)

    # -- what is heard -----------------------------------------------------------------------------

    def _tell(self, events: list[Event], now_ns: int) -> None:
        """Keep what lasts, and give each account what it wants."""
        self._services.meter.events(len(events))
        hearers, theirs = self._routes.hearers, dict[MarketDataListener, list[Event]]()
        for event in events:
            if type(event) in FLEETING:
                about = event.instrument  # type: ignore[attr-defined]
            elif type(event) in LASTING and not self._last(event, now_ns):
                continue
            else:
                self._gaps.hear(event, now_ns)
                about = _name(event)
            for hearer in hearers(about):
                theirs.setdefault(hearer, []).append(event)
        for hearer, heard in theirs.items():
            hearer.market(heard, now_ns)

    def _last(self, event: Event, now_ns: int) -> bool:
        """Journal what lasts, once; False = nobody here wants to hear of it."""
        name = _name(event)
        if isinstance(event, InstrumentListed) and not self._routes.wanted(name):
            return False  # the channel announces every new market of the venue
        if isinstance(event, StrikeProven):
            self._proven[name] = event
            self._strike(event)
        if isinstance(event, InstrumentResolved):
            self.discovery.ended(name)
            self._proven.pop(name, None)
        place = (type(event), name)
        if self._kept.get(place) != event:
            if len(self._kept) > 20_000:
                self._kept.clear()
            self._kept[place] = event
            self._services.keep(event, now_ns)
        return True

    def _strike(self, event: StrikeProven) -> None:
        """Let later listings of the market carry its strike."""
        market = self.channel.core.watched(event.instrument)
        if market is not None:
            market.instrument = msgspec.structs.replace(
                market.instrument, strike_e8=event.strike_e8
            )

    def _priced(self, events: list[Event], now_ns: int) -> None:
        self._services.meter.events(len(events))
        for event in events:
            if not isinstance(event, ReferencePriced):
                continue
            for runner in (*self._routes.priced(event.key), *self._ears):
                runner.market((event,), now_ns)
            strikes = self._strikes.hear(event)
            if strikes:
                self._tell(strikes, now_ns)

    # -- what a person must know -------------------------------------------------------------------

    def _warn(self, now_ns: int) -> None:
        """Tell once what stays missing: markets nobody lists, prices nobody tells, a dead feed."""
        missing = {
            f"{name} is wanted and not found: {why}"
            for name, why in self.discovery.problems.items()
            if name in self._routes.named or name in self._routes.series
        }
        for key, why in self.lines.missing(now_ns).items():
            missing.add(
                f"no price of {key} is heard ({why}); bots that need it make no quote by it"
            )
        trouble = self.channel.trouble()
        if trouble:
            missing.add(f"Polymarket's market channel is not heard: {trouble}")
        self._missing = {text: self._missing.get(text, now_ns) for text in sorted(missing)}
        for text, since_ns in self._missing.items():
            if since_ns and now_ns - since_ns >= ALERT_NS:
                self._missing[text] = 0
                alert = RaiseAlert(severity=Severity.WARNING, kind="feed", text=text)
                self._services.alert(alert, now_ns)

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
            gaps=self._gaps.count,
            prices_age_ms=self.lines.ages_ms(now_ns),
            missing=tuple(self._missing)[:MISSING_TOLD],
            missing_more=max(0, len(self._missing) - MISSING_TOLD),
        )


def _name(event: Event) -> InstrumentId:
    """Return which instrument an event of the channel is about."""
    about: InstrumentId | Instrument = event.instrument  # type: ignore[attr-defined]
    return about.id if isinstance(about, Instrument) else about
