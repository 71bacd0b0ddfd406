"""Journals that are behind: homes put back to an earlier copy, and what a person writes then."""

from __future__ import annotations

from enum import StrEnum
from random import Random

from engine.domain import events as ev
from engine.domain.effects import AnyWalletEffect, PlaceOrder
from engine.domain.orders import Order, OrderId
from engine.domain.perpetual_events import FundingPaid
from engine.lab.simulate.disk import Disk, DiskCopy
from engine.lab.simulate.venue_side import VenueSide
from engine.lab.simulate.venue_truth import Speak
from storage.journal import Record, decode
from storage.loss import UNSEEN_MAX, Known, Message

# -- A journal that lost its end: what a person who accepts that writes ----------------------------
# The projections have read the lost records but for the last few; the exchange tells the rest.

CASH = ev.CashMoved.__name__
TRANSFERRED = ev.HoldingTransferred.__name__

UNREAD = 20
"""How many of the lost records no projection had read."""


def loss_messages(lost: list[Record], disk: Disk, side: VenueSide, now_ns: int) -> list[Message]:
    """Return what is written behind what is left, as `python -m engine recover` does it."""
    account = side.account
    known = Known(since_ns=disk.rows[-1].at_ns if disk.rows else 0)
    strange: list[tuple[int, set[tuple[str, int]]]] = []
    for record in disk.rows:
        if record.kind == PlaceOrder.__name__:
            known.have.add((account, decode(record).order.id))
        elif record.kind == ev.FillsListed.__name__:
            listed = decode(record)
            strange.append((listed.since_ns, {(account, one.order) for one in listed.fills}))
    for since_ns, orders in strange:
        if not orders <= known.have:
            known.since_ns = min(known.since_ns, since_ns)
    for record in lost[: max(1, len(lost) - UNREAD)]:
        _take(known, record)
    for number, order in side.arrived.items():
        if (account, number) not in known.have:
            known.have.add((account, number))
            known.orders.append(order)
            known.names[account, number] = side.prepare(order).identity
    until = max((number for _, number in known.have), default=0) + UNSEEN_MAX
    accepted = ev.LossAccepted(
        account=account,
        orders_until=OrderId(until),
        since_ns=known.since_ns,
        journal_seq=len(disk.rows),
        projected_seq=len(disk.rows) + len(lost),
        projected_crc=0,
        who="operator",
    )
    return [*known.messages(), (account, accepted, now_ns)]


def accept_loss(lost: list[Record], disk: Disk, side: VenueSide, speak: Speak, now_ns: int) -> None:
    """Accept a loss as a person does, and see that it loses no transfer that a command answered."""
    before = len(disk.rows)
    disk.accept(loss_messages(lost, disk, side, now_ns))
    written = {(one.at_ns, one.body) for one in disk.rows[before:] if one.kind == TRANSFERRED}
    for record in lost[: max(1, len(lost) - UNREAD)]:
        if record.kind == TRANSFERRED and (record.at_ns, record.body) not in written:
            speak("owners", f"what was transferred is lost with the journal: {decode(record)}")


def _take(known: Known, record: Record) -> None:
    """Note a record as the projections' rows tell of it."""
    message = decode(record)
    entry: Message = (record.account, message, record.at_ns)
    match message:
        case ev.InstrumentListed():
            known.listings.append(entry)
        case ev.InstrumentResolved():
            known.payouts.append(entry)
        case ev.CashMoved() | FundingPaid():
            known.cash.append(entry)
        case PlaceOrder(order=order, identity=identity):
            known.have.add((order.account, order.id))
            known.orders.append(order)
            if identity is not None:
                known.names[order.account, order.id] = identity
        case ev.HoldingTransferred():
            known.transfers.append(entry)
        case ev.OrderFilled():
            known.fills.append(entry)
        case ev.FillsListed(account=account, fills=fills):
            known.fills += [(account, one, record.at_ns) for one in fills]
        case _:
            pass


# -- Earlier copies of one account's home ----------------------------------------------------------

EVERY_NS = 20_000_000_000
"""How often a home is copied."""

COPIES_MAX = 30


class PutBack(StrEnum):
    """How an earlier home comes to be there."""

    COPIED = "copied"
    """A copy of the whole home: no record says so, the engine must find out."""
    RESTORED = "restored"
    """By `restore`: what the home that stood knew is written behind it."""


class Homes:
    """Copies of a home, oldest first. `wanted` = one is put back when the engine dies.

    `on` False = none is ever put back in this world.
    """

    def __init__(self, disk: Disk, random: Random, *, on: bool) -> None:
        self.copies: list[DiskCopy] = []
        self.wanted: PutBack | None = None
        self.gone: dict[int, Order | AnyWalletEffect] = {}
        """What had left in records that no home has any more; a recovery numbers above them."""
        self._on = on
        self._disk = disk
        self._random = random
        self._copied_ns = 0

    def want(self, how: PutBack | None) -> None:
        """Have a copy put back when the engine dies; None = no more."""
        self.wanted = how

    def look(self, now_ns: int) -> None:
        """Copy the home where it is time, and its first cash is durable.

        A home of before would take the venue's cash of later for its first, with all its fills in.
        """
        if self._on and now_ns - self._copied_ns >= EVERY_NS:
            self._copied_ns = now_ns
            copy = self._disk.copy()
            if any(record.kind == CASH for record in self._disk.rows[: copy.rows]):
                self.copies.append(copy)
                del self.copies[:-COPIES_MAX]

    def put_back(self) -> list[Record]:
        """Become one of the copies; return the records that are gone with that."""
        self.wanted = None
        at = self._random.randrange(len(self.copies))
        del self.copies[at + 1 :]
        return self._disk.put_back(self.copies[at])
