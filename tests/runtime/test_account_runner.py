from __future__ import annotations

from concurrent.futures import Future

import msgspec

from engine.bots.bot import Bot
from engine.bots.core import AccountCore
from engine.caches.markets import MarketCache
from engine.domain.bots import BotState
from engine.domain.effects import OrderChanged
from engine.domain.events import (
    BookChanged,
    BookReplaced,
    CashMoved,
    InstrumentListed,
    ModeChanged,
    OrderAccepted,
    VenueMode,
)
from engine.domain.inputs import AnyInput, OrdersStated, Turned
from engine.domain.instruments import AccountId, BotId, InstrumentId, Leg, Mode, Side
from engine.domain.orders import Order, OrderId, OrderState
from engine.domain.settings import AccountSettings, GatewaySettings
from engine.gateway.core import GatewayCore
from engine.runtime.account_runner import AccountRunner, Meter
from engine.runtime.journal import DigestRecorder
from engine.runtime.recovery import executor_of
from engine.strategies.market_maker.parameters import MarketMakerParameters
from engine.strategies.market_maker.strategy import MarketMaker
from engine.venues.demo.client import DemoVenue
from tests.clocks import ManualClock
from tests.fakes.polymarket.listing import Listed, identify, instrument_of

ACCOUNT = AccountId("demo")
ORDER = Order(
    account=ACCOUNT, id=OrderId(1), bot=BotId("maker"), instrument=InstrumentId("demo:one"),
    leg=Leg.YES, side=Side.BUY, price=5_000, size=10_000_000, created_ns=1,
)  # fmt: skip


def wired(desk: AccountCore, venue: DemoVenue, clock: ManualClock, meter: Meter) -> AccountRunner:
    return AccountRunner(
        core=desk,
        gateway=GatewayCore(account=ACCOUNT, settings=GatewaySettings()),
        venue=venue,
        recorder=DigestRecorder(),
        clock=clock,
        meter=meter,
        alert=lambda *_: None,
        crash=lambda _: None,
    )


async def test_the_gateway_receives_that_the_venue_opened_again() -> None:
    settings = AccountSettings(name="demo", venue="demo", mode=Mode.DEMO)
    executor, _ = executor_of(settings, 1)
    gateway = GatewayCore(account=ACCOUNT, settings=GatewaySettings())
    venue = DemoVenue("http://127.0.0.1:9", ACCOUNT)
    runner = AccountRunner(
        core=AccountCore(cache=MarketCache(), executor=executor, bots=(), decide=lambda _: None),
        gateway=gateway,
        venue=venue,
        recorder=DigestRecorder(),
        clock=ManualClock(1),
        meter=Meter(),
        alert=lambda *_: None,
        crash=lambda _: None,
    )
    for mode, veto in ((VenueMode.DISABLED, "the venue is disabled"), (VenueMode.OPEN, "")):
        runner.deliver(ModeChanged(account=ACCOUNT, mode=mode), 1)
        assert gateway._places.veto(ORDER) == veto
    await runner.close()
    await venue.close()


class Kept(DigestRecorder):
    """A journal whose messages a test can read; it never becomes durable."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[msgspec.Struct] = []

    def append(self, account: str, message: msgspec.Struct, at_ns: int) -> int:
        self.messages.append(message)
        return super().append(account, message, at_ns)

    def commit(self) -> Future[int]:
        return Future()

    def changes(self) -> list[tuple[OrderId, OrderState]]:
        found = [one for one in self.messages if isinstance(one, OrderChanged)]
        return [(one.order, one.state) for one in found]


async def test_where_orders_stand_is_journaled_behind_the_last_turn_too() -> None:
    instrument = instrument_of(identify(Listed(slug="one"), 1, 1))
    executor, _ = executor_of(AccountSettings(name="demo", venue="demo", mode=Mode.DEMO), 1)
    put: list[AnyInput] = []
    core = AccountCore(
        cache=MarketCache(), executor=executor, bots=(), decide=lambda _: None,
        tape=lambda given, _: put.append(given),
    )  # fmt: skip
    venue, journal = DemoVenue("http://127.0.0.1:9", ACCOUNT), Kept()
    runner = AccountRunner(
        core=core,
        gateway=GatewayCore(account=ACCOUNT, settings=GatewaySettings()),
        venue=venue,
        recorder=journal,
        clock=ManualClock(1),
        meter=Meter(),
        alert=lambda *_: None,
        crash=lambda _: None,
    )
    cash = CashMoved(account=ACCOUNT, currency=executor.currency, amount_micro=10**9)
    runner.deliver(cash, 1)
    runner.market((InstrumentListed(instrument=instrument),), 1)
    for number in (1, 2):
        order = msgspec.structs.replace(ORDER, id=OrderId(number), instrument=instrument.id)
        executor._table.take(order, executor._table.instruments[instrument.id])
        runner._place(order, 1)
    turned = len(put)
    await runner.close()
    rejected = [(OrderId(1), OrderState.REJECTED), (OrderId(2), OrderState.REJECTED)]
    assert journal.changes() == rejected
    # What a stream still says moves the executor, and no turn ever follows.
    runner.report(OrderAccepted(account=ACCOUNT, order=OrderId(1)))
    assert journal.changes() == [*rejected, (OrderId(1), OrderState.UNKNOWN)]
    assert put[-1] == OrdersStated(ACCOUNT)  # who lives it again finds the same records
    assert Turned(ACCOUNT) not in put[turned:]
    await venue.close()


async def test_who_looks_again_only_later_sets_a_timer_and_turns_nothing() -> None:
    meter, clock = Meter(), ManualClock(10**18)
    instrument = instrument_of(identify(Listed(slug="one"), 1, 1))
    executor, _ = executor_of(AccountSettings(name="demo", venue="demo", mode=Mode.DEMO), 1)
    executor.plan(clock.now_ns())
    given = MarketMakerParameters(replan_ms_min=1_000)
    bot = Bot(
        name=BotId("maker"), account=ACCOUNT, strategy=MarketMaker(given, BotId("maker")),
        capital_micro=10**9, instruments=frozenset({instrument.id}),
    )  # fmt: skip
    bot.state = BotState.RUNNING
    desk = AccountCore(cache=MarketCache(), executor=executor, bots=(), decide=lambda _: None)
    desk.begin(clock.now_ns())
    desk.add(bot, clock.now_ns())
    venue = DemoVenue("http://127.0.0.1:9", ACCOUNT)
    runner = wired(desk, venue, clock, meter)
    executor._blocks.recovering = False  # the venue was asked
    whole = BookReplaced(
        instrument=instrument.id, bids=((4_800, 10**7),), asks=((5_200, 10**7),), exchange_ns=None
    )
    runner.market((InstrumentListed(instrument=instrument), whole), clock.now_ns())
    assert (bot.evaluations, meter.take()["turns"]) == (1, 1)
    clock.advance(1_000_000)
    for size in (1, 2, 3):
        change = BookChanged(
            instrument=instrument.id, changes=((Side.BUY, 4_800, size),), exchange_ns=None
        )
        runner.market((change,), clock.now_ns())
    assert (bot.evaluations, meter.take()["turns"]) == (1, 0)
    clock.advance(2_000_000_000)
    runner.market(
        (msgspec.structs.replace(change, changes=((Side.BUY, 4_800, 4),)),), clock.now_ns()
    )
    assert (bot.evaluations, meter.take()["turns"]) == (2, 1)
    await runner.close()
    await venue.close()


async def test_clock_that_leaps_a_year_costs_a_few_turns_and_each_timer_fires_once() -> None:
    meter, clock = Meter(), ManualClock(10**18)
    instrument = instrument_of(identify(Listed(slug="one"), 1, 1))
    executor, _ = executor_of(AccountSettings(name="demo", venue="demo", mode=Mode.DEMO), 1)
    executor.plan(clock.now_ns())
    bot = Bot(
        name=BotId("maker"), account=ACCOUNT,
        strategy=MarketMaker(MarketMakerParameters(replan_ms_min=1_000), BotId("maker")),
        capital_micro=10**9, instruments=frozenset({instrument.id}),
    )  # fmt: skip
    bot.state = BotState.RUNNING
    desk = AccountCore(cache=MarketCache(), executor=executor, bots=(), decide=lambda _: None)
    desk.begin(clock.now_ns())
    desk.add(bot, clock.now_ns())
    venue = DemoVenue("http://127.0.0.1:9", ACCOUNT)
    runner = wired(desk, venue, clock, meter)
    whole = BookReplaced(
        instrument=instrument.id, bids=((4_800, 10**7),), asks=((5_200, 10**7),), exchange_ns=None
    )
    runner.market((InstrumentListed(instrument=instrument), whole), clock.now_ns())
    evaluated, _ = bot.evaluations, meter.take()
    clock.advance(365 * 86_400 * 10**9)
    for _ in range(10):
        runner.tick()
    assert bot.evaluations - evaluated <= 1
    assert meter.take()["turns"] == 10
    assert runner._next_ns() > clock.now_ns()
    await runner.close()
    await venue.close()
