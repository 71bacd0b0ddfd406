"""Paper accounts on the living desk: over the public market alone, and what a lost session is."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from engine.bots.core import AccountCore
from engine.caches.markets import MarketCache
from engine.domain.commands import ApplySettings, StartBot, StopBot
from engine.domain.effects import PlaceOrder
from engine.domain.events import (
    BookReplaced,
    CashMoved,
    InstrumentListed,
    OrderCancelled,
    OrderFilled,
    OrderNotSent,
    TradePrinted,
)
from engine.domain.instruments import (
    AccountId,
    BotId,
    Instrument,
    InstrumentId,
    Kind,
    Leg,
    Mode,
    Side,
)
from engine.domain.intents import Target, Urgency
from engine.domain.orders import CancelReason, Order, OrderId
from engine.domain.perpetual_events import FundingSettled, MarkPriced
from engine.domain.products.funding import HOUR_NS
from engine.domain.products.margin import MarginTier, Measure, tier_table
from engine.domain.products.perpetual import MarginTerms
from engine.domain.settings import AccountSettings, GatewaySettings
from engine.errors import AuthRefused, BrokenInvariant
from engine.executor.executor import Executor
from engine.gateway.door import Reply
from engine.runtime.account_runner import Meter
from engine.runtime.recovery import ENGINE_WIDE, executor_of, recover
from engine.runtime.venue_plugin import PaperGateway
from engine.venues.demo.client import DemoVenue
from engine.venues.paper.core import PaperVenue
from engine.venues.paper.runner import PaperDoor, PaperRunner
from engine.venues.paper.settings import PaperSettings
from storage.commands import CommandState
from storage.database import connect_writer
from storage.journal import decode, load
from storage.journal_writer import JournalWriter
from storage.schema import migrate
from storage.settings import Saved, applied, save
from storage.users import ENGINE_ID
from tests.clocks import ManualClock
from tests.live.programs import BOT, DOCUMENT, Programs
from tests.ports import free_port

PAPER = AccountId("paper")
COIN = InstrumentId("demo:coin")
INSTRUMENT = Instrument(
    id=COIN, kind=Kind.BINARY, currency="pUSD", price_decimals=4, size_decimals=6, tick=100,
    lot=10_000,
)  # fmt: skip
SHARE, MICRO, MS = 1_000_000, 1_000_000, 1_000_000
SETTINGS = AccountSettings(name=PAPER, venue="demo", mode=Mode.PAPER, starting_cash=100.0)


# -- one shell, its time by hand -------------------------------------------------------------------


class Desk:
    """A paper account's shell on the loop, with a journal on the disk."""

    def __init__(self, folder: Path, executor: Executor, clock: ManualClock) -> None:
        self.clock = clock
        self.executor = executor
        self.errors: list[BaseException] = []
        self.alerts: list[str] = []
        self.journal = JournalWriter(folder / "journal.db", engine_id="pitboss")
        gateway = PaperGateway(account=PAPER, settings=GatewaySettings())
        self.paper = PaperVenue(PAPER, PaperSettings(starting_cash={}))
        self.door = PaperDoor(self.paper, gateway)
        self.runner = PaperRunner(
            paper=self.paper,
            door=self.door,
            gateway=gateway,
            core=AccountCore(
                cache=MarketCache(), executor=executor, bots=(), decide=lambda _: None
            ),
            recorder=self.journal,
            clock=clock,
            meter=Meter(),
            alert=lambda alert, _at_ns: self.alerts.append(alert.kind),
            crash=self.errors.append,
        )

    async def begin(self, fence: int, *, funded: bool) -> None:
        now_ns = self.clock.now_ns()
        self.runner.core.begin(now_ns)
        if not funded:
            cash = CashMoved(account=PAPER, currency="pUSD", amount_micro=100 * MICRO)
            self.runner.deliver(cash, now_ns)
            self.journal.append(ENGINE_WIDE, InstrumentListed(instrument=INSTRUMENT), now_ns)
        self.runner.resume_session(now_ns, fence=fence)
        self.runner.start_over(now_ns)
        self.market(InstrumentListed(instrument=INSTRUMENT), book())
        await self.pass_ms(5_000)
        assert not self.executor.recovering

    def market(self, *events: Any) -> None:
        self.runner.market(events, self.clock.now_ns())

    async def pass_ms(self, ms: int) -> None:
        """Let so much time pass, in steps, the journal's thread in between."""
        for step in range(0, ms + 50, 50):
            self.clock.advance(50 * MS if step else 0)
            self.runner.tick()
            async with asyncio.timeout(150):
                await self._rest()

    async def _rest(self) -> None:
        """Wait until all that is under way waits for the venue's clock alone."""
        await asyncio.wrap_future(self.journal.commit())
        for _ in range(5):
            await asyncio.sleep(0)
        while self.runner.sender.under_way != self.door.waiting:
            await asyncio.wrap_future(self.journal.commit())
            await asyncio.sleep(0)

    async def close(self) -> None:
        await self.runner.close()
        self.journal.close()
        assert not self.errors


def book() -> BookReplaced:
    return BookReplaced(instrument=COIN, bids=((4_000, 100 * SHARE),), asks=((6_000, 100 * SHARE),))


def fresh() -> Executor:
    return executor_of(SETTINGS, 1)[0]


def intent(desk: Desk, position: int) -> None:
    now_ns = desk.clock.now_ns()
    desk.runner.core.set_target(
        Target(
            bot=BotId("maker"), instrument=COIN, position=position, limit_price=4_100,
            urgency=Urgency.REST, valid_until_ns=now_ns + 3_600_000 * MS,
        ),
        now_ns,
    )  # fmt: skip
    desk.runner.settle(now_ns)


def sold(shares: int) -> TradePrinted:
    return TradePrinted(instrument=COIN, price=4_100, size=shares * SHARE, aggressor=Side.SELL)


def test_print_fills_and_a_crash_loses_the_session_but_nothing_else(tmp_path: Path) -> None:
    async def first_run() -> None:
        desk = Desk(tmp_path, fresh(), clock)
        await desk.begin(1, funded=False)
        intent(desk, 20 * SHARE)
        await desk.pass_ms(500)
        assert desk.executor.open_and_unknown == (1, 0)
        desk.market(sold(8))
        held = desk.executor.ledger.holding(COIN)
        assert (held.yes_settled, held.yes_pending) == (0, 8 * SHARE)
        await desk.pass_ms(100)
        desk.journal.close()  # and nothing else: the process is gone with an order open

    async def second_run() -> None:
        executor = fresh()
        found = recover(tmp_path / "journal.db", {PAPER: executor})
        assert found.funded == {PAPER}
        assert executor.open_and_unknown[0] == 1
        desk = Desk(tmp_path, executor, clock)
        await desk.begin(2, funded=True)
        assert executor.open_and_unknown == (0, 0)
        held = executor.ledger.holding(COIN)
        assert (held.yes_settled, held.yes_pending) == (8 * SHARE, 0)
        assert executor.ledger.cash_free_micro == 100 * MICRO - 8 * 410_000
        desk.market(sold(50))
        await desk.pass_ms(500)
        assert executor.ledger.holding(COIN).position == 8 * SHARE
        intent(desk, 20 * SHARE)
        await desk.pass_ms(500)
        desk.market(sold(50))
        await desk.pass_ms(3_000)
        assert executor.ledger.holding(COIN).yes_settled == 20 * SHARE
        await desk.pass_ms(65_000)  # the balances are asked for again, and agree
        assert desk.alerts == []
        await desk.close()

    clock = ManualClock(1_000_000_000_000)
    asyncio.run(first_run())
    asyncio.run(second_run())
    events = [decode(record) for record in load(tmp_path / "journal.db")]
    lost = [one.reason for one in events if isinstance(one, OrderCancelled)]
    assert lost == [CancelReason.SESSION_LOST]
    fills = [one.fill for one in events if isinstance(one, OrderFilled)]
    assert len(set(fills)) == len(fills) == 2


# -- a perpetual -----------------------------------------------------------------------------------

SWAP = Instrument(
    id=InstrumentId("demo:SWAP"), kind=Kind.PERPETUAL, currency="pUSD", price_decimals=2,
    size_decimals=6, tick=1, lot=1,
    margin=MarginTerms(
        leverage=5, tiers=tier_table(Measure.VALUE, [MarginTier(0, 10**15, 10_000, 20)])
    ),
)  # fmt: skip


def funded(desk: Desk, hour: int) -> None:
    """Settle a rate of 1 % at a mark of 40.00."""
    desk.market(
        FundingSettled(
            instrument=SWAP.id, stamp_ns=hour * HOUR_NS, rate_e18=10**16, mark_e8=40 * 10**8
        )
    )


def marked(desk: Desk, price: int) -> None:
    touch = ((4_000, 100 * SHARE),)
    desk.market(
        MarkPriced(instrument=SWAP.id, mark_e8=price * 10**8),
        BookReplaced(instrument=SWAP.id, bids=touch, asks=((4_001, 100 * SHARE),)),
    )


def test_a_short_is_funded_once_a_stamp_over_a_crash_and_liquidated_as_the_ledger_books_it(
    tmp_path: Path,
) -> None:
    async def first_run() -> None:
        desk = Desk(tmp_path, fresh(), clock)
        await desk.begin(1, funded=False)
        now_ns = clock.now_ns()
        desk.journal.append(ENGINE_WIDE, InstrumentListed(instrument=SWAP), now_ns)
        desk.market(InstrumentListed(instrument=SWAP))
        marked(desk, 40)
        short = Target(
            bot=BotId("maker"), instrument=SWAP.id, position=-SHARE // 4, limit_price=3_990,
            urgency=Urgency.CROSS, valid_until_ns=now_ns + 3_600_000 * MS,
        )  # fmt: skip
        desk.runner.core.set_target(short, now_ns)
        desk.runner.settle(now_ns)
        await desk.pass_ms(500)
        assert desk.executor.ledger.holding(SWAP.id).position == -SHARE // 4
        funded(desk, 8)
        assert desk.executor.ledger.state.cash_settled_micro == 100_100_000
        await desk.pass_ms(100)
        desk.journal.close()

    async def second_run() -> None:
        executor = fresh()
        recover(tmp_path / "journal.db", {PAPER: executor})
        desk = Desk(tmp_path, executor, clock)
        await desk.begin(2, funded=True)
        desk.market(InstrumentListed(instrument=SWAP))
        marked(desk, 40)
        funded(desk, 8)  # a stream that begins anew says the last one again
        assert executor.ledger.state.cash_settled_micro == 100_100_000
        funded(desk, 9)
        assert executor.ledger.state.cash_settled_micro == 100_200_000
        await desk.pass_ms(65_000)  # the balances are asked for, and agree
        assert desk.alerts == []
        # 100.2 and the 10 it was sold for are below 1 % more than what it is worth from 436.44 on.
        marked(desk, 436)
        assert executor.ledger.holding(SWAP.id).position == -SHARE // 4
        marked(desk, 437)
        assert executor.ledger.holding(SWAP.id).position == 0
        assert executor.ledger.state.cash_settled_micro == 0
        await desk.pass_ms(65_000)
        stops = ["stop_daily_loss", "stop_drawdown", "stop_kill_drawdown"]
        assert desk.alerts == ["position_liquidated", *stops], "and venue and ledger agree"
        await desk.close()

    clock = ManualClock(1_000_000_000_000)
    asyncio.run(first_run())
    asyncio.run(second_run())


def test_order_cut_off_on_its_way_is_gone_with_the_session(tmp_path: Path) -> None:
    async def first_run() -> None:
        desk = Desk(tmp_path, fresh(), clock)
        await desk.begin(1, funded=False)
        intent(desk, 20 * SHARE)
        while not desk.runner.door.waiting:
            await desk.pass_ms(0)
        # sent, and still on its way to the venue
        await desk.close()

    async def second_run() -> None:
        executor = fresh()
        recover(tmp_path / "journal.db", {PAPER: executor})
        assert executor.open_and_unknown == (1, 1)
        desk = Desk(tmp_path, executor, clock)
        await desk.begin(2, funded=True)
        assert executor.open_and_unknown == (0, 0)
        assert executor.ledger.cash_free_micro == 100 * MICRO
        await desk.close()

    clock = ManualClock(1_000_000_000_000)
    asyncio.run(first_run())
    asyncio.run(second_run())


def test_request_past_the_gateway_is_our_own_bug(tmp_path: Path) -> None:
    async def run() -> None:
        desk = Desk(tmp_path, fresh(), ManualClock(1))
        with pytest.raises(BrokenInvariant, match="past the gateway"):
            await desk.runner.door.open_orders()
        await desk.close()

    asyncio.run(run())


def test_place_that_waited_for_an_answer_reaches_the_venue() -> None:
    gateway = PaperGateway(account=PAPER, settings=GatewaySettings(places_in_flight_max=1))
    one, two = (
        PlaceOrder(
            order=Order(
                account=PAPER, id=OrderId(number), bot=BotId("b"), instrument=COIN, leg=Leg.YES,
                side=Side.BUY, price=4_000, size=SHARE, created_ns=1,
            )
        )
        for number in (1, 2)
    )  # fmt: skip
    (first,) = gateway.receive(one, 1)
    assert gateway.receive(two, 1) == []
    assert gateway.claim(one) == first
    (second,) = gateway.over(Reply(number=first.number), 2)
    assert gateway.claim(two) == second


# -- the whole desk as processes -------------------------------------------------------------------


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Programs]:
    made = Programs(tmp_path, free_port())
    migrate(made.state)
    yield made
    made.end()


def put(state: Path, diff: dict[str, Any], base: int, *, in_force: bool) -> int:
    """Save settings as a page does; give the version."""
    connection = connect_writer(state)
    try:
        saved = save(
            connection, engine_id=ENGINE_ID, who="test", diff=diff, base_version=base, now_ns=1
        )
        assert isinstance(saved, Saved)
        if in_force:
            applied(connection, ENGINE_ID, saved.version, 1)
        return saved.version
    finally:
        connection.close()


def account(name: str, mode: str) -> dict[str, Any]:
    return {"name": name, "venue": "demo", "mode": mode, "starting_cash": 10_000.0}


def maker(name: str, at: str) -> dict[str, Any]:
    bots: Any = DOCUMENT["bots"]
    return {**bots[BOT], "name": name, "account": at}


def test_account_made_while_the_engine_runs_trades_and_modes_stay_apart(programs: Programs) -> None:
    """Also: the demo exchange never hears of the paper account."""
    diff = {"accounts": {"demo": account("demo", "demo")}, "bots": {"one": maker("one", "demo")}}
    put(programs.state, diff, 0, in_force=True)
    programs.demo()
    engine = programs.engine()
    assert programs.command(StartBot(bot=BotId("one"))).state is CommandState.DONE
    far = {"name": "far", "venue": "okx", "mode": "paper"}
    more = {
        "accounts": {"paper": account("paper", "paper"), "far": far},
        "bots": {"two": maker("two", "paper")},
    }
    version = put(programs.state, more, 1, in_force=False)
    answered = programs.command(ApplySettings(version=version))
    assert answered.state is CommandState.DONE, answered.answer
    assert "'far' needs the market of 'okx'" in answered.answer
    assert programs.command(StartBot(bot=BotId("two"))).state is CommandState.DONE

    def resting(name: str) -> bool:
        return bool(programs.rows(f"SELECT 1 FROM orders WHERE account = '{name}'"))

    programs.until(lambda: resting("paper") and resting("demo"), "both trade")
    assert set(programs.rows("SELECT DISTINCT account, mode FROM orders")) == {
        ("demo", "demo"),
        ("paper", "paper"),
    }
    programs.until(
        lambda: len(programs.rows("SELECT DISTINCT account, mode FROM equity")) == 2, "two curves"
    )
    asyncio.run(stranger(f"http://127.0.0.1:{programs.port}"))
    stopped = programs.command(StopBot(bot=BotId("two")))
    assert stopped.state is CommandState.DONE, stopped.answer

    engine.kill()
    engine.wait(150)
    engine = programs.engine()
    before = programs.count("orders")
    programs.until(lambda: programs.count("orders") > before, "it trades again by itself")
    assert not programs.rows("SELECT 1 FROM alerts WHERE severity = 'critical'")


async def stranger(url: str) -> None:
    """See that the exchange has no account of the paper account's name."""
    venue = DemoVenue(url, PAPER)
    try:
        with pytest.raises(AuthRefused):
            await venue.balances()
    finally:
        await venue.close()


def test_paper_engine_asks_for_nothing_but_the_public_market(
    programs: Programs,
) -> None:
    diff = {"accounts": {PAPER: account(PAPER, "paper")}, "bots": {"two": maker("two", PAPER)}}
    put(programs.state, diff, 0, in_force=True)
    die_before_the_name(programs.home / "journal.db")
    asked: list[str] = []
    enough = asyncio.Event()

    async def refuse(request: web.Request) -> web.Response:
        asked.append(request.path_qs)
        if len(asked) > 3:
            enough.set()
        return web.Response(status=404)

    async def host() -> None:
        app = web.Application()
        app.router.add_route("*", "/{anything:.*}", refuse)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", programs.port).start()
        engine = programs.engine()
        await enough.wait()
        engine.terminate()
        assert await asyncio.to_thread(engine.wait, 150) == 0
        await runner.cleanup()

    asyncio.run(asyncio.wait_for(host(), 150))
    assert set(asked) == {"/v1/market"}
    events = [decode(record) for record in load(programs.home / "journal.db")]
    never = [one for one in events if isinstance(one, OrderNotSent)]
    assert [one.reason for one in never] == ["the engine died before the order had a name"]


def die_before_the_name(journal: Path) -> None:
    """Write what an engine leaves that dies between an order's record and that of its name."""
    order = Order(
        account=PAPER, id=OrderId(1), bot=BotId("two"), instrument=COIN, leg=Leg.YES,
        side=Side.BUY, price=4_100, size=20 * SHARE, created_ns=3,
    )  # fmt: skip
    writer = JournalWriter(journal, engine_id=ENGINE_ID)
    cash = CashMoved(account=PAPER, currency="pUSD", amount_micro=100 * MICRO)
    writer.append(ENGINE_WIDE, InstrumentListed(instrument=INSTRUMENT), 1)
    writer.append(PAPER, cash, 2)
    writer.append(PAPER, PlaceOrder(order=order), 3)
    writer.close()
