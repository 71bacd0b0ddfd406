"""A journal that lost its end, in the simulated world: what a person who accepts that writes.

The projections have read the lost records but for the last few; the exchange is asked for the rest.
"""

from __future__ import annotations

from engine.domain.effects import PlaceOrder
from engine.domain.events import (
    CashMoved,
    FillsListed,
    InstrumentListed,
    InstrumentResolved,
    LossAccepted,
    OrderFilled,
)
from engine.domain.orders import OrderId
from engine.lab.simulate.disk import Disk
from engine.lab.simulate.venue_side import VenueSide
from storage.journal import Record, decode
from storage.loss import UNSEEN_MAX, Known, Message

UNREAD = 20
"""How many of the lost records no projection had read."""


def goes_on(lost: list[Record], disk: Disk, side: VenueSide, now_ns: int) -> list[Message]:
    """Return what is written behind what is left, as `python -m engine recover` does it."""
    account = side.account
    known = Known(since_ns=disk.rows[-1].at_ns if disk.rows else 0)
    for record in disk.rows:
        if record.kind == PlaceOrder.__name__:
            known.have.add((account, decode(record).order.id))
    for record in lost[: max(1, len(lost) - UNREAD)]:
        _take(known, record)
    for number, order in side.arrived.items():
        if (account, number) not in known.have:
            known.have.add((account, number))
            known.orders.append(order)
            known.names[account, number] = side.prepare(order).identity
    until = max((number for _, number in known.have), default=0) + UNSEEN_MAX
    accepted = LossAccepted(
        account=account,
        orders_until=OrderId(until),
        since_ns=known.since_ns,
        journal_seq=len(disk.rows),
        projected_seq=len(disk.rows) + len(lost),
        projected_crc=0,
        who="operator",
    )
    return [*known.messages(), (account, accepted, now_ns)]


def _take(known: Known, record: Record) -> None:
    """Note a record as the projections' rows tell of it."""
    message = decode(record)
    told: Message = (record.account, message, record.at_ns)
    match message:
        case InstrumentListed():
            known.listings.append(told)
        case InstrumentResolved():
            known.payouts.append(told)
        case CashMoved():
            known.cash.append(told)
        case PlaceOrder(order=order, identity=identity):
            known.have.add((order.account, order.id))
            known.orders.append(order)
            if identity is not None:
                known.names[order.account, order.id] = identity
        case OrderFilled():
            known.fills.append(told)
        case FillsListed(account=account, fills=fills):
            known.fills += [(account, one, record.at_ns) for one in fills]
        case _:
            pass
