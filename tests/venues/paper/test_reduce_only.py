"""Reduce-only at the paper venue: it is exempt from the minimum, and never opens a position."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from engine.domain.effects import CancelOrders, PlaceOrder
from engine.domain.events import (
    BookReplaced,
    Event,
    InstrumentListed,
    OrderAccepted,
    OrderCancelled,
    OrderFilled,
    OrderRejected,
    TradePrinted,
)
from engine.domain.fills import SizeSource
from engine.domain.instruments import BotId, Leg, Side
from engine.domain.orders import CancelReason, Order, OrderId, OrderType, RejectReason
from engine.domain.products.margin import Exposure
from tests.venues.paper.test_liquidation import FLAT, holding, perpetual
from tests.venues.paper.world import ACCOUNT, SPOT, World, events

PERP = replace(perpetual("BTC", FLAT), size_min=10, notional_min_micro=50_000_000)
"""Sizes in thousandths, prices in ten-thousandths: 7 of them at 7,000 are worth 49 USDT."""
PRICE = 70_000_000


def long_of(size: int) -> World:
    made = holding(10**10, (PERP, Exposure(size, abs(size) * 7_000_000)))
    made.receive(
        BookReplaced(
            instrument=PERP.id, bids=((PRICE, 10**6),), asks=((PRICE + 10_000, 10**6),)
        )
    )  # fmt: skip
    return made


def place(made: World, number: int, side: Side, size: int, **more: Any) -> list[Event]:
    fields: dict[str, Any] = {
        "account": ACCOUNT, "id": OrderId(number), "bot": BotId("b"), "instrument": PERP.id,
        "leg": Leg.BASE, "side": side, "price": PRICE, "size": size, "type": OrderType.FAK,
        "post_only": False, "created_ns": 0, "reduce_only": True,
    }  # fmt: skip
    return events(made.ask(PlaceOrder(order=Order(**fields | more))))


@pytest.mark.parametrize("size", [7, 1])
def test_what_is_below_the_minimum_closes_and_nothing_else_does(size: int) -> None:
    made = long_of(7)
    (refused,) = place(made, 1, Side.SELL, size, reduce_only=False)
    assert isinstance(refused, OrderRejected)
    assert refused.reason is RejectReason.BELOW_MIN
    accepted, filled = place(made, 2, Side.SELL, size)
    assert isinstance(accepted, OrderAccepted)
    assert isinstance(filled, OrderFilled)
    assert filled.size == size


@pytest.mark.parametrize(
    ("held", "side", "size"), [(7, Side.BUY, 7), (7, Side.SELL, 8), (-7, Side.SELL, 1)]
)
def test_what_could_open_is_refused(held: int, side: Side, size: int) -> None:
    (refused,) = place(long_of(held), 1, side, size, price=PRICE + 10_000)
    assert isinstance(refused, OrderRejected)
    assert refused.reason is RejectReason.REDUCE_ONLY
    assert "ReduceOnly Order is rejected" in refused.venue_text


@pytest.mark.parametrize(("size", "enough"), [(11, False), (12, True)])
def test_what_rests_is_worth_the_minimum_too_and_a_close_is_not(size: int, enough: bool) -> None:
    """Binance judges NOTIONAL at the order's own price, whether it takes or rests."""
    made = long_of(20)
    rests = {"type": OrderType.GTC, "post_only": True, "price": PRICE - PRICE * 4 // 10}
    (said,) = place(made, 1, Side.BUY, size, reduce_only=False, **rests)
    assert isinstance(said, OrderAccepted) is enough
    if isinstance(said, OrderRejected):
        assert said.reason is RejectReason.BELOW_MIN
    rests["price"] = PRICE + 20_000
    assert isinstance(place(made, 2, Side.SELL, 7, **rests)[0], OrderAccepted)


def test_two_of_them_close_no_more_than_is_held() -> None:
    made = long_of(7)
    rests = {"type": OrderType.GTC, "post_only": True, "price": PRICE + 20_000}
    assert isinstance(place(made, 1, Side.SELL, 5, **rests)[0], OrderAccepted)
    (refused,) = place(made, 2, Side.SELL, 3, **rests)
    assert isinstance(refused, OrderRejected)
    assert "orders of 0.005 close it already" in refused.venue_text
    events(made.ask(CancelOrders(account=ACCOUNT, orders=(OrderId(1),))))
    assert isinstance(place(made, 3, Side.SELL, 3, **rests)[0], OrderAccepted)


def test_one_that_rests_ends_where_its_position_went_another_way() -> None:
    made = long_of(20)
    rests = {"type": OrderType.GTC, "post_only": True, "price": PRICE + 20_000}
    place(made, 1, Side.SELL, 5, **rests)
    gone = place(made, 2, Side.SELL, 18, reduce_only=False)[-1]
    assert isinstance(gone, OrderCancelled)
    assert (gone.order, gone.reason) == (1, CancelReason.VENUE)


def test_one_print_that_reaches_two_orders_opens_nothing_by_reduce_only() -> None:
    made = long_of(20)
    rests = {"type": OrderType.GTC, "post_only": True}
    place(made, 1, Side.SELL, 18, reduce_only=False, price=PRICE + 5_000, **rests)
    place(made, 2, Side.SELL, 2, price=PRICE + 6_000, **rests)
    place(made, 3, Side.SELL, 10, reduce_only=False, price=PRICE + 5_500, **rests)
    printed = TradePrinted(
        instrument=PERP.id, price=PRICE + 7_000, size=1_000, aggressor=Side.BUY,
        source=SizeSource.TAPED,
    )  # fmt: skip
    said = events(made.receive(printed))
    assert [one.order for one in said if isinstance(one, OrderFilled)] == [1, 3]
    assert [one.order for one in said if isinstance(one, OrderCancelled)] == [2]


def test_nothing_but_a_signed_position_can_be_reduced_so() -> None:
    made = World()
    order = Order(
        account=ACCOUNT, id=OrderId(1), bot=BotId("b"), instrument=SPOT.id, leg=Leg.BASE,
        side=Side.BUY, price=SPOT.tick, size=SPOT.smallest, created_ns=0, reduce_only=True,
    )  # fmt: skip
    made.receive(InstrumentListed(instrument=SPOT))
    made.receive(BookReplaced(instrument=SPOT.id, bids=((10, 1),), asks=((20, 1),)))
    (refused,) = events(made.ask(PlaceOrder(order=order)))
    assert isinstance(refused, OrderRejected)
    assert refused.reason is RejectReason.OTHER
