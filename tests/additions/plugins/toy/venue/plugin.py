"""A venue that a folder adds: one market, an exchange in memory, accounts with and without key."""

from __future__ import annotations

import asyncio
from collections.abc import Container, Sequence

from engine.domain.catalog import CredentialField, Finding, Grade
from engine.domain.effects import CancelScope, caution
from engine.domain.events import (
    BalancesListed,
    BookProven,
    BookReplaced,
    Event,
    FeedRestored,
    FillsListed,
    InstrumentListed,
    OpenOrdersListed,
    OrderAccepted,
    OrderCancelled,
    OrderNotFound,
    OrderReported,
    PositionsListed,
    VenueEvent,
)
from engine.domain.instruments import AccountId, Instrument, InstrumentId, Kind, Mode
from engine.domain.orders import Identity, Order, OrderReport, OrderState
from engine.domain.settings import AccountSettings
from engine.gateway.door import Named, Prepared
from engine.runtime.account_runner import AccountRunner
from engine.runtime.credentials import Credential
from engine.runtime.recording import MarketDataListener
from engine.runtime.services import HEARTBEAT, USER_FEED, Services, Stream
from engine.runtime.venue_plugin import (
    AccountLink,
    AccountSpec,
    Address,
    MarketData,
    SelfTesting,
    VenuePlugin,
    VenueSetup,
)

MARBLE = Instrument(
    id=InstrumentId("toy:marble"),
    kind=Kind.BINARY,
    currency="pUSD",
    price_decimals=4,
    size_decimals=6,
    tick=100,
    lot=10_000,
)
BOOK = BookReplaced(
    instrument=MARBLE.id, bids=((4_000, 100_000_000),), asks=((6_000, 100_000_000),)
)
CASH_MICRO = 1_000_000_000
RESTING: dict[AccountId, dict[Identity, Order]] = {}
"""Open orders of everybody: the exchange."""


class ToyDoor:
    """An account's door to the exchange in this process."""

    def __init__(self, account: AccountId) -> None:
        self._account = account
        self._mine = RESTING.setdefault(account, {})

    async def close(self) -> None:
        """There is nothing to close."""

    def prepare(self, order: Order) -> Prepared:
        """Name it by account and number."""
        name = Identity(f"toy-{order.account}-{order.id}")
        return Prepared(order=order, identity=name, payload=name.encode())

    async def send(self, prepared: Prepared) -> Sequence[VenueEvent]:
        """Let it rest."""
        self._mine[prepared.identity] = prepared.order
        return [OrderAccepted(account=self._account, order=prepared.order.id)]

    async def cancel(self, orders: Sequence[Named]) -> Sequence[VenueEvent]:
        """Take these away."""
        gone = [self._mine.pop(one.identity) for one in orders if one.identity in self._mine]
        return [OrderCancelled(account=self._account, order=one.id) for one in gone]

    async def cancel_all(self, scope: CancelScope) -> Sequence[VenueEvent]:
        """Take all away."""
        del scope
        gone, names = list(self._mine.values()), list(self._mine)
        for name in names:
            del self._mine[name]
        return [OrderCancelled(account=self._account, order=one.id) for one in gone]

    def _report(self, name: Identity, order: Order) -> OrderReport:
        return OrderReport(
            identity=name,
            order=order.id,
            ours=True,
            instrument=order.instrument,
            leg=order.leg,
            side=order.side,
            price=order.price,
            size=order.size,
            filled=0,
            state=OrderState.OPEN,
        )

    async def open_orders(self) -> OpenOrdersListed:
        """List what rests."""
        resting = tuple(self._report(name, order) for name, order in self._mine.items())
        return OpenOrdersListed(account=self._account, orders=resting)

    async def order(self, named: Named) -> OrderReported | OrderNotFound:
        """Report one."""
        order = self._mine.get(named.identity)
        if order is None:
            return OrderNotFound(account=self._account, order=named.order)
        return OrderReported(account=self._account, report=self._report(named.identity, order))

    async def fills(self, since_ns: int) -> FillsListed:
        """Nothing fills here."""
        return FillsListed(account=self._account, since_ns=since_ns, fills=())

    async def balances(self) -> BalancesListed:
        """Everybody has the same."""
        return BalancesListed(account=self._account, cash_micro={"pUSD": CASH_MICRO})

    async def positions(self) -> PositionsListed:
        """Nobody holds anything."""
        return PositionsListed(account=self._account, holdings=())


class ToyLink(AccountLink):
    """An account there."""

    def __init__(self, setup: VenueSetup, services: Services, settings: AccountSettings) -> None:
        del setup
        super().__init__(services, settings)
        self.door = ToyDoor(self.account)

    async def connect(self, credential: Credential | None) -> None:
        """It is in this process."""
        del credential

    async def run(self) -> None:
        """It tells that it has few marbles, and nothing else by itself."""
        now_ns = self.services.clock.now_ns()
        for source in (USER_FEED, HEARTBEAT):
            self.runner.deliver(self.health(source, ""), now_ns)
        self.runner.start_over(now_ns)
        text = "the toy venue has one marble"
        few = caution("few_marbles", text, account=self.account)
        self.services.alert(few, now_ns)
        await asyncio.Event().wait()


class ToyMarket(MarketData):
    """One market whose book never moves."""

    shared = False

    def __init__(self, setup: VenueSetup) -> None:
        del setup
        self._kept = False

    def begin(self, services: Services, runners: list[AccountRunner]) -> list[Stream]:
        """Tell it to all."""
        return [lambda: self._run(services, list(runners))]

    def join(self, services: Services, runner: AccountRunner) -> list[Stream]:
        """Tell it to one more."""
        return [lambda: self._run(services, [runner])]

    async def _run(self, services: Services, runners: list[AccountRunner]) -> None:
        first: tuple[Event, ...] = (
            FeedRestored(feed="toy", instrument=None),
            InstrumentListed(instrument=MARBLE),
            BOOK,
        )
        if not self._kept:
            self._kept = True
            services.journal(first[1], services.clock.now_ns())
        while True:
            for runner in runners:
                runner.market(first, services.clock.now_ns())
            first = (BookProven(instrument=MARBLE.id),)
            await asyncio.sleep(0.2)

    def source(self, services: Services, wanted: Sequence[str]) -> ToySource:
        """Tell it to a recording."""
        del wanted
        return ToySource(services)

    async def sync(self, services: Services) -> str:
        """There is one market."""
        return f"1 market is open: {await services.catalogue([(MARBLE, 'A marble', 'marble')])} new"


class ToySource:
    """The market for one recording."""

    feed = "toy"

    def __init__(self, services: Services) -> None:
        self._now_ns = services.clock.now_ns

    async def stream_to(self, listener: MarketDataListener) -> None:
        """Tell it once."""
        listener.market((InstrumentListed(instrument=MARBLE), BOOK), self._now_ns())
        await asyncio.Event().wait()


async def door(setup: VenueSetup, account: AccountId, credential: Credential | None) -> ToyDoor:
    """Open the door alone."""
    del setup, credential
    return ToyDoor(account)


async def examine(
    setup: VenueSetup, credential: Credential, known: Container[str]
) -> list[Finding]:
    """Find nothing wrong."""
    del setup, known
    return [Finding("key", Grade.OK, f"{credential.wallet} may trade")]


async def selftest(setup: VenueSetup, test: SelfTesting) -> list[Finding]:
    """Find that nothing is left."""
    del setup
    listed = await ToyDoor(test.account).open_orders()
    grade = Grade.FAIL if listed.orders else Grade.OK
    return [test.report(Finding("proof", grade, f"{len(listed.orders)} orders are open"))]


PLUGIN = VenuePlugin(
    id="toy",
    title="Toy exchange",
    about="a table with one marble",
    currency="pUSD",
    modes={
        Mode.DEMO: AccountSpec(link=ToyLink, door=door),
        Mode.PAPER: AccountSpec(),
        Mode.LIVE: AccountSpec(
            link=ToyLink,
            door=door,
            credential_fields=(
                CredentialField(
                    name="token",
                    title="Token",
                    pattern="[a-z]{8}",
                    wrong="the token has eight small letters",
                ),
                CredentialField(name="user", title="User", secret=False),
            ),
            examine=examine,
            selftest=selftest,
        ),
    },
    market=ToyMarket,
    urls={"table": Address("http://127.0.0.1:9", "where the table stands")},
)
