"""An order that closes all its owner holds: a person's least order value is no bar to it.

The limit keeps small orders from opening anything. Where it held a way out, too, a position that
has become worth less than it could be closed by no order at all. The venue's own minimum stands:
what is below that is asked for as reduce-only, where the venue has it (`planner`).
"""

from __future__ import annotations

import msgspec

from engine.domain.instruments import is_bid
from engine.domain.orders import Order
from engine.executor.orders import OrderTable
from engine.risk.gate import Allowed, Denied, RiskGate
from engine.risk.reasons import DenyReason


def closes_all(table: OrderTable, order: Order) -> bool:
    """Say whether an order closes all its owner holds in its instrument, to the last lot."""
    position = table.ledger.owned(order.instrument, order.bot).position
    left = -position if is_bid(order.side, order.leg) else position
    return 0 < left - left % table.instruments[order.instrument].instrument.lot == order.size


def judged_again(
    gate: RiskGate,
    table: OrderTable,
    order: Order,
    denied: Denied,
    mark_age_ns: int | None,
) -> Allowed | Denied:
    """Judge an order that was too small for risk as the close it is; any other stays denied.

    Only risk takes it for reduce-only: what the venue receives is the order as it is.
    """
    if denied.reason is not DenyReason.ORDER_TOO_SMALL or not closes_all(table, order):
        return denied
    return gate.check(
        msgspec.structs.replace(order, reduce_only=True),
        reduces=lambda close: close.size,
        mark_age_ns=mark_age_ns,
        open_orders=table.live_count,
    )
