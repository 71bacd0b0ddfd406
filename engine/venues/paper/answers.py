"""Answers to questions about the account, as the venue would give them. Nothing changes."""

from __future__ import annotations

import msgspec

from engine.domain.effects import QueryFills
from engine.domain.events import (
    BalancesListed,
    FillsListed,
    OpenOrdersListed,
    OrderNotFound,
    OrderReport,
    OrderReported,
    PositionsListed,
    QueryFailed,
    RedemptionsListed,
    VenueEvent,
)
from engine.domain.fills import FillState
from engine.domain.orders import OrderId
from engine.venues.paper.matching import Matching
from engine.venues.paper.queue import QueuedOrder

_CONFIRMED = FillState.CONFIRMED


def order(floor: Matching, asked: OrderId) -> OrderReported | OrderNotFound:
    """Report an order that lives or lived; a rejected or unarrived one is not found."""
    resting = floor.open.get(asked) or floor.ended.get(asked)
    if resting is None:
        return OrderNotFound(account=floor.account, order=asked)
    return OrderReported(account=floor.account, report=_report(floor, resting))


def open_orders(floor: Matching) -> OpenOrdersListed:
    """List everything that lives, held marketable orders included, by id."""
    reports = tuple(_report(floor, floor.open[order]) for order in sorted(floor.open))
    return OpenOrdersListed(account=floor.account, orders=reports)


def fills(floor: Matching, since_ns: int) -> FillsListed | QueryFailed:
    """List the fills matched at or after a time, each with its present state.

    Where some of them are no longer kept, the question fails: a part is not an answer (law Q).
    """
    if since_ns <= floor.fills_dropped_ns:
        return QueryFailed(
            account=floor.account,
            question=QueryFills.__name__,
            order=None,
            reason=f"fills up to {floor.fills_dropped_ns} ns are no longer kept",
        )
    found = []
    for record in reversed(floor.fills):
        if record.at_ns < since_ns:
            break
        event = record.event
        if event.state is not _CONFIRMED and event.fill not in floor.unsettled:
            event = msgspec.structs.replace(event, state=_CONFIRMED)
        found.append(event)
    return FillsListed(account=floor.account, since_ns=since_ns, fills=tuple(reversed(found)))


def balances(floor: Matching) -> list[VenueEvent]:
    """List cash and settled holdings; what open orders hold back still counts in both.

    Matched buys have left the cash, matched sells have left the holdings; what they bring is
    missing until it is confirmed.
    """
    cash = {currency: purse.cash for currency, purse in sorted(floor.purses.items())}
    holdings = tuple(
        (instrument, leg, pocket.holding.settled)
        for instrument, market in floor.markets.items()
        for leg, pocket in market.pockets.items()
        if pocket.holding.settled
    )
    return [
        BalancesListed(account=floor.account, cash_micro=cash),
        PositionsListed(account=floor.account, holdings=holdings),
    ]


def redemptions(floor: Matching, since_ns: int) -> RedemptionsListed:
    """List what the wallet's tokens of resolved markets paid at or after a time."""
    paid = tuple(one for one in floor.redemptions if one.at_ns >= since_ns)
    return RedemptionsListed(account=floor.account, since_ns=since_ns, redemptions=paid)


def _report(floor: Matching, resting: QueuedOrder) -> OrderReport:
    order = resting.order
    return OrderReport(
        identity=floor.identity(order.id),
        order=order.id,
        ours=True,
        instrument=order.instrument,
        leg=order.leg,
        side=order.side,
        price=order.price,
        size=order.size,
        filled=resting.filled,
        state=resting.state,
    )
