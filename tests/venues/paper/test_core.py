import msgspec
import pytest

from engine.domain.effects import PlaceOrder
from engine.domain.events import (
    BookChanged,
    BookReplaced,
    Event,
    FeedLost,
    InstrumentClosed,
    InstrumentResolved,
    OrderAccepted,
    OrderCancelled,
    ReferencePriced,
    TradePrinted,
)
from engine.domain.instruments import InstrumentId
from engine.domain.orders import CancelReason, Order
from engine.errors import BadInput, BrokenInvariant
from engine.gateway.door import Reply, Request
from engine.venues.paper.core import PaperVenue
from engine.venues.paper.market import Owned
from tests.venues.paper.world import (
    ACCOUNT,
    BINARY,
    BOOK,
    BUY,
    MARKET,
    MS,
    NO,
    SELL,
    YES,
    World,
    fresh,
    kinds,
    settings,
)

# -- latency ---------------------------------------------------------------------------------------


def test_without_latency_the_reply_comes_from_the_call() -> None:
    world = fresh()
    assert world.place(BUY, 50, 10) == [
        Reply(number=1, events=(OrderAccepted(account=ACCOUNT, order=1),))
    ]
    assert world.venue.due_ns is None


def test_an_order_is_live_after_its_latency_and_not_before() -> None:
    world = fresh(latency_ms=150)
    assert world.place(BUY, 51, 10) == []
    world.trade(51, 10, SELL)
    live_ns = world.now + 150 * MS
    assert world.until(live_ns - 1) == []
    assert kinds(world.until(live_ns)) == ["OrderAccepted"]
    world.trade(51, 4, SELL)
    assert world.filled(1) == 4


def test_the_queue_is_taken_when_the_order_becomes_live() -> None:
    world = fresh(latency_ms=150)
    world.place(BUY, 50, 10)
    world.wait(100)
    world.level(BUY, 50, 30)
    world.wait(50)
    world.trade(50, 31, SELL)
    assert world.filled(1) == 1


def test_post_only_is_judged_by_the_book_of_arrival() -> None:
    world = fresh(latency_ms=150)
    world.place(BUY, 51, 10)
    world.level(SELL, 51, 10)
    assert kinds(world.wait(150)) == ["OrderRejected"]


def test_answers_and_fills_are_received_after_the_feed_latency() -> None:
    world = fresh(latency_ms=100, feed_ms=30)
    world.place(BUY, 51, 10)
    assert world.wait(129) == []
    world.trade(51, 4, SELL)
    assert kinds(world.wait(1)) == ["OrderAccepted"]
    assert kinds(world.wait(28)) == []
    assert kinds(world.wait(1)) == ["OrderFilled"]


def test_what_is_due_happens_before_the_event_of_the_same_moment() -> None:
    world = fresh(latency_ms=150)
    world.place(BUY, 51, 10)
    world.now += 150 * MS
    outputs = world.trade(51, 10, SELL)
    assert kinds(outputs) == ["OrderAccepted", "OrderFilled"]


def test_requests_due_together_act_in_the_order_of_their_numbers() -> None:
    late = settings(latency_ms=150).model_copy(update={"cancel_latency_ms": 50})
    world = World(late)
    world.book(*BOOK)
    world.place(BUY, 50, 10)
    world.wait(100)
    world.cancel(1)
    outputs = world.wait(50)
    assert [o.number for o in outputs if isinstance(o, Reply)] == [1, 2]
    assert kinds(outputs) == ["OrderAccepted", "OrderCancelled"]


# -- the feed --------------------------------------------------------------------------------------


def test_events_of_unlisted_instruments_are_left_alone() -> None:
    world = fresh()
    other = InstrumentId("polymarket:0xbb")
    assert world.receive(BookChanged(instrument=other, changes=((BUY, 5000, 1),))) == []
    assert world.receive(TradePrinted(instrument=other, price=1, size=1, aggressor=None)) == []
    world.book({1: 1}, {2: 2}, other)
    assert other not in world.venue._matching.markets


def test_events_without_meaning_for_the_venue_are_ignored() -> None:
    world = fresh()
    assert world.receive(ReferencePriced(key="binance:btcusdt", price_e8=1)) == []
    unknown = InstrumentId("polymarket:0xbb")
    assert world.receive(InstrumentClosed(instrument=unknown)) == []
    assert (
        world.receive(InstrumentResolved(instrument=unknown, payout_yes_micro=0, source="")) == []
    )
    assert world.receive(FeedLost(feed="binance", instrument=None, reason="")) == []
    assert kinds(world.place(BUY, 50, 10)) == ["OrderAccepted"]


def test_a_lost_feed_of_the_instrument_stops_new_orders_until_a_snapshot() -> None:
    world = fresh()
    world.receive(FeedLost(feed="polymarket", instrument=MARKET, reason="silent"))
    assert kinds(world.place(BUY, 50, 10)) == ["OrderRejected"]
    world.book(*BOOK)
    assert kinds(world.place(BUY, 50, 10)) == ["OrderAccepted"]


def test_a_closed_market_receives_no_more_books() -> None:
    world = fresh()
    world.receive(InstrumentClosed(instrument=MARKET))
    world.book(*BOOK)
    world.level(BUY, 50, 5)
    assert world.venue._matching.markets[MARKET].book.bids == {}


# -- names -----------------------------------------------------------------------------------------


def test_an_identity_depends_on_account_and_id_alone() -> None:
    world = fresh()
    order = world.order(BUY, 50, 10)
    prepared = world.venue.prepare(order)
    other = msgspec.structs.replace(order, price=4_000)
    assert prepared.identity == "paper-paper:a-1" == world.venue.prepare(other).identity
    assert prepared.order is order


# -- mirrored legs ---------------------------------------------------------------------------------


def test_buying_no_queues_and_fills_as_selling_yes_at_one_minus() -> None:
    stories = []
    for side, cents, leg in ((SELL, 53, None), (BUY, 47, NO)):
        world = fresh(latency_ms=20)
        world.give(YES, 1_000)
        world.place(side, cents, 10, **({"leg": leg} if leg else {}))
        world.wait(20)
        world.trade(53, 190, BUY)
        world.level(SELL, 53, 40)
        world.level(SELL, 53, 25)
        world.trade(53, 6, BUY)
        world.trade(54, 3, BUY)
        stories.append([(f.size, world.now) for f in world.fills])
        assert all(f.price == cents * 100 for f in world.fills)
    assert stories[0] == stories[1] != []


# -- restart ---------------------------------------------------------------------------------------


def resumed(*orders: Order, yes: int = 0) -> tuple[PaperVenue, list[Event]]:
    """A venue brought up from books that know these orders as open, and what it said."""
    venue = PaperVenue(ACCOUNT, settings())
    events = venue.resume(
        cash={"USD": 5_000_000},
        owned=[Owned(BINARY, None, {YES: yes, NO: 7_000_000})],
        open_orders=[(order, order.size) for order in orders],
        fill_count=40,
    )
    return venue, events


def test_a_resumed_venue_reports_every_open_order_cancelled_and_holds_nothing_back() -> None:
    world = World()
    orders = [world.order(BUY, cents, 10) for cents in (50, 49)]
    venue, events = resumed(*reversed(orders))
    assert events == [
        OrderCancelled(account=ACCOUNT, order=n, reason=CancelReason.SESSION_LOST) for n in (1, 2)
    ]
    wallet = venue._matching.wallets["USD"]
    assert (wallet.cash, wallet.reserved, wallet.pending) == (5_000_000, 0, 0)
    assert venue._matching.markets[MARKET].funds[NO].holding.settled == 7_000_000
    assert venue.due_ns is None


def test_no_fill_is_invented_for_the_downtime() -> None:
    world = World()
    venue, _ = resumed(world.order(BUY, 51, 10))
    trade = TradePrinted(instrument=MARKET, price=5000, size=10**9, aggressor=SELL)
    assert venue.receive(trade, world.now) == []


def test_ids_stay_taken_over_a_restart() -> None:
    world = World()
    order = world.order(BUY, 51, 10)
    venue, _ = resumed(order)
    venue.receive(
        BookReplaced(instrument=MARKET, bids=((4000, 10**6),), asks=((6000, 10**6),)), world.now
    )
    request = Request(number=1, effect=PlaceOrder(order=order))
    assert kinds(venue.request(request, world.now)) == ["OrderRejected"]


def test_a_short_is_not_brought_back() -> None:
    with pytest.raises(BadInput, match="a short of what is paid for cannot be brought back"):
        resumed(yes=-1)


def test_a_used_venue_is_not_resumed() -> None:
    with pytest.raises(BrokenInvariant, match="before it is used"):
        fresh().venue.resume(cash={}, owned=(), open_orders=(), fill_count=0)


def test_the_same_inputs_give_the_same_outputs() -> None:
    def play() -> list[object]:
        world = fresh(latency_ms=7, feed_ms=3)
        for step in range(30):
            world.place(BUY, 45 + step % 6, 5 + step)
            world.trade(45 + step % 5, step, SELL)
            world.wait(4)
            world.cancel(step)
        return list(world.received)

    assert play() == play()
