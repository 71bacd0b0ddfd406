"""A desk in this process with one account at a venue that nobody serves, and one bot."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

from msgspec.structs import replace

from engine.bots.core import AccountCore
from engine.caches.markets import MarketCache
from engine.domain.bots import BotState
from engine.domain.effects import CancelScope
from engine.domain.events import (
    BookReplaced,
    FillsListed,
    InstrumentListed,
    OpenOrdersListed,
    OrderAccepted,
    OrderCancelled,
    OrderFilled,
    VenueEvent,
)
from engine.domain.fills import FillId, Liquidity
from engine.domain.instruments import AccountId, Mode
from engine.domain.orders import Identity, Order
from engine.domain.settings import GatewaySettings
from engine.executor.executor import Executor, ExecutorSettings
from engine.executor.ledger import Ledger
from engine.gateway.core import GatewayCore
from engine.gateway.door import Named, Prepared
from engine.risk.exposure import ExposureBook
from engine.risk.gate import Breakers, RiskGate
from engine.runtime.account_runner import AccountRunner
from engine.runtime.bot_runner import BotRunner
from engine.venues.demo.client import DemoVenue
from storage.journal_writer import JournalWriter
from storage.settings import Saved, applied, save
from storage.users import ENGINE_ID
from tests.fakes.polymarket.listing import Listed, identify, instrument_of
from tests.lab.conftest import QUOTING
from tests.live.desk import PATIENCE_S, LiveDesk

DEMO = AccountId("demo")
ONE = instrument_of(identify(Listed(slug="one"), 1, 1))
DOCUMENT: dict[str, Any] = {
    "accounts": {"demo": {"name": "demo", "venue": "demo", "mode": "demo", "starting_cash": 1e4}},
    "bots": {
        "maker": {
            "name": "maker", "strategy": "market_maker", "account": "demo", "capital": 1000.0,
            "instruments": [ONE.id], "parameters": QUOTING,
        }
    },
}  # fmt: skip


BOOK = BookReplaced(
    instrument=ONE.id, bids=((4_800, 10**7),), asks=((5_200, 10**7),), exchange_ns=None
)


class TradingDesk(LiveDesk):
    """A desk with one account at the demo exchange, which nobody serves, and one bot."""

    def __init__(self, home: Path, venue: Any = None, *, risk_mode: Mode = Mode.DEMO) -> None:
        self._risk_mode = risk_mode
        home.mkdir(exist_ok=True)
        super().__init__(home, JournalWriter(home / "journal.db", engine_id=ENGINE_ID))
        self.venue = venue or DemoVenue("http://127.0.0.1:9", DEMO)
        self.accounts = SimpleNamespace(
            register=lambda *_: None,
            refusal=lambda _: "",
            is_open=lambda _: True,
            closed=lambda _: None,
            resting_outside=lambda _: (),
        )
        self.edit(DOCUMENT)
        applied(self.connection, ENGINE_ID, 1, 1)

    def edit(self, diff: dict[str, Any], *, base: int = 0) -> int:
        """Save an edit as a page does; give its version."""
        saved = save(
            self.connection, engine_id=ENGINE_ID, who="ann", diff=diff, base_version=base, now_ns=1
        )
        assert isinstance(saved, Saved)
        return saved.version

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        engine: Any = self.engine
        runner = self.open(DEMO, self.venue)
        made = BotRunner(engine.settings.document.bots["maker"], runner)
        engine.bot_runners["maker"] = made
        runner.core.add(made.bot, engine.clock.now_ns())
        engine.projector = SimpleNamespace(failure=None, seq=0, at=lambda *_: False)
        return self

    def open(self, name: AccountId, venue: Any) -> AccountRunner:
        """Wire an account of the settings in force; it asks its venue nothing at first."""
        engine: Any = self.engine
        account = engine.settings.document.accounts[name]
        breakers = Breakers(account.limits, self._risk_mode)
        executor = Executor(
            account=name,
            mode=account.mode,
            currency="pUSD",
            ledger=Ledger(currency="pUSD"),
            gate=RiskGate(limits=account.limits, breakers=breakers, exposure=ExposureBook()),
            settings=ExecutorSettings(starts_reconciled=True),
        )
        runner = AccountRunner(
            core=AccountCore(
                cache=MarketCache(), executor=executor, bots=(), decide=lambda _: None
            ),
            gateway=GatewayCore(account=name, settings=GatewaySettings()),
            venue=venue,
            recorder=engine.recorder,
            clock=engine.clock,
            meter=engine.meter,
            alert=engine.alert,
            crash=engine.crash,
            turns=engine.turns,
        )
        runner.core.begin(engine.clock.now_ns())
        engine.runners[name] = runner
        return runner

    async def __aexit__(self, *given: object) -> None:
        for runner in self.engine.runners.values():
            await runner.close()
        await self.venue.close()
        await super().__aexit__(*given)

    def quote(self) -> int:
        """Have the bot look at a book with money in its account; give the time of that."""
        engine, now_ns = self.engine, self.engine.clock.now_ns()
        runner = engine.runners[DEMO]
        engine.bot_runners["maker"].bot.state = BotState.RUNNING
        runner.core.executor.ledger.move_cash(10**10)
        runner.market((InstrumentListed(instrument=ONE), BOOK), now_ns)
        return now_ns

    async def fill(self, now_ns: int) -> None:
        """Move the book once more, and fill the first order that reaches the exchange whole."""
        runner = self.engine.runners[DEMO]
        runner.market((replace(BOOK, bids=((4_700, 10**7),)),), now_ns)
        async with asyncio.timeout(PATIENCE_S):
            while not self.venue.sent:  # noqa: ASYNC110 the journal's thread comes first
                await asyncio.sleep(0.01)
        order = self.venue.sent[0]
        await asyncio.sleep(0)
        filled = OrderFilled(
            account=DEMO, order=order.id, fill=FillId("f1"), price=order.price,
            size=order.size, fee_micro=0, liquidity=Liquidity.MAKER,
        )  # fmt: skip
        runner.report(filled)

    async def written(self) -> None:
        """Wait until journal and state file have all that was told."""
        await asyncio.wrap_future(self.engine.recorder.commit())
        async with asyncio.timeout(PATIENCE_S):
            while self.engine.state.waiting:  # noqa: ASYNC110 another thread writes
                await asyncio.sleep(0.01)


class Exchange:
    """A venue that takes every order of one account."""

    def __init__(self, account: AccountId = DEMO) -> None:
        self.account = account
        self.sent: list[Order] = []

    def prepare(self, order: Order) -> Prepared:
        return Prepared(order=order, identity=Identity(f"v{order.id}"), payload=b"")

    async def send(self, prepared: Prepared) -> Sequence[VenueEvent]:
        order = prepared.order
        self.sent.append(order)
        return (OrderAccepted(account=self.account, order=order.id, identity=prepared.identity),)

    async def cancel(self, orders: Sequence[Named]) -> Sequence[VenueEvent]:
        return [OrderCancelled(account=self.account, order=one.order) for one in orders]

    async def cancel_all(self, _: CancelScope) -> Sequence[VenueEvent]:
        return ()

    async def open_orders(self) -> OpenOrdersListed:
        return OpenOrdersListed(account=self.account, orders=())

    async def fills(self, since_ns: int) -> FillsListed:
        return FillsListed(account=self.account, since_ns=since_ns, fills=())

    async def close(self) -> None:
        """Nothing is open."""
