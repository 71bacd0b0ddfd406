import pytest

from engine.domain.events import (
    BalancesListed,
    FillsListed,
    OpenOrdersListed,
    OrderNotFound,
    OrderReported,
    PositionsListed,
    QueryFailed,
)
from engine.domain.fills import FillState
from engine.domain.orders import OrderState, OrderType
from engine.venues.paper import matching as matching_module
from tests.venues.paper.world import ACCOUNT, BUY, MARKET, MS, NO, SELL, SHARE, YES, World, settings

BOOK = ({50: 100}, {52: 100})


def fresh(**kwargs: object) -> World:
    world = World(settings(**kwargs))
    world.book(*BOOK)
    return world


def states(world: World) -> list[tuple[int, OrderState, int]]:
    (listed,) = world.ask_open()
    assert isinstance(listed, OpenOrdersListed)
    return [(report.order, report.state, report.filled // SHARE) for report in listed.orders]


def test_open_orders_say_what_filled() -> None:
    world = fresh()
    world.place(BUY, 51, 10)
    world.place(BUY, 50, 10)
    world.trade(51, 4, SELL)
    assert states(world) == [(1, OrderState.PARTIAL, 4), (2, OrderState.OPEN, 0)]


def test_a_held_marketable_order_is_listed_as_delayed() -> None:
    world = fresh(taker_ms=250)
    world.take(BUY, 52, 10)
    assert states(world) == [(1, OrderState.DELAYED, 0)]


def test_an_ended_order_is_reported_with_its_end() -> None:
    world = fresh()
    world.place(BUY, 51, 10)
    world.place(BUY, 50, 10)
    world.place(BUY, 49, 10, type=OrderType.GTD, expires_ns=world.now + MS)
    world.trade(51, 10, SELL)
    world.cancel(2)
    world.wait(1)
    found = [world.ask_order(number)[0] for number in (1, 2, 3)]
    assert all(isinstance(event, OrderReported) for event in found)
    assert [event.report.state for event in found] == [
        OrderState.FILLED,
        OrderState.CANCELLED,
        OrderState.EXPIRED,
    ]


def test_a_rejected_order_never_lived() -> None:
    world = fresh()
    world.place(BUY, 52, 10)
    assert world.ask_order(1) == [OrderNotFound(account=ACCOUNT, order=1)]


def test_fills_are_listed_with_their_present_state() -> None:
    world = fresh()
    world.place(BUY, 51, 10)
    world.trade(51, 4, SELL)
    world.wait(2_000)
    second_ns = world.now
    world.trade(51, 6, SELL)
    (listed,) = world.ask_fills()
    assert isinstance(listed, FillsListed)
    assert [fill.state for fill in listed.fills] == [FillState.CONFIRMED, FillState.MATCHED]
    (late,) = world.ask_fills(second_ns)
    assert [fill.size for fill in late.fills] == [6 * SHARE]


def test_a_listing_that_would_miss_fills_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matching_module, "FILLS_MAX", 2)
    world = fresh()
    world.place(BUY, 51, 10)
    times = []
    for _ in range(3):
        world.wait(1)
        times.append(world.now)
        world.trade(51, 1, SELL)
    (failed,) = world.ask_fills(times[0])
    assert isinstance(failed, QueryFailed)
    assert failed.question == "QueryFills"
    (listed,) = world.ask_fills(times[0] + 1)
    assert len(listed.fills) == 2


def test_balances_count_held_cash_and_leave_out_pending() -> None:
    world = fresh(cash=100)
    world.give(NO, 7)
    world.place(BUY, 51, 10)
    world.place(BUY, 40, 10)
    world.trade(51, 10, SELL)
    assert world.ask_balances() == [
        BalancesListed(account=ACCOUNT, cash_micro={"USD": 94_900_000, "USDT": 100_000_000}),
        PositionsListed(account=ACCOUNT, holdings=((MARKET, NO, 7 * SHARE),)),
    ]
    world.wait(2_000)
    (_, positions) = world.ask_balances()
    assert (MARKET, YES, 10 * SHARE) in positions.holdings
