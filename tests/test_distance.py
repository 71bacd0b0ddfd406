"""How far things go: how many modules of the product one flow runs through, from end to end.

A module counts when a function of it ran while `Distance.counted` was open, on any thread that
began under it. A number may only become smaller: what was won is not given back.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any, Self

from msgspec.structs import replace

from engine.bots.core import AccountCore
from engine.caches.markets import MarketCache
from engine.domain.bots import BotState
from engine.domain.commands import ApplySettings, Kill
from engine.domain.effects import CancelScope
from engine.domain.events import (
    BookChanged,
    BookReplaced,
    FillsListed,
    InstrumentListed,
    OpenOrdersListed,
    OrderAccepted,
    OrderFilled,
    VenueEvent,
)
from engine.domain.fills import FillId, Liquidity
from engine.domain.instruments import AccountId, Side
from engine.domain.orders import Identity, Order
from engine.domain.settings import GatewaySettings
from engine.executor.executor import Executor, ExecutorSettings
from engine.executor.ledger import Ledger
from engine.gateway.core import GatewayCore
from engine.gateway.door import Prepared
from engine.live.commands.kill import ScopedKills
from engine.live.telemetry import ROWS_EVERY, Telemetry
from engine.risk.exposure import ExposureBook
from engine.risk.gate import Breakers, RiskGate
from engine.runtime.account_runner import AccountRunner
from engine.runtime.bot_runner import BotRunner
from engine.runtime.journal import JournalWriter
from engine.venues.demo.client import DemoVenue
from storage.commands import ENDS, CommandState
from storage.database import reading
from storage.live import books
from storage.settings import Saved, applied, save
from storage.users import ENGINE_ID
from tests.fakes.polymarket.listing import Listed, identify, instrument_of
from tests.lab.conftest import QUOTING
from tests.live.desk import PATIENCE_S, LiveDesk

RATCHET = {"an order": 35, "a KILL": 24, "a settings edit": 13, "a price to its row": 18}
"""Modules a flow may run through, by its name."""

REPOSITORY = Path(__file__).resolve().parents[1]
PRODUCT = tuple(f"{REPOSITORY / name}/" for name in ("engine", "storage", "pages"))


class Distance:
    """Counts modules. Use it as `with`, before the threads that a flow runs on begin."""

    def __init__(self) -> None:
        self._files: set[str] = set()
        self._counts = False

    def __enter__(self) -> Self:
        threading.setprofile(self._called)
        sys.setprofile(self._called)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)
        threading.setprofile(None)

    def _called(self, frame: FrameType, event: str, _argument: object) -> None:
        # A function's code is optimised; that of a module or a class is not: importing is no step.
        if self._counts and event == "call" and frame.f_code.co_flags & inspect.CO_OPTIMIZED:
            self._files.add(frame.f_code.co_filename)

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count what runs until this ends."""
        self._counts = True
        try:
            yield
        finally:
            self._counts = False

    @property
    def modules(self) -> list[str]:
        """The product's modules that ran."""
        return sorted(
            str(Path(file).relative_to(REPOSITORY)) for file in self._files if _of_product(file)
        )

    def must_be(self, flow: str) -> None:
        """Hold a flow to its number."""
        found = self.modules
        assert len(found) <= RATCHET[flow], f"{flow}: {len(found)}\n" + "\n".join(found)


def _of_product(file: str) -> bool:
    return file.startswith(PRODUCT)


# -- the flows -------------------------------------------------------------------------------------

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


class TradingDesk(LiveDesk):
    """A desk with one account at the demo exchange, which nobody serves, and one bot."""

    def __init__(self, home: Path, venue: Any = None) -> None:
        home.mkdir(exist_ok=True)
        super().__init__(home, JournalWriter(home / "journal.db", engine_id=ENGINE_ID))
        self.venue = venue or DemoVenue("http://127.0.0.1:9", DEMO)
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
        account = engine.settings.document.accounts[DEMO]
        breakers = Breakers(account.limits)
        executor = Executor(
            account=DEMO,
            mode=account.mode,
            currency="pUSD",
            ledger=Ledger(currency="pUSD"),
            gate=RiskGate(limits=account.limits, breakers=breakers, exposure=ExposureBook()),
            settings=ExecutorSettings(starts_reconciled=True),  # it asks its venue nothing
        )
        runner = AccountRunner(
            desk=AccountCore(
                cache=MarketCache(), executor=executor, bots=(), decide=lambda _: None
            ),
            core=GatewayCore(account=DEMO, settings=GatewaySettings()),
            venue=self.venue,
            recorder=engine.recorder,
            clock=engine.clock,
            meter=engine.meter,
            alert=engine.alert,
            crash=engine.crash,
        )
        runner.desk.begin(engine.clock.now_ns())
        engine.runners[DEMO] = runner
        made = BotRunner(engine.settings.document.bots["maker"], runner)
        engine.bot_runners["maker"] = made
        runner.desk.add(made.bot, engine.clock.now_ns())
        engine.projector = SimpleNamespace(failure=None, seq=0, at=lambda *_: False)
        engine.accounts = SimpleNamespace(
            register=lambda *_: None, refusal=lambda _: "", is_open=lambda _: True
        )
        return self

    async def __aexit__(self, *given: object) -> None:
        await self.engine.runners[DEMO].close()
        await self.venue.close()
        await super().__aexit__(*given)

    async def written(self) -> None:
        """Wait until journal and state file have all that was told."""
        await asyncio.wrap_future(self.engine.recorder.commit())
        async with asyncio.timeout(PATIENCE_S):
            while self.engine.state.waiting:  # noqa: ASYNC110 another thread writes
                await asyncio.sleep(0.01)


async def answered(desk: LiveDesk, name: str) -> CommandState:
    async with asyncio.timeout(PATIENCE_S):
        while (left := desk.find(name)).state not in ENDS:  # noqa: ASYNC110 another thread writes it
            await asyncio.sleep(0.01)
    return left.state


async def test_a_settings_edit_is_short(tmp_path: Path) -> None:
    """From the command's row to the limit that risk judges by, and the answer."""
    with Distance() as distance:
        async with TradingDesk(tmp_path) as desk:
            limit = {"limits": {"open_orders_max": 7}}
            version = desk.edit({"accounts": {DEMO: limit}}, base=1)
            with distance.counted():
                name = desk.leave(ApplySettings(version=version))
                assert await answered(desk, name) is CommandState.DONE
            gate = desk.engine.runners[DEMO].desk.executor.gate
            assert gate.limits.open_orders_max == 7
    distance.must_be("a settings edit")


def best_bid(path: Path) -> int:
    """Return the best bid of the row that every page reads."""
    with reading(path) as connection:
        return books(connection, ENGINE_ID, [(DEMO, ONE.id)])[DEMO, ONE.id].bids[0][0]


async def test_a_price_to_its_row_is_short(tmp_path: Path) -> None:
    """From a change of a book to the row that every page reads."""
    with Distance() as distance:
        async with TradingDesk(tmp_path) as desk:
            engine, now_ns = desk.engine, desk.engine.clock.now_ns()
            runner, telemetry = engine.runners[DEMO], Telemetry(engine)
            whole = BookReplaced(
                instrument=ONE.id, bids=((4_800, 10**7),), asks=((5_200, 10**7),), exchange_ns=None
            )
            runner.market((InstrumentListed(instrument=ONE), whole), now_ns)
            for _ in range(ROWS_EVERY):  # the next one tells of books again
                telemetry.second(now_ns)
            await desk.written()
            better = ((Side.BUY, 4_900, 10**7),)
            with distance.counted():
                runner.market(
                    (BookChanged(instrument=ONE.id, changes=better, exchange_ns=None),), now_ns
                )
                telemetry.second(now_ns)
                desk.engine.state.write(lambda _: None, awaited=True)  # rows go along at once
                await desk.written()
                assert best_bid(desk.path) == 4_900
    distance.must_be("a price to its row")


class Exchange:
    """A venue that takes every order."""

    def __init__(self) -> None:
        self.sent: list[Order] = []

    def prepare(self, order: Order) -> Prepared:
        return Prepared(order=order, identity=Identity(f"v{order.id}"), payload=b"")

    async def send(self, prepared: Prepared) -> Sequence[VenueEvent]:
        order = prepared.order
        self.sent.append(order)
        return (OrderAccepted(account=DEMO, order=order.id, identity=prepared.identity),)

    async def cancel_all(self, _: CancelScope) -> Sequence[VenueEvent]:
        return ()

    async def open_orders(self) -> OpenOrdersListed:
        return OpenOrdersListed(account=DEMO, orders=())

    async def fills(self, since_ns: int) -> FillsListed:
        return FillsListed(account=DEMO, since_ns=since_ns, fills=())

    async def close(self) -> None:
        """Nothing is open."""


async def test_a_kill_is_short(tmp_path: Path) -> None:
    """From the command's row to the cancel of everything, its proof, and the receipt's row."""
    with Distance() as distance:
        async with TradingDesk(tmp_path, Exchange()) as desk:
            engine = desk.engine
            engine.accounts.resting_outside = lambda _: ()
            kills = engine.part(ScopedKills)
            engine.runners[DEMO].settle(engine.clock.now_ns())  # its first turn is over
            with distance.counted():
                name = desk.leave(Kill(account=DEMO))
                async with asyncio.timeout(PATIENCE_S):
                    while (left := desk.find(name)).state not in ENDS:
                        kills.watch(engine.clock.now_ns())
                        await asyncio.sleep(0.01)
            assert left.state is CommandState.DONE, left.answer
            assert "PROVEN" in left.answer
    distance.must_be("a KILL")


async def test_an_order_is_short(tmp_path: Path) -> None:
    """From a change of a book to the bot's request at the venue, and to the fill that is booked."""
    exchange = Exchange()
    with Distance() as distance:
        async with TradingDesk(tmp_path, exchange) as desk:
            engine, now_ns = desk.engine, desk.engine.clock.now_ns()
            runner, maker = engine.runners[DEMO], engine.bot_runners["maker"]
            maker.bot.state = BotState.RUNNING
            runner.desk.executor.ledger.move_cash(10**10)
            book = BookReplaced(
                instrument=ONE.id, bids=((4_800, 10**7),), asks=((5_200, 10**7),), exchange_ns=None
            )
            runner.market((InstrumentListed(instrument=ONE), book), now_ns)
            engine.state.close()  # it reads commands meanwhile, on a thread of its own
            with distance.counted():
                runner.market((replace(book, bids=((4_700, 10**7),)),), now_ns + 10**9)
                async with asyncio.timeout(PATIENCE_S):
                    while not exchange.sent:  # noqa: ASYNC110 the journal's thread comes first
                        await asyncio.sleep(0.01)
                order = exchange.sent[0]
                await asyncio.sleep(0)
                filled = OrderFilled(
                    account=DEMO, order=order.id, fill=FillId("f1"), price=order.price,
                    size=order.size, fee_micro=0, liquidity=Liquidity.MAKER,
                )  # fmt: skip
                runner.report(filled)
                await asyncio.sleep(0)
                await asyncio.wrap_future(engine.recorder.commit())
            assert runner.desk.executor.ledger.holding(ONE.id).position != 0
    distance.must_be("an order")
