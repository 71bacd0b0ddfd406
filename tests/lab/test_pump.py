"""The driver's order of things, seen by a desk, a venue and a recorder that note what they get."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from engine.bots.bot import Bot
from engine.bots.core import AccountCore
from engine.caches.markets import MarketCache
from engine.caches.views import BookView
from engine.domain.effects import (
    CancelOrders,
    Effect,
    PlaceOrder,
    QueryOpenOrders,
    RaiseAlert,
    SetTimer,
    Severity,
)
from engine.domain.events import (
    BookChanged,
    BookReplaced,
    CashMoved,
    Event,
    InstrumentClosed,
    InstrumentListed,
    InstrumentResolved,
    LatchSet,
    OrderFilled,
    OrderNamed,
    TimerFired,
    TradePrinted,
    VenueEvent,
)
from engine.domain.instruments import AccountId, BotId, Instrument, InstrumentId, Kind, Mode, Side
from engine.domain.intents import Intent
from engine.domain.orders import Identity, OrderId
from engine.domain.settings import GatewaySettings, RiskLimits
from engine.errors import BrokenInvariant
from engine.executor.executor import Executor, ExecutorSettings
from engine.executor.ledger import Ledger
from engine.gateway.core import GatewayCore
from engine.gateway.door import Request, VenueOutput
from engine.gateway.lanes import QUERIES
from engine.lab import pump as driver_module
from engine.lab.pump import JOURNALED, SILENCE_NS_MAX, Driver
from engine.risk.exposure import ExposureBook
from engine.risk.gate import Breakers, RiskGate
from engine.runtime.journal import DigestRecorder
from engine.strategies.market_maker.parameters import EAGER
from engine.strategies.registry import build
from engine.venues.paper.core import PaperVenue
from engine.venues.paper.settings import PaperSettings

MS = 1_000_000
S = 1_000 * MS
SHARE = 1_000_000
ACCOUNT = AccountId("paper:one")
ONE = InstrumentId("venue:one")
LISTED = InstrumentListed(
    instrument=Instrument(
        id=ONE, kind=Kind.BINARY, currency="USD", price_decimals=4, size_decimals=6, tick=100,
        lot=10_000, size_min=5 * SHARE, closes_ns=1_000 * S,
    )
)  # fmt: skip
VENUE_EVENTS = frozenset(VenueEvent.__args__)
Log = list[tuple[str, Any, int]]


class Named(msgspec.Struct):
    """An order's name, told the executor."""

    order: OrderId
    identity: Identity


class Noting(DigestRecorder):
    """A recorder that also notes when it was given what."""

    __slots__ = ("log",)

    def __init__(self, log: Log) -> None:
        super().__init__()
        self.log = log

    def append(self, account: str, message: msgspec.Struct, at_ns: int) -> int:
        assert account == ACCOUNT
        self.log.append(("journaled", message, at_ns))
        return super().append(account, message, at_ns)


class LoggingExecutor(Executor):
    log: Log

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        take = self.named

        def named(order: OrderId, identity: Identity, now_ns: int) -> None:
            self.log.append(("named", Named(order=order, identity=identity), now_ns))
            take(order, identity, now_ns)

        self.named = named

    def receive(self, message: Event | Intent, now_ns: int) -> list[Effect]:
        self.log.append(("executor", message, now_ns))
        return super().receive(message, now_ns)


class Asked(PaperVenue):
    log: Log

    def request(self, request: Request, now_ns: int) -> list[VenueOutput]:
        self.log.append(("asked", request.effect, now_ns))
        return super().request(request, now_ns)

    def receive(self, event: Event, now_ns: int) -> list[VenueOutput]:
        self.log.append(("venue receives", event, now_ns))
        return super().receive(event, now_ns)

    def changed(self, event: BookChanged, now_ns: int) -> None:
        self.log.append(("venue receives", event, now_ns))
        super().changed(event, now_ns)


class Receiving(AccountCore):
    log: Log

    def wake(self, view: BookView | None, event: Event, now_ns: int) -> bool:
        self.log.append(("desk receives", event, now_ns))
        return super().wake(view, event, now_ns)


class World:
    """A market maker over a paper venue; `log` has everything that passed between the parts."""

    def __init__(self, *, life_ms: int | None = None, shares: bool = True, **paper: Any) -> None:
        self.log: Log = []
        gate = RiskGate(
            limits=RiskLimits(), breakers=Breakers(RiskLimits()), exposure=ExposureBook()
        )
        executor = LoggingExecutor(
            account=ACCOUNT, mode=Mode.PAPER, currency="USD", ledger=Ledger(currency="USD"),
            gate=gate, settings=ExecutorSettings(gtd_ms=life_ms),
        )  # fmt: skip
        parameters = {
            **EAGER, "sigma_warm_s": 0, "sigma_sample_ms_min": 0, "width_vol_multiplier": 0,
            "event_jump_ticks": 0, "trend_width_multiplier": 1,
        }  # fmt: skip
        name = BotId("maker")
        bot = Bot(
            name=name, account=ACCOUNT, strategy=build("market_maker", parameters, name),
            capital_micro=10**9, everything=True,
        )  # fmt: skip
        cache = MarketCache()
        venue = Asked(ACCOUNT, PaperSettings(**paper), cache.book if shares else None)
        self.core = Receiving(cache=cache, executor=executor, bots=(bot,), decide=lambda _: None)
        for part in (executor, venue, self.core):
            part.log = self.log
        self.placed: list[PlaceOrder] = []
        self.filled: list[OrderFilled] = []
        self.driver = Driver(
            core=self.core,
            gateway=GatewayCore(account=ACCOUNT, settings=GatewaySettings()),
            venue=venue,
            recorder=Noting(self.log),
            placed=self.placed.append,
            filled=lambda event, _: self.filled.append(event),
        )
        self.driver.start(10 * S)
        self.driver.deliver(CashMoved(account=ACCOUNT, currency="USD", amount_micro=10**9), 10 * S)

    def feed(self, event: Event, at_ns: int) -> None:
        self.driver.feed(event, at_ns)

    def trade(self) -> None:
        """List, show books, print through our quotes, and close."""
        self.feed(LISTED, 11 * S)
        for number in range(60):
            at_ns = 12 * S + number * 400 * MS
            low = 4_700 + 100 * (number // 10 % 3)
            side = Side.SELL if number % 2 else Side.BUY
            price = low if side is Side.SELL else low + 500
            self.feed(
                TradePrinted(instrument=ONE, price=price, size=30 * SHARE, aggressor=side), at_ns
            )
            self.feed(
                BookReplaced(
                    instrument=ONE,
                    bids=((low, 500 * SHARE),),
                    asks=((low + 500, (500 + number) * SHARE),),
                ),
                at_ns,
            )
        self.feed(InstrumentClosed(instrument=ONE), 40 * S)
        self.feed(InstrumentResolved(instrument=ONE, payout_yes_micro=10**6, source="t"), 45 * S)
        self.driver.run_until(50 * S)

    def at(self, what: str) -> Iterator[tuple[int, Any]]:
        return ((n, message) for n, (kind, message, _) in enumerate(self.log) if kind == what)


@pytest.fixture(scope="module", params=[{}, {"order_latency_ms": 0, "cancel_latency_ms": 0}])
def traded(request: pytest.FixtureRequest) -> World:
    world = World(**request.param)
    world.trade()
    assert len(world.filled) > 5
    return world


# -- recorded before it is acted on ----------------------------------------------------------------


def _assert_journaled_before(world: World, what: str, kinds: frozenset[type]) -> None:
    acted = [(n, message) for n, message in world.at(what) if type(message) in kinds]
    journaled: dict[int, int] = {}
    for number, message in world.at("journaled"):
        journaled.setdefault(id(message), number)
    assert acted
    for number, message in acted:
        assert journaled[id(message)] < number, f"{message} was {what} before it was kept"


def test_every_request_is_recorded_before_the_venue_gets_it(traded: World) -> None:
    _assert_journaled_before(traded, "asked", QUERIES | {PlaceOrder, CancelOrders})


def test_every_report_is_recorded_before_the_executor_receives_it(traded: World) -> None:
    _assert_journaled_before(traded, "executor", VENUE_EVENTS - {OrderNamed} | {CashMoved})


def test_markets_the_books_rest_on_are_recorded_before_anyone_hears_of_them(
    traded: World,
) -> None:
    for what in ("venue receives", "desk receives", "executor"):
        _assert_journaled_before(traded, what, JOURNALED)
    kinds = [type(message) for _, message in traded.at("journaled") if type(message) in JOURNALED]
    assert kinds == [InstrumentListed, InstrumentClosed, InstrumentResolved]


def test_nothing_is_recorded_twice(traded: World) -> None:
    messages = [message for _, message in traded.at("journaled")]
    assert len({id(message) for message in messages}) == len(messages)


def test_order_is_named_then_sent_then_asked_for(traded: World) -> None:
    orders = [message.order.id for _, message in traded.at("asked") if type(message) is PlaceOrder]
    assert len(orders) > 5
    for order in orders:
        steps = [
            (kind, type(message))
            for kind, message, _ in traded.log
            if order in (getattr(message, "order", None), _number(message))
        ]
        assert steps[:3] == [
            ("journaled", PlaceOrder),
            ("named", Named),
            ("asked", PlaceOrder),
        ]
    journaled = [message for _, message in traded.at("journaled") if type(message) is PlaceOrder]
    assert {message.identity for message in journaled} == {f"paper-{ACCOUNT}-{n}" for n in orders}


def _number(message: Any) -> int | None:
    return message.order.id if type(message) is PlaceOrder else None


def test_what_is_placed_and_filled_is_handed_to_whoever_counts(traded: World) -> None:
    placed = [message for _, message in traded.at("journaled") if type(message) is PlaceOrder]
    filled = [message for _, message in traded.at("journaled") if type(message) is OrderFilled]
    assert traded.placed == placed
    assert traded.filled == filled


# -- the order of things ---------------------------------------------------------------------------


def test_venue_receives_an_event_before_the_desk_does(traded: World) -> None:
    received = [(kind, id(m)) for kind, m, _ in traded.log if kind.endswith("receives")]
    venue = [message for kind, message in received if kind == "venue receives"]
    assert [message for kind, message in received if kind == "desk receives"] == venue
    assert received[::2] == [("venue receives", message) for message in venue]


def test_fill_by_a_print_is_booked_before_the_strategy_hears_of_the_print(traded: World) -> None:
    kinds = [(kind, type(m)) for kind, m, _ in traded.log if kind in {"executor", "desk receives"}]
    first = kinds.index(("executor", OrderFilled))
    assert ("desk receives", TradePrinted) in kinds[first:]
    later = [step for step in kinds[first:] if step[0] == "desk receives"]
    assert later[0] == ("desk receives", TradePrinted)


def test_times_never_run_backwards_anywhere(traded: World) -> None:
    times = [at_ns for _, _, at_ns in traded.log]
    assert times == sorted(times)


def test_two_runs_have_one_digest() -> None:
    digests = []
    for _ in range(2):
        world = World()
        world.trade()
        digests.append(world.driver._recorder.digest())
    assert digests[0] == digests[1]


def test_latch_reaches_the_gateway_and_stops_every_place() -> None:
    world = World()
    world.feed(LISTED, 11 * S)
    world.driver.deliver(LatchSet(who="me", reason="a test"), 11 * S)
    world.trade()
    assert not [m for _, m in world.at("asked") if type(m) is PlaceOrder]


@pytest.mark.parametrize("latency_ms", [0, 250])
def test_a_venue_that_shares_the_books_of_the_desk_does_what_one_with_its_own_does(
    latency_ms: int,
) -> None:
    logs = []
    for shares in (True, False):
        world = World(shares=shares, order_latency_ms=latency_ms, cancel_latency_ms=latency_ms)
        world.trade()
        assert world.filled
        logs.append(world.log)
    assert logs[0] == logs[1]


# -- a desk and a venue of a few lines -------------------------------------------------------------


class Bare:
    """A desk that asks for what it was given, when it was given it for."""

    def __init__(self, **due: list[Effect]) -> None:
        self.plans = {int(at.removeprefix("at")): list(effects) for at, effects in due.items()}
        self.log: list[tuple[int, Any]] = []
        self.again: list[Effect] = []
        """Asked for at every turn."""
        self.cache = MarketCache()

    def start(self, now_ns: int) -> None:
        del now_ns

    @property
    def due_ns(self) -> int:
        return min(self.plans, default=1 << 62)

    def wake(self, view: BookView | None, event: Event, now_ns: int) -> bool:
        del view
        self.log.append((now_ns, event))
        return True

    def receive(self, event: Event, now_ns: int) -> None:
        self.log.append((now_ns, event))

    venue = receive

    def turn(self, now_ns: int) -> list[Effect]:
        effects = list(self.again)
        for at in sorted(at for at in self.plans if at <= now_ns):
            self.log.append((now_ns, f"due {at}"))
            effects += self.plans.pop(at)
        return effects


def bare(desk: Bare, venue: Any = None) -> Driver:
    driver = Driver(
        core=desk,  # type: ignore[arg-type]
        gateway=GatewayCore(account=ACCOUNT, settings=GatewaySettings()),
        venue=venue or PaperVenue(ACCOUNT, PaperSettings()),
        recorder=DigestRecorder(),
        placed=lambda _: None,
        filled=lambda *_: None,
    )
    driver.start(0)
    return driver


def test_what_was_due_earlier_happens_first_and_at_its_own_time() -> None:
    desk = Bare(at1=[SetTimer(at_ns=5, name="five"), SetTimer(at_ns=7, name="seven")], at6=[])
    driver = bare(desk)
    driver.feed(LISTED, 9)
    assert desk.log == [
        (1, "due 1"),
        (5, TimerFired(name="five")),
        (6, "due 6"),
        (7, TimerFired(name="seven")),
        (9, LISTED),
    ]


class Debounced(Bare):
    """A desk whose strategy, once woken by a book, must wait for seven nanoseconds."""

    def wake(self, view: BookView | None, event: Event, now_ns: int) -> bool:
        self.plans.setdefault(now_ns + 7, [])
        return super().wake(view, event, now_ns)

    def turn(self, now_ns: int) -> list[Effect]:
        self.log.append((now_ns, "turn"))
        return super().turn(now_ns)


def test_a_book_that_wakes_for_later_turns_nothing_before() -> None:
    desk = Debounced()
    driver = bare(desk)
    driver.run_until(0)
    desk.log.clear()
    event = BookChanged(instrument=ONE, changes=())
    driver.feed(event, 3)
    assert desk.log == [(3, event)]
    assert driver.due_ns == 10
    driver.run_until(10)
    assert desk.log[1:] == [(10, "turn"), (10, "due 10")]


def test_a_listing_is_turned_at_once() -> None:
    desk = Debounced()
    driver = bare(desk)
    driver.run_until(0)
    desk.log.clear()
    driver.feed(LISTED, 3)
    assert desk.log == [(3, LISTED), (3, "turn")]


def test_what_is_due_at_the_moment_of_an_event_happens_before_it() -> None:
    desk = Bare(at1=[SetTimer(at_ns=9, name="nine")], at9=[])
    driver = bare(desk)
    driver.feed(LISTED, 9)
    assert desk.log == [(1, "due 1"), (9, TimerFired(name="nine")), (9, "due 9"), (9, LISTED)]


class Ticking(Bare):
    """A desk that wants a turn every second, for ever."""

    def turn(self, now_ns: int) -> list[Effect]:
        effects = super().turn(now_ns)
        self.plans[now_ns - now_ns % S + S] = []
        return effects


@pytest.mark.parametrize("hours", [1, 24, 365 * 24])
def test_silence_is_stepped_at_its_beginning_and_the_rest_happens_once_at_its_end(
    hours: int,
) -> None:
    later = SetTimer(at_ns=SILENCE_NS_MAX + 30 * S + 1, name="later")
    desk, end_ns = Ticking(at1=[later]), hours * 3_600 * S
    driver = bare(desk)
    driver.feed(LISTED, end_ns)
    ticks = [at for at, what in desk.log if isinstance(what, str)]
    stepped = [at for at in ticks if at <= SILENCE_NS_MAX]
    assert len(stepped) == SILENCE_NS_MAX // S + 1
    assert set(ticks) - set(stepped) == {end_ns}
    assert desk.log.count((end_ns, TimerFired(name="later"))) == 1
    assert desk.log[-1] == (end_ns, LISTED)
    assert driver.due_ns == end_ns + S


def test_silence_within_the_bound_is_stepped_timer_by_timer() -> None:
    desk = Ticking(at1=[])
    driver = bare(desk)
    driver.feed(LISTED, SILENCE_NS_MAX)
    times = [at for at, what in desk.log if isinstance(what, str)]
    assert times == [1, *range(S, SILENCE_NS_MAX + S, S)]


def test_later_timer_of_the_same_name_replaces_the_earlier() -> None:
    desk = Bare(
        at1=[SetTimer(at_ns=5, name="a"), SetTimer(at_ns=6, name="b")],
        at2=[SetTimer(at_ns=8, name="a")],
        at3=[SetTimer(at_ns=4, name="b")],
    )
    driver = bare(desk)
    driver.run_until(20)
    fired = [(at, event.name) for at, event in desk.log if isinstance(event, TimerFired)]
    assert fired == [(4, "b"), (8, "a")]


def test_timer_set_twice_for_the_same_time_fires_once() -> None:
    timer = SetTimer(at_ns=5, name="a")
    desk = Bare(at1=[timer], at2=[timer])
    driver = bare(desk)
    driver.run_until(20)
    assert [at for at, event in desk.log if isinstance(event, TimerFired)] == [5]


def test_answers_of_the_venue_come_at_the_time_they_are_due() -> None:
    desk = Bare(at1=[QueryOpenOrders(account=ACCOUNT)])
    driver = bare(desk)
    driver.run_until(S)
    assert [at for at, event in desk.log if not isinstance(event, str)] == [1 + 150 * MS]


def test_more_turns_than_the_maximum_within_one_moment_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(driver_module, "TURNS_MAX", 20)
    desk = Bare()
    desk.again = [RaiseAlert(severity=Severity.INFO, kind="again", text="again")]
    driver = bare(desk)
    with pytest.raises(BrokenInvariant, match="more than 20 turns within one moment"):
        driver.feed(LISTED, 9)


def test_time_that_runs_backwards_is_refused() -> None:
    class Backwards(PaperVenue):
        due_ns = 5

        def advance(self, now_ns: int) -> list[VenueOutput]:
            del now_ns
            self.due_ns = 3
            return []

    driver = bare(Bare(), Backwards(ACCOUNT, PaperSettings()))
    with pytest.raises(BrokenInvariant, match="time ran backwards: due at 5, then at 3"):
        driver.run_until(10)


def test_alerts_are_counted_by_kind_and_a_bounded_number_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(driver_module, "ALERTS_MAX", 2)
    alert = RaiseAlert(severity=Severity.WARNING, kind="odd", text="odd")
    driver = bare(Bare(at1=[alert, alert], at2=[alert]))
    driver.run_until(5)
    assert driver.alert_counts == {"odd": 3}
    assert driver.alerts == [(1, alert), (1, alert)]


def test_alert_of_the_gateway_is_recorded_as_well() -> None:
    desk = Bare(at1=[CancelOrders(account=ACCOUNT, orders=tuple(range(1, 30)))])  # type: ignore[arg-type]
    log: Log = []
    settings = GatewaySettings(queue_max=1, cancel_batch_max=1, cancels_burst=1)
    driver = Driver(
        core=desk,  # type: ignore[arg-type]
        gateway=GatewayCore(account=ACCOUNT, settings=settings),
        venue=PaperVenue(ACCOUNT, PaperSettings()),
        recorder=Noting(log),
        placed=lambda _: None,
        filled=lambda *_: None,
    )
    driver.start(0)
    driver.run_until(5)
    assert driver.alerts
    journaled = [message for _, message, _ in log if isinstance(message, RaiseAlert)]
    assert journaled == [alert for _, alert in driver.alerts]


def test_expiring_quotes_are_renewed_on_paper_before_the_venue_ends_them() -> None:
    world = World(life_ms=240_000)
    world.feed(LISTED, 11 * S)
    book = BookReplaced(instrument=ONE, bids=((4_700, 500 * SHARE),), asks=((5_200, 500 * SHARE),))
    executor, resting = world.core.executor, []
    for at_s in range(12, 972, 4):
        world.feed(book, at_s * S)
        resting.append({known.bid for known in executor.working(ONE)})
    kinds = [type(message).__name__ for kind, message, _ in world.log if kind == "executor"]
    assert "OrderExpired" not in kinds
    orders = [one.order for one in world.placed]
    assert {(one.expires_ns or 0) - one.created_ns for one in orders} == {240 * S}
    assert len(orders) >= 2 * (960 // 152), "each side anew, a minute and a half before its time"
    assert all(resting[1:]), "never both sides at once"
