"""The exchange behind the door of a simulated venue: late by its latency, and whole."""

from __future__ import annotations

import pytest

from engine.domain.effects import CancelOrders, PlaceOrder, QueryOpenOrders, SetTimer
from engine.domain.events import OpenOrdersListed, OrderAccepted, OrderCancelled, OrderFilled
from engine.domain.instruments import BotId, Leg, Side
from engine.domain.orders import Order, OrderId, OrderType
from engine.errors import BrokenInvariant
from engine.gateway.door import Reply, Request
from studies.compare.day import ExchangeVenue
from tests.venues.demo.builders import ANN, BOB, CENT, COIN, SHARE, buy_no, exchange, put

LATENCY_NS = 150_000_000


def order(number: int = 1) -> Order:
    return Order(
        id=OrderId(number), account=ANN, bot=BotId("bot"), instrument=COIN, leg=Leg.YES,
        side=Side.BUY, price=50 * CENT, size=10 * SHARE, type=OrderType.GTC, post_only=True,
        created_ns=0,
    )  # fmt: skip


def venue() -> tuple[ExchangeVenue, int]:
    made = exchange()
    return ExchangeVenue(made, ANN, currency="pUSD", latency_ns=LATENCY_NS), made.now_ns


def asked(number: int, effect: object) -> Request:
    return Request(number=number, effect=effect)  # type: ignore[arg-type]


def test_a_place_arrives_after_its_latency_and_is_answered_at_once() -> None:
    core, now_ns = venue()
    assert core.request(asked(7, PlaceOrder(order=order())), now_ns) == []
    assert core.due_ns == now_ns + LATENCY_NS
    assert core.advance(now_ns + LATENCY_NS - 1) == []
    accepted = OrderAccepted(account=ANN, order=OrderId(1))
    assert core.advance(now_ns + LATENCY_NS) == [Reply(number=7, events=(accepted,))]
    assert core.due_ns is None


def test_a_fill_is_received_when_it_happens() -> None:
    made = exchange()
    core = ExchangeVenue(made, ANN, currency="pUSD", latency_ns=0)
    core.request(asked(1, PlaceOrder(order=order())), made.now_ns)
    core.advance(made.now_ns)
    put(made, BOB, buy_no("taker", 50, 10))
    core.collect()
    (fill,) = core.advance(made.now_ns)
    assert isinstance(fill, OrderFilled)
    assert (fill.order, fill.size) == (1, 10 * SHARE)


def test_a_cancel_is_told_once() -> None:
    core, now_ns = venue()
    core.request(asked(1, PlaceOrder(order=order())), now_ns)
    core.request(asked(2, CancelOrders(account=ANN, orders=(OrderId(1),))), now_ns)
    core.request(asked(3, QueryOpenOrders(account=ANN)), now_ns)
    outputs = core.advance(now_ns + LATENCY_NS)
    core.collect()
    assert core.due_ns is None
    events = [event for out in outputs if isinstance(out, Reply) for event in out.events]
    assert [type(event) for event in events] == [OrderAccepted, OrderCancelled, OpenOrdersListed]


def test_what_is_no_venues_business_is_refused() -> None:
    core, now_ns = venue()
    core.request(asked(1, SetTimer(name="x", at_ns=now_ns)), now_ns)
    with pytest.raises(BrokenInvariant, match="SetTimer"):
        core.advance(now_ns + LATENCY_NS)
