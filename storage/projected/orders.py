"""Orders: where each stands, what of it was filled.

Where an order stands is what the executor says of it; fills and cash are booked from the facts, so
that they bear a second witness.
"""

from __future__ import annotations

from typing import Any

import msgspec

from engine.domain import effects, events
from engine.domain.instruments import Leg, Mode, Side
from engine.domain.order_life import JOURNALED_STATES, Happened
from engine.domain.orders import ORDER_ENDS, Order, OrderState, OrderType
from storage.fold import Fold, Noun, ProjectedTable
from storage.journal import Record


class OrderRow(msgspec.Struct, kw_only=True):
    """One row of `orders`: `filled` counts every match, `voided` those that failed."""

    account: str
    id: int
    mode: Mode
    bot: str
    instrument: str
    leg: Leg
    side: Side
    price: int
    size: int
    type: OrderType
    post_only: bool
    expires_ns: int | None
    created_ns: int
    identity: str | None = None
    state: OrderState = OrderState.PENDING
    filled: int = 0
    voided: int = 0
    fee_micro: int = 0
    reason: str = ""
    updated_ns: int
    seq: int
    decision: int = 0
    reduce_only: bool = False


def _states(*, ended: bool) -> str:
    return ", ".join(repr(one.value) for one in OrderState if (one in ORDER_ENDS) is ended)


ENDED, LIVE = f"state IN ({_states(ended=True)})", f"state IN ({_states(ended=False)})"
"""SQL of an order of which nothing more is expected, and of one of which more is."""


def on_place_order(fold: Fold, effect: effects.PlaceOrder, record: Record) -> None:
    """Take a new order; the same order again changes nothing."""
    order: Order = effect.order
    if fold.rows.find(OrderRow, order.account, order.id) is not None:
        return
    asked = msgspec.structs.asdict(order)
    del asked["fence"]
    asked["reduce_only"] = order.reduce_only is True
    fold.rows.put(
        OrderRow(
            **asked,
            mode=fold.rows.mode(order.account),
            identity=effect.identity,
            state=OrderState.SENT if effect.identity else OrderState.PENDING,
            updated_ns=record.at_ns,
            seq=record.seq,
        )
    )


def on_step(fold: Fold, event: Any, record: Record) -> None:
    """Take what a record says by itself of where orders went, and under which name."""
    happened = HAPPENED[type(event)]
    for number in getattr(event, "orders", None) or (event.order,):
        order = find_order(fold, event.account, number, record)
        if order is not None:
            after = JOURNALED_STATES.get((order.state, happened))
            if after is not None:
                order.state, order.reason = after, getattr(event, "why", "")
            order.identity = getattr(event, "identity", order.identity)
            put_order(fold, order, record)


def on_order_changed(fold: Fold, change: effects.OrderChanged, record: Record) -> None:
    """Take where the executor says an order stands: this is no second opinion."""
    order = find_order(fold, change.account, change.order, record)
    if order is not None:
        if order.state is not change.state:
            order.state, order.reason = change.state, change.reason
        order.filled = change.filled
        put_order(fold, order, record)


def find_order(fold: Fold, account: str, number: int, record: Record) -> OrderRow | None:
    """Return an order's row; None, with a problem reported, where none was placed."""
    order = fold.rows.find(OrderRow, account, number)
    if order is None:
        fold.report(
            f"record {record.seq}: {record.kind} of order {number} at {account}, "
            "which the journal never placed"
        )
    return order


def put_order(fold: Fold, order: OrderRow, record: Record) -> None:
    """Keep a changed order as of this record."""
    order.updated_ns, order.seq = record.at_ns, record.seq
    fold.rows.put(order)


HAPPENED: dict[type[msgspec.Struct], Happened] = {
    events.OrderNamed: Happened.NAMED,
    effects.CancelOrders: Happened.CANCEL_ASKED,
    events.OrderSent: Happened.SENT,
    events.OrderAccepted: Happened.ACCEPTED,
    events.OrderCancelled: Happened.CANCELLED,
}

NOUN = Noun(
    (
        ProjectedTable(
            OrderRow,
            "orders",
            ("account", "id"),
            (("mode", "created_ns"), ("state",), ("instrument", "created_ns")),
            ("identity", "state", "filled", "voided", "fee_micro", "reason", "updated_ns", "seq"),
        ),
    ),
    {
        effects.PlaceOrder: on_place_order,
        **dict.fromkeys(HAPPENED, on_step),
        effects.OrderChanged: on_order_changed,
    },
)
