import msgspec
import pytest

from engine.domain.effects import PlaceOrder
from engine.domain.events import (
    BookChanged,
    FeedLost,
    InstrumentClosed,
    InstrumentResolved,
    OrderAccepted,
    OrderCancelled,
    OrderFilled,
    ReferencePriced,
    TradePrinted,
)
from engine.domain.instruments import InstrumentId
from engine.domain.orders import CancelReason
from engine.errors import BrokenInvariant
from engine.gateway.door import Lane, Reply, Request
from engine.venues.paper.core import PaperVenue
from tests.venues.paper.world import (
    ACCOUNT,
    BUY,
    MARKET,
    MS,
    NO,
    SELL,
    YES,
    World,
    kinds,
    settings,
)

BOOK = ({50: 100, 49: 200}, {52: 100, 53: 200})


def fresh(**kwargs: object) -> World:
    world = World(settings(**kwargs))
    world.book(*BOOK)
    return world


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


def test_answers_and_fills_are_heard_after_the_feed_latency() -> None:
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


def test_events_of_unlisted_instruments_are_counted_and_left_alone() -> None:
    world = fresh()
    other = InstrumentId("polymarket:0xbb")
    world.hear(BookChanged(instrument=other, changes=((BUY, 5000, 1),)))
    world.hear(TradePrinted(instrument=other, price=1, size=1, aggressor=None))
    world.book({1: 1}, {2: 2}, other)
    assert world.venue.audit.orphans == 3


def test_events_without_meaning_for_the_venue_are_ignored() -> None:
    world = fresh()
    assert world.hear(ReferencePriced(key="binance:btcusdt", price_e8=1)) == []
    unknown = InstrumentId("polymarket:0xbb")
    assert world.hear(InstrumentClosed(instrument=unknown)) == []
    assert world.hear(InstrumentResolved(instrument=unknown, payout_yes_micro=0, source="")) == []
    assert world.hear(FeedLost(feed="binance", instrument=None, reason="")) == []
    assert kinds(world.place(BUY, 50, 10)) == ["OrderAccepted"]


def test_a_lost_feed_of_the_instrument_stops_new_orders_until_a_snapshot() -> None:
    world = fresh()
    world.hear(FeedLost(feed="polymarket", instrument=MARKET, reason="silent"))
    assert kinds(world.place(BUY, 50, 10)) == ["OrderRejected"]
    world.book(*BOOK)
    assert kinds(world.place(BUY, 50, 10)) == ["OrderAccepted"]


def test_a_closed_market_hears_no_more_books() -> None:
    world = fresh()
    world.hear(InstrumentClosed(instrument=MARKET))
    world.book(*BOOK)
    world.level(BUY, 50, 5)
    assert world.venue._floor.markets[MARKET].book.bids == {}


# -- names -----------------------------------------------------------------------------------------


def test_an_identity_depends_on_account_and_id_alone() -> None:
    world = fresh()
    order = world.order(BUY, 50, 10)
    prepared = world.venue.prepare(order)
    other = msgspec.structs.replace(order, price=4_000)
    assert prepared.identity == "paper-paper:a-1" == world.venue.prepare(other).identity
    assert msgspec.msgpack.decode(prepared.payload, type=type(order)) == order


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


def test_a_lost_session_reports_every_open_order_cancelled() -> None:
    world = fresh(latency_ms=150)
    for cents in (50, 49):
        world.place(BUY, cents, 10)
    world.wait(150)
    world.place(BUY, 48, 10)
    outputs = world.venue.session_lost(world.now)
    assert outputs == [
        OrderCancelled(account=ACCOUNT, order=n, reason=CancelReason.SESSION_LOST) for n in (1, 2)
    ]
    assert world.wait(1_000) == []
    assert world.purse().reserved == 0


def test_a_restored_venue_knows_money_tokens_orders_and_settlements() -> None:
    world = fresh(latency_ms=10, feed_ms=5)
    world.place(BUY, 51, 10)
    world.wait(15)
    world.trade(51, 4, SELL)
    world.give(NO, 7)
    twin = PaperVenue(ACCOUNT, settings(latency_ms=10, feed_ms=5))
    twin.restore(world.venue.state())
    assert twin.state() == world.venue.state()
    assert twin._floor.purses["USD"].reserved == world.purse().reserved
    lost = twin.session_lost(world.now)
    assert kinds(lost) == ["OrderFilled", "OrderCancelled"]
    assert isinstance(lost[0], OrderFilled)
    assert twin._floor.purses["USD"].reserved == 0
    assert kinds(twin.advance(world.now + 2_005 * MS)) == ["FillSettled"]
    assert twin._floor.markets[MARKET].pockets[NO].holding.settled == 7_000_000


def test_no_fill_is_invented_for_the_downtime() -> None:
    world = fresh()
    world.place(BUY, 51, 10)
    twin = PaperVenue(ACCOUNT, settings())
    twin.restore(world.venue.state())
    trade = TradePrinted(instrument=MARKET, price=5000, size=10**9, aggressor=SELL)
    assert twin.hear(trade, world.now) == []
    assert kinds(twin.session_lost(world.now)) == ["OrderCancelled"]


def test_settlements_due_in_the_downtime_are_told_at_once() -> None:
    world = fresh()
    world.place(BUY, 51, 10)
    world.trade(51, 10, SELL)
    twin = PaperVenue(ACCOUNT, settings())
    twin.restore(world.venue.state())
    assert kinds(twin.session_lost(world.now + 3_600_000 * MS)) == ["FillSettled"]


def test_ids_stay_taken_over_a_restart() -> None:
    world = fresh()
    order = world.order(BUY, 51, 10)
    world.ask(PlaceOrder(order=order))
    twin = PaperVenue(ACCOUNT, settings())
    twin.restore(world.venue.state())
    twin.session_lost(world.now)
    twin.hear(
        BookChanged(instrument=MARKET, changes=((BUY, 4000, 10**6), (SELL, 6000, 10**6))),
        world.now,
    )
    request = Request(number=1, lane=Lane.PLACES, effect=PlaceOrder(order=order))
    assert kinds(twin.request(request, world.now)) == ["OrderRejected"]


def test_a_used_venue_is_not_restored() -> None:
    world = fresh()
    with pytest.raises(BrokenInvariant, match="before it is used"):
        world.venue.restore(world.venue.state())


def test_the_same_inputs_give_the_same_outputs() -> None:
    def play() -> list[object]:
        world = fresh(latency_ms=7, feed_ms=3)
        for step in range(30):
            world.place(BUY, 45 + step % 6, 5 + step)
            world.trade(45 + step % 5, step, SELL)
            world.wait(4)
            world.cancel(step)
        return [*world.heard, world.venue.state()]

    assert play() == play()
