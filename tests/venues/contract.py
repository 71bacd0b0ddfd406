"""What every simulated venue must keep, whatever is inside: a suite over a factory.

A venue's own test file imports the checks and gives each of them a `Factory`: a function that
returns a fresh venue which already knows one binary instrument with a two-sided book, and says
which prices rest and which meet nothing. The checks see the door alone.

    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
    def test_contract(check):
        check(factory)
"""

from __future__ import annotations

from collections.abc import Callable

from engine.domain.effects import (
    CancelAll,
    CancelOrders,
    PlaceOrder,
    QueryBalances,
    QueryFills,
    QueryOpenOrders,
    QueryOrder,
)
from engine.domain.events import (
    BalancesListed,
    CancelRefused,
    FillsListed,
    OrderAccepted,
    OrderCancelled,
    OrderExpired,
    OrderFilled,
    OrderNotFound,
    OrderRejected,
    OrderReported,
    PositionsListed,
)
from engine.domain.instruments import Leg
from engine.domain.orders import CancelReason, OrderId, OrderType
from engine.gateway.door import Reply
from tests.venues.table import HOUR_NS, Table

Factory = Callable[[], Table]


def every_request_has_exactly_one_reply(factory: Factory) -> None:
    table = factory()
    account = table.venue.account()
    order = table.order(table.bid)
    effects = [
        PlaceOrder(order=order),
        QueryOrder(account=account, order=order.id),
        QueryOpenOrders(account=account),
        QueryFills(account=account, since_ns=0),
        QueryBalances(account=account),
        PlaceOrder(order=table.order(table.ask, OrderType.FAK, post_only=False)),
        PlaceOrder(order=table.order(table.bid, size=0)),
        CancelOrders(account=account, orders=(order.id, OrderId(999))),
        CancelAll(account=account),
    ]
    numbers = [table.ask_for(effect) for effect in effects]
    table.settle()
    assert sorted(o.number for o in table.received if isinstance(o, Reply)) == numbers


def an_identity_is_a_function_of_the_order(factory: Factory) -> None:
    table = factory()
    order = table.order(table.bid)
    first, again = table.venue.prepare(order), factory().venue.prepare(order)
    assert first == again
    assert first.order == order
    assert first.identity != table.venue.prepare(table.order(table.bid)).identity


def an_order_is_accepted_or_rejected_never_both(factory: Factory) -> None:
    table = factory()
    tick = table.instrument.tick
    tried = [
        table.place(table.bid)[0],
        table.place(table.ask)[0],
        table.place(table.bid, size=0)[0],
        table.place(table.bid - tick, OrderType.FOK, post_only=False)[0],
        table.place(table.ask, OrderType.FOK, post_only=False)[0],
    ]
    table.settle()
    verdicts = [
        [e for e in table.about(order) if isinstance(e, OrderAccepted | OrderRejected)]
        for order in tried
    ]
    assert [[type(event) for event in verdict] for verdict in verdicts] == [
        [OrderAccepted],
        [OrderRejected],
        [OrderRejected],
        [OrderRejected],
        [OrderAccepted],
    ]


def the_same_order_twice_is_one_order(factory: Factory) -> None:
    table = factory()
    order, _ = table.place(table.bid)
    (refused,) = table.do(PlaceOrder(order=order))
    assert isinstance(refused, OrderRejected)
    assert table.listing() == [order.id]


def the_listing_is_what_lives(factory: Factory) -> None:
    table = factory()
    tick = table.instrument.tick
    first, _ = table.place(table.bid)
    second, _ = table.place(table.bid - tick)
    table.place(table.ask)
    assert table.listing() == [first.id, second.id]
    table.cancel(first)
    assert table.listing() == [second.id]
    table.do(CancelAll(account=table.venue.account()))
    assert table.listing() == []


def a_cancel_ends_an_order_once(factory: Factory) -> None:
    table = factory()
    order, _ = table.place(table.bid)
    (gone,) = table.cancel(order)
    assert isinstance(gone, OrderCancelled)
    assert gone.reason is CancelReason.ASKED
    (refused,) = table.cancel(order)
    assert isinstance(refused, CancelRefused)


def a_cancel_of_the_unknown_is_refused(factory: Factory) -> None:
    table = factory()
    (refused,) = table.do(CancelOrders(account=table.venue.account(), orders=(OrderId(77),)))
    assert isinstance(refused, CancelRefused)
    assert refused.venue_text


def a_filled_order_is_not_cancelled(factory: Factory) -> None:
    table = factory()
    order, _ = table.place(table.bid)
    table.received += table.fill_resting(table.now)
    (refused,) = table.cancel(order)
    assert isinstance(refused, CancelRefused)
    fills = [event for event in table.about(order) if isinstance(event, OrderFilled)]
    assert sum(fill.size for fill in fills) == order.size
    assert order.id not in table.listing()


def nothing_fills_after_its_end(factory: Factory) -> None:
    table = factory()
    kept, _ = table.place(table.bid)
    order, _ = table.place(table.bid)
    table.cancel(order)
    table.received += table.fill_resting(table.now)
    table.settle()
    ends = (OrderCancelled, OrderExpired, OrderRejected)
    story = table.about(order)
    (end,) = [n for n, event in enumerate(story) if isinstance(event, ends)]
    assert not any(isinstance(event, OrderFilled) for event in story[end:])
    assert any(isinstance(event, OrderFilled) for event in table.about(kept))


def a_fak_never_rests(factory: Factory) -> None:
    table = factory()
    order, _ = table.place(table.ask, OrderType.FAK, post_only=False)
    table.settle()
    fills = [event for event in table.about(order) if isinstance(event, OrderFilled)]
    assert sum(fill.size for fill in fills) == order.size
    assert table.listing() == []


def fills_are_listed_once_each_under_their_own_id(factory: Factory) -> None:
    table = factory()
    table.place(table.ask, OrderType.FAK, post_only=False)
    table.place(table.bid)
    table.received += table.fill_resting(table.now)
    table.settle()
    received = [event for event in table.events if isinstance(event, OrderFilled)]
    (listed,) = table.do(QueryFills(account=table.venue.account(), since_ns=0))
    assert isinstance(listed, FillsListed)
    keys = [(fill.fill, fill.order, fill.size) for fill in received]
    assert len(set(keys)) == len(keys) > 1
    assert [(fill.fill, fill.order, fill.size) for fill in listed.fills] == keys


def an_order_is_reported_or_not_found(factory: Factory) -> None:
    table = factory()
    order, _ = table.place(table.bid)
    account = table.venue.account()
    (report,) = table.do(QueryOrder(account=account, order=order.id))
    assert isinstance(report, OrderReported)
    assert (report.report.order, report.report.ours, report.report.filled) == (order.id, True, 0)
    assert report.report.identity == table.venue.prepare(order).identity
    (missing,) = table.do(QueryOrder(account=account, order=OrderId(77)))
    assert isinstance(missing, OrderNotFound)


def balances_come_with_holdings(factory: Factory) -> None:
    table = factory()
    table.place(table.ask, OrderType.FAK, post_only=False)
    table.settle()
    answer = table.do(QueryBalances(account=table.venue.account()))
    (balances,) = [event for event in answer if isinstance(event, BalancesListed)]
    (positions,) = [event for event in answer if isinstance(event, PositionsListed)]
    assert balances.cash_micro[table.instrument.currency] > 0
    assert positions.holdings == ((table.instrument.id, Leg.YES, table.size),)


def time_only_moves_forward(factory: Factory) -> None:
    table = factory()
    table.place(table.bid)
    table.place(table.ask, OrderType.FAK, post_only=False)
    last = table.now
    while (due := table.venue.due_ns) is not None and due < table.now + HOUR_NS:
        assert due >= last
        last = due
        table.received += table.venue.advance(due)
        after = table.venue.due_ns
        assert after is None or after > due


CHECKS: tuple[Callable[[Factory], None], ...] = (
    every_request_has_exactly_one_reply,
    an_identity_is_a_function_of_the_order,
    an_order_is_accepted_or_rejected_never_both,
    the_same_order_twice_is_one_order,
    the_listing_is_what_lives,
    a_cancel_ends_an_order_once,
    a_cancel_of_the_unknown_is_refused,
    a_filled_order_is_not_cancelled,
    nothing_fills_after_its_end,
    a_fak_never_rests,
    fills_are_listed_once_each_under_their_own_id,
    an_order_is_reported_or_not_found,
    balances_come_with_holdings,
    time_only_moves_forward,
)
