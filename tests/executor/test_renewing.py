from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from engine.domain.effects import CancelOrders, PlaceOrder
from engine.domain.events import OrderCancelled, OrderExpired
from engine.domain.orders import Order, OrderState, OrderType
from engine.executor.executor import ExecutorSettings
from engine.executor.planner import RENEW_EARLY_NS, VENUE_EARLY_NS

S = OrderState
SECOND = 1_000_000_000
LIFE_S = 300
RENEWED_S = LIFE_S - RENEW_EARLY_NS // SECOND
SETTINGS = ExecutorSettings(starts_reconciled=True, gtd_ms=1_000 * LIFE_S)
BID, ASK = [(4_800, 50)], [(5_200, 50)]


@pytest.fixture
def rig(make_rig: Callable[..., Any]) -> Any:
    return make_rig(settings=SETTINGS)


def cancels(effects: list[Any]) -> list[int]:
    return [number for one in effects if isinstance(one, CancelOrders) for number in one.orders]


def places(effects: list[Any]) -> list[Order]:
    return [one.order for one in effects if isinstance(one, PlaceOrder)]


def answered(rig: Any, effects: list[Any]) -> None:
    """Let the venue do what it is asked, and what it is asked in answer to that."""
    while effects:
        asked, effects = effects, []
        for number in cancels(asked):
            effects += rig.feed(rig.event(OrderCancelled, number))
        for order in places(asked):
            effects += rig.open(order.id)


def test_a_quote_is_cancelled_and_placed_anew_before_the_venue_ends_it(rig: Any) -> None:
    (bid,) = rig.rest(BID)
    assert bid.type is OrderType.GTD
    assert bid.expires_ns == rig.now + LIFE_S * SECOND
    assert cancels(rig.wait(RENEWED_S - 1)) == []
    asked = rig.wait(1)
    assert cancels(asked) == [bid.id]
    assert places(asked) == [], "what it replaces may still fill"
    (again,) = places(rig.feed(rig.event(OrderCancelled, bid.id)))
    assert (again.price, again.size, again.type) == (bid.price, bid.size, OrderType.GTD)
    assert again.expires_ns == rig.now + LIFE_S * SECOND


def test_one_order_at_a_time_so_the_other_side_rests(rig: Any) -> None:
    bid, ask = rig.rest(BID, ASK)
    assert cancels(rig.wait(RENEWED_S)) == [bid.id]
    assert cancels(rig.wait(5)) == [], "the bid is on its way out"
    (again,) = places(rig.feed(rig.event(OrderCancelled, bid.id)))
    rig.send(again.id)
    assert cancels(rig.wait(1)) == [], "the new bid does not rest yet"
    rig.open(again.id)
    assert cancels(rig.wait(1)) == [ask.id]


def test_a_side_rests_at_every_second_of_an_hour_and_nothing_comes_near_its_end(rig: Any) -> None:
    rig.rest([*BID, (4_700, 30)], ASK, valid_until_ns=2**62)
    for _ in range(3_600):
        answered(rig, rig.wait(1))
        live = rig.executor.working("venue:m1")
        assert {known.bid for known in live} == {True, False}
        assert sum(known.remaining for known in live if known.bid) <= 80_000_000
        assert all((known.order.expires_ns or 0) - rig.now > VENUE_EARLY_NS for known in live)


def test_an_order_that_moves_anyway_is_not_renewed_besides(rig: Any) -> None:
    (bid,) = rig.rest(BID)
    rig.wait(RENEWED_S - 1)
    rig.now += SECOND
    assert cancels(rig.feed(rig.mark(), rig.quotes([(4_700, 50)]))) == [bid.id]
    (moved,) = places(rig.feed(rig.event(OrderCancelled, bid.id)))
    rig.open(moved.id)
    assert cancels(rig.wait(RENEWED_S - 1)) == []


def test_what_the_venue_ended_first_is_placed_again(rig: Any) -> None:
    (bid,) = rig.rest(BID)
    (again,) = places(rig.feed(rig.event(OrderExpired, bid.id)))
    assert (again.price, again.type) == (bid.price, OrderType.GTD)
    assert rig.state(bid.id) is S.EXPIRED


def test_a_quote_good_till_cancelled_is_left_alone(make_rig: Callable[..., Any]) -> None:
    rig = make_rig()
    (bid,) = rig.rest(BID)
    assert (bid.type, bid.expires_ns) == (OrderType.GTC, None)
    assert cancels(rig.wait(3_000)) == []


def test_a_change_of_the_setting_reaches_what_rests(make_rig: Callable[..., Any]) -> None:
    rig = make_rig()
    (bid,) = rig.rest(BID)
    rig.executor.expire_quotes(1_000 * LIFE_S)
    assert cancels(rig.feed()) == [bid.id]
    (again,) = places(rig.feed(rig.event(OrderCancelled, bid.id)))
    assert again.type is OrderType.GTD
    rig.open(again.id)
    rig.executor.expire_quotes(None)
    assert cancels(rig.feed()) == [again.id]
    (last,) = places(rig.feed(rig.event(OrderCancelled, again.id)))
    assert last.type is OrderType.GTC
