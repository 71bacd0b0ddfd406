"""The demo exchange: accounts that trade play money at it, and its market."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from engine.domain.events import BookReplaced, Event, InstrumentClosed, InstrumentListed
from engine.domain.instruments import AccountId, Instrument, InstrumentId, Mode
from engine.domain.money import MICRO
from engine.domain.settings import AccountSettings
from engine.runtime.account_runner import AccountRunner
from engine.runtime.credentials import Credential
from engine.runtime.recording import MarketDataListener
from engine.runtime.services import Services, Stream
from engine.runtime.venue_plugin import (
    AccountLink,
    AccountSpec,
    Address,
    MarketData,
    VenuePlugin,
    VenueSetup,
)
from engine.venues.demo import wire
from engine.venues.demo.client import DemoListing, DemoMarket, DemoVenue, first_frame, markets_in
from engine.venues.demo.streams import FEED, MarketStream, UserStream

DEMO = "demo"
EXCHANGE = "exchange"


class DemoLink(AccountLink):
    """An account at the exchange."""

    retry_s = (0.25, 0.25)
    door: DemoVenue

    def __init__(self, setup: VenueSetup, services: Services, settings: AccountSettings) -> None:
        super().__init__(services, settings)
        self.door = DemoVenue(setup.urls[EXCHANGE], self.account)

    async def connect(self, credential: Credential | None) -> None:
        """Open the account with its cash; one that is open already stays as it is."""
        del credential
        await self.door.open(round(self.settings.starting_cash * MICRO))

    async def run(self) -> None:
        user = UserStream(self.services, self.runner, self.door)
        await asyncio.gather(user.run(), user.heartbeat())


class DemoMarketData(MarketData):
    """The market of the exchange: one stream tells everything there is."""

    shared = False

    def __init__(self, setup: VenueSetup) -> None:
        self._url = setup.urls[EXCHANGE]
        self._runners: list[AccountRunner] = []
        self._journaled = False
        """True once a stream puts the market into the journal and among the ticks."""

    def begin(self, services: Services, runners: list[AccountRunner]) -> list[Stream]:
        """Receive the market once for all accounts of a start."""
        return [self._stream(services, list(runners))]

    def join(self, services: Services, runner: AccountRunner) -> list[Stream]:
        """Ask for it again: the account needs it as it stands, the others must not get it twice."""
        return [self._stream(services, [runner])]

    def _stream(self, services: Services, runners: list[AccountRunner]) -> Stream:
        self._runners += runners
        market = MarketStream(services, lambda: runners, journaled=not self._journaled)
        self._journaled = True
        return lambda: market.run(DemoMarket(self._url))

    def source(self, services: Services, wanted: Sequence[str]) -> DemoSource:
        """Return a stream of the exchange for one recording."""
        del wanted
        return DemoSource(services, DemoMarket(self._url))

    # -- the catalog on request --------------------------------------------------------------------

    async def sync(self, services: Services) -> str:
        """Compare the exchange's listing with what is known. Raises NotSent."""
        before = self.known()
        return self.reconcile(services, await first_frame(self._url), before)

    def known(self) -> dict[InstrumentId, Instrument | None]:
        """Return what is known of the exchange's markets; None = closed."""
        return {
            key: None if view.closed else view.instrument
            for runner in self._runners
            for key, view in runner.core.cache.views.items()
            if key.startswith(f"{DEMO}:")
        }

    def reconcile(
        self,
        services: Services,
        frame: wire.MarketFrame,
        before: dict[InstrumentId, Instrument | None],
    ) -> str:
        """Take what differs from a whole listing; give the counts in a sentence.

        `before` is what was known when the listing was asked for: what the stream sent meanwhile
        is newer than the listing. Books of what is known are the stream's alone for that reason.
        """
        now_ns, known = services.clock.now_ns(), self.known()
        listed, books = markets_in(frame)
        quiet = {
            key: one for key, one in known.items() if one is not None and one == before.get(key)
        }
        new = [one for key, one in listed.items() if key not in known]
        changed = [one for key, one in listed.items() if key in quiet and quiet[key] != one]
        gone = [key for key in quiet if key not in listed]
        events: list[Event] = []
        for one in new + changed:
            events.append(InstrumentListed(instrument=one))
            if one.id not in known and one.id in books:
                events.append(books[one.id])
        events += [InstrumentClosed(instrument=key) for key in gone]
        for event in events:
            if not isinstance(event, BookReplaced):
                services.journal(event, now_ns)
        for runner in self._runners:
            runner.market(events, now_ns)
        return (
            f"{len(listed)} markets are open at {DEMO}: {len(new)} new, {len(changed)} changed, "
            f"{len(gone)} gone"
        )


class DemoSource:
    """A stream of the exchange for one listener: its frames are not the engine's."""

    feed = FEED

    def __init__(self, services: Services, market: DemoMarket) -> None:
        self._services = services
        self._market = market

    async def stream_to(self, listener: MarketDataListener) -> None:
        """Let a recording, or another listener, receive the exchange until cancelled."""
        stream = MarketStream(self._services, lambda: [listener], journaled=False)
        await stream.run(self._market)


async def _door(setup: VenueSetup, account: AccountId, credential: Credential | None) -> DemoVenue:
    del credential
    return DemoVenue(setup.urls[EXCHANGE], account)


PLUGIN = VenuePlugin(
    id=DEMO,
    title="Demo exchange",
    about="the exchange that runs beside the engine",
    currency="pUSD",
    modes={Mode.DEMO: AccountSpec(link=DemoLink, door=_door), Mode.PAPER: AccountSpec()},
    market=DemoMarketData,
    listing=lambda setup: DemoListing(setup.urls[EXCHANGE]),
    urls={EXCHANGE: Address("http://127.0.0.1:8611", "The demo exchange; a desk sets it")},
)
