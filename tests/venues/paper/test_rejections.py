import pytest

from engine.domain.effects import PlaceOrder
from engine.domain.events import (
    BookDistrusted,
    InstrumentClosed,
)
from engine.domain.instruments import InstrumentId, Leg
from engine.domain.orders import OrderType, RejectReason
from tests.venues.paper.world import (
    BOOK,
    BUY,
    MARKET,
    SELL,
    YES,
    World,
    fresh,
    kinds,
    rejected,
)

# -- rejections ------------------------------------------------------------------------------------

NO_BALANCE = "not enough balance / allowance: the balance is not enough -> "
REJECTIONS = [
    (
        "post-only that crosses",
        {"side": BUY, "cents": 52, "shares": 10},
        RejectReason.WOULD_CROSS,
        "invalid post-only order: order crosses book",
    ),
    (
        "below the minimum",
        {"side": BUY, "cents": 40, "shares": 4.5},
        RejectReason.BELOW_MIN,
        "order paper-paper:a-1 is invalid. Size (4.5) lower than the minimum: 5",
    ),
    (
        "off tick",
        {"side": BUY, "cents": 40.5, "shares": 10},
        RejectReason.OFF_TICK,
        "order paper-paper:a-1 is invalid. Price (0.405) breaks minimum tick size rule: 0.01",
    ),
    (
        "out of range",
        {"side": BUY, "cents": 100, "shares": 10},
        RejectReason.OFF_TICK,
        "order paper-paper:a-1 is invalid. Price (1) breaks minimum tick size rule: 0.01",
    ),
    (
        "finer than a lot",
        {"side": BUY, "cents": 40, "shares": 10.005},
        RejectReason.OTHER,
        "invalid amounts, the buy orders maker amount supports a max accuracy of 4 decimals, "
        "taker amount a max of 2 decimals",
    ),
    (
        "unknown instrument",
        {"side": BUY, "cents": 40, "shares": 10, "instrument": InstrumentId("polymarket:0xbb")},
        RejectReason.OTHER,
        "No orderbook exists for the requested token id",
    ),
    (
        "expired GTD",
        {"side": BUY, "cents": 40, "shares": 10, "type": OrderType.GTD, "expires_ns": 5},
        RejectReason.EXPIRY,
        "invalid expiration",
    ),
    (
        "GTD without an expiry",
        {"side": BUY, "cents": 40, "shares": 10, "type": OrderType.GTD},
        RejectReason.EXPIRY,
        "invalid expiration",
    ),
    (
        "more than free cash",
        {"side": BUY, "cents": 40, "shares": 2_500.01},
        RejectReason.NO_FUNDS,
        NO_BALANCE + "balance: 1000000000, sum of matched orders: 0, order amount: 1000004000",
    ),
    (
        "selling what is not there",
        {"side": SELL, "cents": 60, "shares": 10},
        RejectReason.NO_FUNDS,
        NO_BALANCE + "balance: 0, sum of matched orders: 0, order amount: 10000000",
    ),
    (
        "post-only FAK",
        {"side": BUY, "cents": 40, "shares": 10, "type": OrderType.FAK},
        RejectReason.OTHER,
        "Invalid order payload",
    ),
    (
        "a leg the instrument does not have",
        {"side": BUY, "cents": 40, "shares": 10, "leg": Leg.BASE},
        RejectReason.OTHER,
        "Invalid order payload",
    ),
    (
        "FAK that meets nothing",
        {"side": BUY, "cents": 51, "shares": 10, "type": OrderType.FAK, "post_only": False},
        RejectReason.NOT_FILLED,
        "no orders found to match with FAK order. FAK orders are partially filled or killed if "
        "no match is found.",
    ),
    (
        "FOK larger than the book",
        {"side": BUY, "cents": 52, "shares": 101, "type": OrderType.FOK, "post_only": False},
        RejectReason.NOT_FILLED,
        "order couldn't be fully filled. FOK orders are fully filled or killed.",
    ),
    (
        "marketable below one dollar",
        {"side": BUY, "cents": 10, "shares": 9.9, "type": OrderType.FAK, "post_only": False},
        RejectReason.BELOW_MIN,
        "invalid amount for a marketable BUY order ($0.99), min size: $1",
    ),
]


@pytest.mark.parametrize(("what", "order", "reason", "text"), REJECTIONS, ids=lambda v: str(v)[:30])
def test_the_venue_rejects_in_its_own_words(
    what: str, order: dict[str, object], reason: RejectReason, text: str
) -> None:
    world = fresh()
    if "marketable below" in what:
        world.book({5: 100}, {9: 100})
    world.place(**order)
    assert rejected(world) == (reason, text)
    assert world.wallet().reserved == 0
    assert world.venue._matching.open == {}


def test_an_order_id_is_taken_once() -> None:
    world = fresh()
    order = world.order(BUY, 40, 10)
    world.ask(PlaceOrder(order=order))
    world.ask(PlaceOrder(order=order))
    assert rejected(world) == (
        RejectReason.DUPLICATE,
        "order paper-paper:a-1 is invalid. Duplicated.",
    )
    world.cancel(1)
    world.ask(PlaceOrder(order=order))
    assert rejected(world)[0] is RejectReason.DUPLICATE


def test_a_closed_market_has_no_orderbook() -> None:
    world = fresh()
    world.receive(InstrumentClosed(instrument=MARKET))
    world.place(BUY, 40, 10)
    assert rejected(world) == (
        RejectReason.MARKET_CLOSED,
        "No orderbook exists for the requested token id",
    )


@pytest.mark.parametrize("torn", [False, True])
def test_without_a_trusted_book_the_market_is_not_ready(torn: bool) -> None:
    world = World()
    if torn:
        world.book(*BOOK)
        world.receive(BookDistrusted(instrument=MARKET, reason="hash"))
    world.place(BUY, 40, 10)
    assert rejected(world)[1] == "the market is not yet ready to process new orders"
    world.book(*BOOK)
    world.place(BUY, 40, 10)
    assert kinds([world.received[-1][1]]) == ["OrderAccepted"]


def test_funds_are_held_per_order_and_freed_by_cancel() -> None:
    world = fresh(cash=10)
    world.place(BUY, 40, 20)
    world.place(BUY, 40, 5.01)
    assert rejected(world)[0] is RejectReason.NO_FUNDS
    world.place(BUY, 40, 5)
    assert kinds([world.received[-1][1]]) == ["OrderAccepted"]
    world.cancel(1, 3)
    assert world.wallet().reserved == 0
    assert world.wallet().free == 10_000_000


def test_tokens_are_held_per_sell() -> None:
    world = fresh()
    world.give(YES, 15)
    world.place(SELL, 60, 10)
    world.place(SELL, 60, 6)
    assert rejected(world) == (
        RejectReason.NO_FUNDS,
        NO_BALANCE + "balance: 15000000, sum of matched orders: 10000000, order amount: 6000000",
    )
