"""Homes that a dead engine left, made by hand, and the exchange where its orders still rest."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeVar

from aiohttp import web

from engine.clock import WallClock
from engine.config import Config, load
from engine.domain.effects import PlaceOrder
from engine.domain.events import CashMoved, InstrumentListed, OrderAccepted, OrderNamed, OrderSent
from engine.domain.instruments import AccountId, BotId, InstrumentId, Leg, Mode, Side
from engine.domain.orders import Order, OrderId
from engine.live.vault import create
from engine.runtime.recovery import ENGINE_WIDE
from engine.venues.demo.client import DemoVenue
from engine.venues.demo.host import DemoHost
from engine.venues.demo.profiles import THIN, Profile
from engine.venues.demo.server import DemoServer
from storage.database import connect_writer
from storage.journal import take_lease
from storage.journal_writer import JournalWriter
from storage.projection import project, register_account
from storage.schema import migrate
from storage.settings import Saved, applied, save
from storage.users import ENGINE_ID

CASH = 10_000_000_000

T = TypeVar("T")


class Exchange:
    """The demo exchange in a thread of its own; it is the judge."""

    def __init__(self, folder: Path, profile: Profile = THIN) -> None:
        self._folder, self._profile = folder, profile
        self._up = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._thread.start()
        assert self._up.wait(150)

    async def _serve(self) -> None:
        self._loop, clock = asyncio.get_running_loop(), WallClock()
        self.host = DemoHost(self._folder, self._profile, seed=3, now_ns=clock.now_ns())
        server = DemoServer(self.host, clock)
        runner = web.AppRunner(server.app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
        self.url = f"http://127.0.0.1:{port}"
        self._over = asyncio.Event()
        living = asyncio.create_task(server.live())
        self._up.set()
        await self._over.wait()
        living.cancel()
        await asyncio.gather(living, return_exceptions=True)
        await runner.cleanup()
        self.host.close()

    async def do(self, act: Callable[[], T]) -> T:
        """Do something on the exchange's own thread, from another loop."""

        async def done() -> T:
            return act()

        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(done(), self._loop))

    def end(self) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(150)

    @property
    def instrument(self) -> InstrumentId:
        """A market that does not end while a test runs."""
        markets = self.host.exchange.order_entry.markets
        return next(key for key, market in markets.items() if not market.instrument.series)

    def place(self, orders: list[Order]) -> dict[OrderId, str]:
        """Let orders rest, as an engine would; give their names there."""

        async def placed() -> dict[OrderId, str]:
            venue = DemoVenue(self.url, orders[0].account)
            try:
                await venue.open(CASH)
                named = {}
                for order in orders:
                    prepared = venue.prepare(order)
                    (answer, *_) = await venue.send(prepared)
                    assert isinstance(answer, OrderAccepted), answer
                    named[order.id] = prepared.identity
                return named
            finally:
                await venue.close()

        return asyncio.run(placed())

    def open_at(self, account: str) -> int:
        """How many orders rest, as the exchange has it."""

        async def listed() -> int:
            venue = DemoVenue(self.url, AccountId(account))
            try:
                return len((await venue.open_orders()).orders)
            finally:
                await venue.close()

        return asyncio.run(listed())


@contextmanager
def exchange(folder: Path, profile: Profile = THIN) -> Iterator[Exchange]:
    made = Exchange(folder, profile)
    yield made
    made.end()


class Template:
    """What every home begins with, made once."""

    def __init__(self, folder: Path) -> None:
        self.state = folder / "pitboss.db"
        self.vault = folder / "vault.json"
        migrate(self.state)
        create(self.vault, "a passphrase of a test")


def an_order(exchange: Exchange, account: str, number: int) -> Order:
    return Order(
        account=AccountId(account),
        id=OrderId(number),
        bot=BotId("maker"),
        instrument=exchange.instrument,
        leg=Leg.YES,
        side=Side.BUY,
        price=100 * number,
        size=5_000_000,
        created_ns=WallClock().now_ns(),
        fence=1,
    )


def a_home(
    home: Path, template: Template, exchange: Exchange, name: str, gone: tuple[str, ...] = ()
) -> Config:
    """A home whose engine died with two orders open at `name`, and one at each of `gone`.

    Those are accounts that journal and tables know and the settings in force do not.
    """
    (home / "run").mkdir(parents=True)
    (home / "run" / "engine.lock").touch()
    shutil.copy(template.state, home / "pitboss.db")
    shutil.copy(template.vault, home / "vault.json")
    config = load({"PITBOSS_HOME": str(home)})
    now_ns = WallClock().now_ns()
    document = {
        "accounts": {name: {"name": name, "venue": "demo", "mode": "demo", "starting_cash": 1e4}}
    }
    with closing(connect_writer(config.state_path)) as connection:
        saved = save(
            connection, engine_id=ENGINE_ID, who="test", diff=document, base_version=0, now_ns=1
        )
        assert isinstance(saved, Saved)
        applied(connection, ENGINE_ID, saved.version, 1)
        for account in (name, *gone):
            register_account(
                connection, engine_id=ENGINE_ID, account=account, mode=Mode.DEMO, venue="demo",
                currency="pUSD",
            )  # fmt: skip
    take_lease(config.journal_path, ENGINE_ID)
    journal = JournalWriter(config.journal_path, engine_id=ENGINE_ID)
    instrument = exchange.host.exchange.order_entry.markets[exchange.instrument].instrument
    journal.append(ENGINE_WIDE, InstrumentListed(instrument=instrument), now_ns)
    number = 0
    for account in (name, *gone):
        key = AccountId(account)
        orders = [an_order(exchange, account, number + 1 + n) for n in range(2 - bool(number))]
        number += len(orders)
        cash = CashMoved(account=key, currency="pUSD", amount_micro=CASH)
        journal.append(account, cash, now_ns)
        named = exchange.place(orders)
        for order in orders:
            journal.append(account, PlaceOrder(order=order), now_ns)
            for event in (
                OrderNamed(account=key, order=order.id, identity=named[order.id]),
                OrderSent(account=key, order=order.id),
                OrderAccepted(account=key, order=order.id),
            ):
                journal.append(account, event, now_ns)
    journal.close()
    project(config.journal_path, config.state_path)
    return config
