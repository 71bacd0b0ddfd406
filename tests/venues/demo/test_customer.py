"""One account behind the venues' door."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from engine.domain.effects import (
    AnyEffect,
    CancelAll,
    CancelOrders,
    CancelScope,
    PlaceOrder,
    QueryBalances,
    QueryFills,
    QueryOpenOrders,
    QueryOrder,
    SetTimer,
)
from engine.domain.events import (
    BalancesListed,
    BookProven,
    CancelRefused,
    Event,
    FillAdvanced,
    FillSettled,
    FillsListed,
    FillVoided,
    ModeChanged,
    OpenOrdersListed,
    OrderAccepted,
    OrderCancelled,
    OrderDelayed,
    OrderExpired,
    OrderFilled,
    OrderNotFound,
    OrderNotSent,
    OrderRejected,
    OrderReported,
    PositionsListed,
    QueryFailed,
    VenueMode,
)
from engine.domain.fills import FillState, Liquidity
from engine.domain.instruments import AccountId, BotId, InstrumentId, Leg, Side
from engine.domain.orders import (
    CancelReason,
    Order,
    OrderId,
    OrderState,
    OrderType,
    RejectReason,
)
from engine.errors import AuthRefused, BrokenInvariant, ConfigError
from engine.gateway.door import Reply, Request, VenueCore, VenueOutput
from engine.venues.demo.accounts import Rules
from engine.venues.demo.exchange import DemoExchange
from engine.venues.demo.profiles import THIN
from engine.venues.demo.world import open_world
from tests.venues.demo.builders import (
    ANN,
    BOB,
    CENT,
    COIN,
    SHARE,
    START,
    USD,
    S,
    buy_no,
    buy_yes,
    exchange,
    put,
    sound,
)
from tests.venues.demo.customer import RETRY_AFTER_NS, DemoCustomer

LATENCY = 20_000_000
BOT = BotId("bot")


class Desk:
    """A customer with a hand for making requests."""

    def __init__(self, made: DemoExchange | None = None, **changes: Any) -> None:
        self.exchange = made or exchange(**changes)
        self.core = DemoCustomer(self.exchange, ANN, latency_ns=LATENCY)
        self.now_ns = self.exchange.now_ns
        self.number = 0

    def ask(self, effect: AnyEffect) -> Reply:
        """Make a request and wait for its reply; it must be the first thing to come back."""
        self.number += 1
        request = Request(number=self.number, effect=effect)
        assert self.core.request(request, self.now_ns) == []
        (reply, *rest) = self.wait(2 * LATENCY)
        assert isinstance(reply, Reply)
        assert reply.number == self.number
        self.later = rest
        return reply

    def wait(self, duration_ns: int) -> list[VenueOutput]:
        self.now_ns += duration_ns
        return self.core.advance(self.now_ns)

    def place(self, order: Order) -> tuple[Event, ...]:
        return self.ask(PlaceOrder(order=order)).events


def order(number: int = 1, cents: int = 50, shares: int = 10, **changes: Any) -> Order:
    values: dict[str, Any] = {
        "account": ANN,
        "id": OrderId(number),
        "bot": BOT,
        "instrument": COIN,
        "leg": Leg.YES,
        "side": Side.BUY,
        "price": cents * CENT,
        "size": shares * SHARE,
        "post_only": False,
        "created_ns": START,
    }
    return Order(**(values | changes))


def test_it_is_a_venue_core() -> None:
    core: VenueCore = Desk().core
    assert core.account() == ANN
    assert core.receive(BookProven(instrument=COIN), START) == []


def test_the_same_order_has_the_same_name_and_bytes() -> None:
    first, second = Desk().core, Desk().core
    assert first.prepare(order()) == second.prepare(order())
    assert first.prepare(order()).identity == first.identity(OrderId(1)) == "demo-ann-1"
    assert first.prepare(order(2)).payload != first.prepare(order()).payload


def test_a_reply_takes_the_way_there_and_back() -> None:
    desk = Desk()
    request = Request(number=1, effect=PlaceOrder(order=order()))
    desk.core.request(request, desk.now_ns)
    assert desk.core.due_ns == desk.now_ns + LATENCY
    assert desk.wait(LATENCY) == []
    assert len(desk.exchange.open_orders(ANN)) == 1
    assert desk.core.due_ns == desk.now_ns + LATENCY
    assert desk.wait(LATENCY - 1) == []
    accepted = OrderAccepted(account=ANN, order=OrderId(1))
    assert desk.wait(1) == [Reply(number=1, events=(accepted,))]


def test_without_latency_a_request_is_answered_at_once() -> None:
    made = exchange()
    core = DemoCustomer(made, ANN, latency_ns=0)
    request = Request(number=1, effect=PlaceOrder(order=order()))
    assert [type(output) for output in core.request(request, made.now_ns)] == [Reply]


def test_a_match_is_accepted_then_filled_then_settled() -> None:
    desk = Desk()
    put(desk.exchange, BOB, buy_no("b", 50, 10))
    (accepted,) = desk.place(order())
    assert isinstance(accepted, OrderAccepted)
    (filled,) = desk.later
    assert filled == OrderFilled(
        account=ANN,
        order=OrderId(1),
        fill=filled.fill,
        price=50 * CENT,
        size=10 * SHARE,
        fee_micro=175_000,
        liquidity=Liquidity.TAKER,
    )
    moved = desk.wait(10 * S)
    assert moved == [
        FillAdvanced(account=ANN, fill=filled.fill, state=FillState.MINED),
        FillSettled(account=ANN, fill=filled.fill),
    ]


def test_a_failed_settlement_is_a_voided_fill() -> None:
    desk = Desk()
    desk.exchange.settlement.forced.append(FillState.FAILED)
    put(desk.exchange, BOB, buy_no("b", 50, 10))
    desk.place(order())
    advanced, voided = desk.wait(10 * S)
    assert isinstance(advanced, FillAdvanced)
    assert advanced.state is FillState.RETRYING
    assert isinstance(voided, FillVoided)
    (listed,) = desk.ask(QueryFills(account=ANN, since_ns=0)).events
    assert isinstance(listed, FillsListed)
    assert [fill.state for fill in listed.fills] == [FillState.FAILED]


def test_a_maker_fill_comes_unasked() -> None:
    desk = Desk()
    desk.place(order())
    put(desk.exchange, BOB, buy_no("b", 50, 6))
    (filled,) = desk.wait(LATENCY)
    assert isinstance(filled, OrderFilled)
    assert (filled.liquidity, filled.size, filled.fee_micro) == (Liquidity.MAKER, 6 * SHARE, 0)


def test_a_rejection_has_the_venues_words() -> None:
    (rejected,) = Desk().place(order(cents=50, shares=1))
    assert rejected == OrderRejected(
        account=ANN,
        order=OrderId(1),
        reason=RejectReason.BELOW_MIN,
        venue_text="order demo-ann-1 is invalid. Size (1) lower than the minimum: 5",
    )


def test_the_rest_of_a_fak_is_cancelled_after_its_fill() -> None:
    desk = Desk()
    put(desk.exchange, BOB, buy_no("b", 50, 6))
    desk.place(order(type=OrderType.FAK))
    filled, killed = desk.later
    assert isinstance(filled, OrderFilled)
    assert killed == OrderCancelled(account=ANN, order=OrderId(1), reason=CancelReason.KILLED_REST)


def test_a_held_order_is_delayed_then_accepted_where_it_rests() -> None:
    desk = Desk(taker_delay_ns=250_000_000)
    put(desk.exchange, BOB, buy_no("b", 50, 10))
    assert desk.place(order()) == (OrderDelayed(account=ANN, order=OrderId(1)),)
    (refused,) = desk.ask(CancelOrders(account=ANN, orders=(OrderId(1),))).events
    assert isinstance(refused, CancelRefused)
    desk.exchange.cancel(BOB, buy_no("b", 50, 10).identity, desk.exchange.now_ns)
    assert desk.wait(S) == [OrderAccepted(account=ANN, order=OrderId(1))]


def test_a_cancel_is_told_once() -> None:
    desk = Desk()
    desk.place(order(1))
    reply = desk.ask(CancelOrders(account=ANN, orders=(OrderId(1), OrderId(2))))
    assert reply.events == (
        OrderCancelled(account=ANN, order=OrderId(1)),
        CancelRefused(
            account=ANN, order=OrderId(2), venue_text="Order not found or already canceled"
        ),
    )
    assert desk.wait(S) == []


@pytest.mark.parametrize(
    "asked", [CancelOrders(account=ANN, orders=(OrderId(1),)), CancelAll(account=ANN)]
)
def test_a_cancel_tells_first_how_much_was_filled_before_it(
    asked: CancelOrders | CancelAll,
) -> None:
    desk = Desk()
    desk.place(order(1))
    put(desk.exchange, BOB, buy_no("b", 50, 6))
    desk.wait(LATENCY)
    reported, cancelled = desk.ask(asked).events
    assert isinstance(reported, OrderReported)
    assert (reported.report.filled, reported.report.state) == (6 * SHARE, OrderState.CANCELLED)
    assert cancelled == OrderCancelled(account=ANN, order=OrderId(1))


def test_cancel_all_covers_its_scope_and_leaves_other_keys_alone() -> None:
    desk = Desk()
    desk.place(order(1))
    desk.place(order(2, bot=BotId("other")))
    put(desk.exchange, ANN, buy_yes("by-hand", 40, 5))
    by_bot = desk.ask(CancelAll(account=ANN, scope=CancelScope(bot=BOT))).events
    assert [event.order for event in by_bot] == [1]
    elsewhere = CancelScope(instrument=InstrumentId("demo:other"))
    assert desk.ask(CancelAll(account=ANN, scope=elsewhere)).events == ()
    assert [event.order for event in desk.ask(CancelAll(account=ANN)).events] == [2]
    (listed,) = desk.ask(QueryOpenOrders(account=ANN)).events
    assert isinstance(listed, OpenOrdersListed)
    (foreign,) = listed.orders
    assert (foreign.identity, foreign.order, foreign.ours) == ("by-hand", None, False)


def test_an_order_the_house_forgot_is_still_ours() -> None:
    made = exchange()
    DemoCustomer(made, ANN, latency_ns=0).request(
        Request(number=1, effect=PlaceOrder(order=order(77))), made.now_ns
    )
    desk = Desk(made)
    (listed,) = desk.ask(QueryOpenOrders(account=ANN)).events
    assert [(report.order, report.ours) for report in listed.orders] == [(77, True)]


def test_questions_are_answered() -> None:
    desk = Desk()
    put(desk.exchange, BOB, buy_no("b", 50, 6))
    desk.place(order())
    desk.wait(10 * S)
    (reported,) = desk.ask(QueryOrder(account=ANN, order=OrderId(1))).events
    assert isinstance(reported, OrderReported)
    assert reported.report.state is OrderState.PARTIAL
    assert (reported.report.filled, reported.report.size) == (6 * SHARE, 10 * SHARE)
    assert desk.ask(QueryOrder(account=ANN, order=OrderId(9))).events == (
        OrderNotFound(account=ANN, order=OrderId(9)),
    )
    (fills,) = desk.ask(QueryFills(account=ANN, since_ns=START)).events
    assert [fill.state for fill in fills.fills] == [FillState.CONFIRMED]
    cash, holdings = desk.ask(QueryBalances(account=ANN)).events
    assert cash == BalancesListed(account=ANN, cash_micro={"pUSD": 997 * USD - 105_000})
    assert holdings == PositionsListed(account=ANN, holdings=((COIN, Leg.YES, 6 * SHARE),))


def test_fills_of_another_key_are_not_ours() -> None:
    desk = Desk()
    put(desk.exchange, BOB, buy_no("b", 50, 6))
    put(desk.exchange, ANN, buy_yes("by-hand", 50, 6))
    put(desk.exchange, ANN, buy_yes("demo-ann-5", 50, 6, key="other"))
    put(desk.exchange, BOB, buy_no("c", 50, 6))
    assert desk.wait(20 * S) == []
    (fills,) = desk.ask(QueryFills(account=ANN, since_ns=0)).events
    assert fills.fills == ()


def test_forgotten_fills_fail_the_question() -> None:
    rules = Rules(gtd_min_ns=0, gtd_early_ns=0, fills_kept_max=2)
    desk = Desk(rules=rules)
    for number in range(4):
        put(desk.exchange, BOB, buy_no(f"b{number}", 50, 5))
        desk.place(order(number, shares=5))
    (failed,) = desk.ask(QueryFills(account=ANN, since_ns=0)).events
    assert isinstance(failed, QueryFailed)
    assert (failed.question, failed.order) == ("QueryFills", None)


def test_an_expiry_is_told() -> None:
    desk = Desk()
    desk.place(order(type=OrderType.GTD, expires_ns=desk.now_ns + 5 * S))
    assert desk.wait(5 * S) == [OrderExpired(account=ANN, order=OrderId(1))]


def test_a_closed_venue_takes_no_place_and_asks_to_cancel_again() -> None:
    desk = Desk()
    desk.place(order(1))
    desk.exchange.guard.switch(VenueMode.RESTARTING)
    switched = ModeChanged(account=ANN, mode=VenueMode.RESTARTING)
    assert desk.wait(LATENCY) == [switched]
    mode, unsent = desk.place(order(2))
    assert mode == switched
    assert isinstance(unsent, OrderNotSent)
    for effect in (
        CancelAll(account=ANN),
        CancelOrders(account=ANN, orders=(OrderId(1),)),
        QueryOpenOrders(account=ANN),
    ):
        reply = desk.ask(effect)
        assert (reply.events, reply.retry_after_ns) == ((switched,), RETRY_AFTER_NS)
    desk.exchange.guard.switch(VenueMode.OPEN)
    assert desk.wait(LATENCY) == [ModeChanged(account=ANN, mode=VenueMode.OPEN)]
    assert len(desk.ask(CancelAll(account=ANN)).events) == 1


def test_heartbeats_keep_orders_and_silence_cancels_them() -> None:
    desk = Desk()
    desk.core.send_heartbeat(desk.now_ns)
    desk.place(order())
    for _ in range(5):
        assert desk.wait(5 * S) == []
        desk.core.send_heartbeat(desk.now_ns)
    received = desk.wait(20 * S)
    assert received == [
        OrderCancelled(account=ANN, order=OrderId(1), reason=CancelReason.HEARTBEAT)
    ]


def test_a_new_holder_of_a_key_goes_on_with_its_beat() -> None:
    desk = Desk()
    desk.core.send_heartbeat(desk.now_ns)
    desk.wait(S)
    again = Desk(desk.exchange)
    again.place(order())
    for _ in range(6):
        again.core.send_heartbeat(again.now_ns)
        assert again.wait(5 * S) == []


def test_a_market_that_ends_cancels_and_says_why() -> None:
    desk = Desk()
    desk.place(order())
    desk.exchange.listing.resolve(COIN, USD, "referee")
    assert desk.wait(LATENCY) == [
        OrderCancelled(account=ANN, order=OrderId(1), reason=CancelReason.MARKET_CLOSED)
    ]


def test_what_is_not_its_business_is_refused() -> None:
    for effect in (SetTimer(at_ns=1, name="x"), CancelAll(account=BOB)):
        with pytest.raises(BrokenInvariant):
            Desk().ask(effect)
    with pytest.raises(BrokenInvariant):
        Desk().place(order(account=BOB))
    made = exchange()
    with pytest.raises(AuthRefused):
        DemoCustomer(made, AccountId("nobody"))
    made.open_account(AccountId("quiet"), 0, listening=False)
    with pytest.raises(ConfigError):
        DemoCustomer(made, AccountId("quiet"))


def test_queues_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.venues.demo.customer.REQUESTS_MAX", 1)
    desk = Desk()
    desk.core.send_heartbeat(desk.now_ns)
    with pytest.raises(BrokenInvariant):
        desk.core.send_heartbeat(desk.now_ns)
    monkeypatch.setattr("tests.venues.demo.customer.OUTPUTS_MAX", 0)
    with pytest.raises(BrokenInvariant):
        Desk().ask(CancelAll(account=ANN))


def test_two_customers_share_one_world() -> None:
    made = open_world(THIN, rng=Random(3), now_ns=START)
    cores = []
    for name in (ANN, BOB):
        made.open_account(name, 1_000 * USD)
        cores.append(DemoCustomer(made, name, latency_ns=LATENCY))
    running = next(name for name, market in made.order_entry.markets.items() if market.proof)
    now_ns, replies = made.now_ns, 0
    for step in range(600):
        for core in cores:
            intent = order(step + 1, cents=1, account=core.account(), instrument=running)
            if step < 100:
                request = Request(number=step, effect=PlaceOrder(order=intent))
                replies += len(core.request(request, now_ns))
            replies += sum(type(output) is Reply for output in core.advance(now_ns))
        now_ns = min(core.due_ns or now_ns for core in cores)
    assert replies >= 200
    sound(made)
