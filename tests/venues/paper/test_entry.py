import msgspec

from engine.domain.events import (
    BookDistrusted,
    InstrumentClosed,
    InstrumentListed,
    OrderAccepted,
    OrderCancelled,
    OrderFilled,
)
from engine.domain.fills import Liquidity
from engine.domain.instruments import Leg
from engine.domain.orders import CancelReason, OrderType, RejectReason
from engine.gateway.door import Reply
from tests.venues.paper.world import (
    BINARY,
    BOOK,
    BUY,
    LINEAR,
    MARKET,
    MS,
    NO,
    SELL,
    SHARE,
    SPOT,
    World,
    fresh,
    kinds,
    rejected,
    settings,
)

# -- taking ----------------------------------------------------------------------------------------


def taker_fills(world: World) -> list[tuple[int, float]]:
    return [(f.price, f.size / SHARE) for f in world.fills if f.liquidity is Liquidity.TAKER]


def test_a_fak_walks_the_book_at_its_prices_and_kills_the_rest() -> None:
    world = fresh()
    (reply,) = world.take(BUY, 53, 400)
    assert kinds([reply]) == ["OrderAccepted", "OrderFilled", "OrderFilled", "OrderCancelled"]
    assert taker_fills(world) == [(5200, 100), (5300, 200)]
    assert isinstance(reply, Reply)
    end = reply.events[-1]
    assert isinstance(end, OrderCancelled)
    assert end.reason is CancelReason.KILLED_REST
    assert world.fills[0].fee_micro == BINARY.taker_fee_micro(5200, 100 * SHARE)


def test_a_fok_is_whole_or_nothing() -> None:
    world = fresh()
    world.take(BUY, 53, 300, type=OrderType.FOK)
    assert world.filled(1) == 300
    assert kinds([world.received[-1][1]])[-1] == "OrderFilled"


def test_a_gtc_that_crosses_takes_then_rests() -> None:
    world = fresh()
    world.take(BUY, 52, 150, type=OrderType.GTC)
    assert taker_fills(world) == [(5200, 100)]
    world.level(SELL, 52, 0)
    world.trade(52, 30, SELL)
    assert world.filled(1) == 130
    assert world.fills[-1].liquidity is Liquidity.MAKER


def test_what_we_took_is_gone_until_the_level_is_refreshed() -> None:
    world = fresh()
    world.take(BUY, 52, 60)
    world.take(BUY, 52, 60)
    assert taker_fills(world) == [(5200, 60), (5200, 40)]
    world.take(BUY, 52, 60)
    assert rejected(world)[0] is RejectReason.NOT_FILLED
    world.level(SELL, 53, 5)
    world.take(BUY, 52, 60)
    assert rejected(world)[0] is RejectReason.NOT_FILLED
    world.level(SELL, 52, 20)
    world.take(BUY, 52, 60)
    assert taker_fills(world)[-1] == (5200, 20)


def test_printed_volume_is_gone_before_the_book_shows_it() -> None:
    world = fresh()
    world.trade(52, 70, BUY)
    world.take(BUY, 52, 60)
    assert taker_fills(world) == [(5200, 30)]


def test_a_snapshot_refreshes_every_level() -> None:
    world = fresh()
    world.take(BUY, 52, 100)
    world.book(*BOOK)
    world.take(BUY, 52, 100)
    assert world.filled(2) == 100


def test_a_buy_of_no_takes_the_yes_bids() -> None:
    world = fresh()
    world.take(BUY, 51, 150, leg=NO)
    assert taker_fills(world) == [(5000, 100), (5100, 50)]
    assert world.holding(NO).pending == 150 * SHARE


def test_taker_fees_are_covered_before_matching() -> None:
    world = fresh(cash=52)
    world.take(BUY, 52, 100)
    assert rejected(world)[0] is RejectReason.NO_FUNDS
    fee = BINARY.taker_fee_micro(5200, 100 * SHARE)
    rich = fresh(cash=52 + fee / 1e6)
    rich.take(BUY, 52, 100)
    assert rich.wallet().cash == 0


def test_a_linear_taker_pays_and_settles_at_once() -> None:
    world = World(settings(), SPOT)
    world.book({99: 10}, {100: 10}, LINEAR)
    world.take(BUY, 100, 4, leg=Leg.BASE, instrument=LINEAR)
    (fill,) = world.fills
    assert fill.state == "confirmed"
    assert fill.fee_micro == 400_000
    assert world.wallet("USDT").cash == 1_000_000_000 - 400_000_000 - 400_000
    assert world.holding(Leg.BASE, LINEAR).settled == 4 * SHARE
    assert world.venue.due_ns is None


# -- the venue's delay -----------------------------------------------------------------------------


def delayed(**kwargs: object) -> World:
    world = fresh(**kwargs)
    slow = msgspec.structs.replace(BINARY, taker_delay_ns=250 * MS)
    world.receive(InstrumentListed(instrument=slow))
    return world


def test_a_marketable_order_is_delayed_then_matched_against_the_later_book() -> None:
    world = delayed()
    assert kinds(world.take(BUY, 53, 150)) == ["OrderDelayed"]
    world.level(SELL, 52, 0)
    assert world.wait(249) == []
    later = world.wait(1)
    assert kinds(later) == ["OrderAccepted", "OrderFilled"]
    assert not any(isinstance(output, Reply) for output in later)
    assert taker_fills(world) == [(5300, 150)]


def test_a_delayed_gtc_rests_when_the_book_left() -> None:
    world = delayed()
    world.take(BUY, 52, 150, type=OrderType.GTC)
    world.level(SELL, 52, 0)
    assert kinds(world.wait(250)) == ["OrderAccepted"]
    world.trade(52, 20, SELL)
    assert world.filled(1) == 20


def test_a_delayed_fak_is_killed_when_the_book_left() -> None:
    world = delayed()
    world.take(BUY, 52, 150)
    world.level(SELL, 52, 0)
    world.wait(250)
    assert rejected(world)[0] is RejectReason.NOT_FILLED
    assert world.wallet().reserved == 0


def test_a_delayed_order_takes_nothing_from_a_book_that_tore_meanwhile() -> None:
    world = delayed()
    world.take(BUY, 52, 10)
    world.receive(BookDistrusted(instrument=MARKET, reason="hash"))
    world.wait(250)
    assert taker_fills(world) == []
    assert rejected(world)[0] is RejectReason.NOT_FILLED
    assert world.wallet().reserved == 0


def test_a_delayed_order_cannot_be_cancelled() -> None:
    world = delayed()
    world.take(BUY, 52, 10)
    assert kinds(world.cancel(1)) == ["CancelRefused"]
    assert kinds(world.cancel_all()) == ["CancelRefused"]
    world.wait(250)
    assert world.filled(1) == 10


def test_the_accounts_own_delay_is_added() -> None:
    world = delayed(taker_ms=50)
    world.take(BUY, 52, 10)
    assert world.wait(299) == []
    assert kinds(world.wait(1)) == ["OrderAccepted", "OrderFilled"]


def test_a_post_only_order_is_never_delayed() -> None:
    world = delayed()
    assert kinds(world.place(BUY, 51, 10)) == ["OrderAccepted"]


def test_a_delayed_order_of_a_closing_market_is_cancelled() -> None:
    world = delayed()
    world.take(BUY, 52, 10)
    assert kinds(world.receive(InstrumentClosed(instrument=MARKET))) == ["OrderCancelled"]
    assert world.wait(250) == []


# -- good till date --------------------------------------------------------------------------------


def test_a_gtd_expires_at_its_time_and_frees_its_funds() -> None:
    world = fresh()
    world.place(BUY, 40, 10, type=OrderType.GTD, expires_ns=world.now + 500 * MS)
    assert world.wait(499) == []
    assert kinds(world.wait(1)) == ["OrderExpired"]
    assert world.wallet().reserved == 0


def test_a_cancelled_gtd_does_not_expire() -> None:
    world = fresh()
    world.place(BUY, 40, 10, type=OrderType.GTD, expires_ns=world.now + 500 * MS)
    world.cancel(1)
    assert world.wait(1_000) == []


def test_polymarket_removes_a_gtd_a_minute_early() -> None:
    early = settings().model_copy(update={"gtd_early_ms": 60_000})
    world = World(early)
    world.book(*BOOK)
    world.place(BUY, 40, 10, type=OrderType.GTD, expires_ns=world.now + 60_000 * MS)
    assert rejected(world) == (RejectReason.EXPIRY, "invalid expiration")
    world.place(BUY, 40, 10, type=OrderType.GTD, expires_ns=world.now + 60_001 * MS)
    assert kinds(world.wait(1)) == ["OrderExpired"]


def test_a_delayed_gtd_that_expired_meanwhile_is_not_matched() -> None:
    world = delayed()
    world.take(BUY, 52, 10, type=OrderType.GTD, expires_ns=world.now + 100 * MS)
    assert kinds(world.wait(250)) == ["OrderExpired"]
    assert world.fills == []


def test_accepted_comes_before_its_fills() -> None:
    world = fresh()
    (reply,) = world.take(BUY, 52, 10)
    assert isinstance(reply, Reply)
    assert [type(e) for e in reply.events] == [OrderAccepted, OrderFilled]
