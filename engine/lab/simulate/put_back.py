"""Journals that are behind: homes put back to an earlier copy, and what a person writes then."""

from __future__ import annotations

from enum import StrEnum
from random import Random

from engine.domain import events as ev
from engine.domain.effects import AnyWalletEffect, PlaceOrder
from engine.domain.orders import Order, OrderId
from engine.domain.perpetual_events import FundingPaid
from engine.lab.simulate.disk import Disk, DiskCopy
from engine.lab.simulate.faults import FIRST_HOMES_ONLY, PUT_BACK_ONLY, Faults
from engine.lab.simulate.venue_side import VenueSide
from engine.lab.simulate.venue_truth import Speak
from storage.journal import Record, decode
from storage.loss import UNSEEN_MAX, Known, Message
from storage.settings import begun_ns
from storage.users import ENGINE_ID

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
    known.begun_ns = begun_ns(disk.state, ENGINE_ID)
    strange: list[tuple[int, set[tuple[str, int]]]] = []
    for record in disk.rows:
        if record.kind == PlaceOrder.__name__:
            known.have.add((account, decode(record).order.id))
            known.last[account] = decode(record).order.id
        elif record.kind == ev.FillsListed.__name__:
            listed = decode(record)
            strange.append((listed.since_ns, {(account, one.order) for one in listed.fills}))
    for since_ns, orders in strange:
        if not orders <= known.have:
            known.since_ns = min(known.since_ns, since_ns)
    for record in lost[: max(1, len(lost) - UNREAD)]:
        _take(known, record)
    nothing = known.made_nothing(account)
    for number, order in side.arrived.items():
        if (account, number) not in known.have:
            known.have.add((account, number))
            known.orders.append(order)
            known.names[account, number] = side.prepare(order).identity
    until = max((number for _, number in known.have), default=0) + UNSEEN_MAX
    accepted = ev.LossAccepted(
        account=account,
        orders_until=OrderId(until),
        since_ns=known.since(account),
        journal_seq=len(disk.rows),
        projected_seq=len(disk.rows) + len(lost),
        projected_crc=0,
        who="operator",
        recount=nothing and any(one.account == account for one in known.orders),
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
            known.last[order.account] = order.id
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
    FIRST = "first"
    """Likewise, a copy of before the account's first cash."""
    RESTORED = "restored"
    """By `restore`: what the home that stood knew is written behind it."""


class Homes:
    """Copies of a home, oldest first. `wanted` = one is put back when the engine dies.

    `on` False = none is ever put back in this world, `firsts` = none of before its first cash.
    """

    def __init__(
        self, disk: Disk, random: Random, *, on: bool = False, firsts: bool = False
    ) -> None:
        self.copies: list[DiskCopy] = []
        self.wanted: PutBack | None = None
        self.gone: dict[int, Order | AnyWalletEffect] = {}
        """What had left in records that no home has any more; a recovery numbers above them."""
        self._on, self._firsts = on, firsts
        self._first: DiskCopy | None = None
        """The last copy of before the account's first cash; None = there was none."""
        self._disk = disk
        self._random = random
        self._copied_ns = 0

    def want(self, how: PutBack | None) -> None:
        """Have a copy put back when the engine dies; None = no more."""
        self.wanted = how

    def has(self, how: PutBack) -> bool:
        """Say whether there is a home to put back this way."""
        return self._first is not None if how is PutBack.FIRST else bool(self.copies)

    def look(self, now_ns: int, *, cash: bool) -> None:
        """Copy the home where it is time and its first cash is durable; `cash` = it is booked.

        The last one of before that is kept apart: its engine takes the venue's cash of later for
        its first, with all its fills in.
        """
        if not cash:
            if self._firsts:
                self._first = self._disk.copy()
        elif self._on and now_ns - self._copied_ns >= EVERY_NS:
            self._copied_ns = now_ns
            copy = self._disk.copy()
            if any(record.kind == CASH for record in self._disk.rows[: copy.rows]):
                self.copies.append(copy)
                del self.copies[:-COPIES_MAX]

    def put_back(self) -> list[Record]:
        """Become one of the copies; return the records that are gone with that."""
        how, self.wanted = self.wanted, None
        if how is PutBack.FIRST and self._first is not None:
            self.copies.clear()
            return self._disk.put_back(self._first)
        at = self._random.randrange(len(self.copies))
        del self.copies[at + 1 :]
        return self._disk.put_back(self.copies[at])


def homes_of(disk: Disk, random: Random, faults: Faults) -> Homes:
    """Return the copies of a home that a world's faults may put back."""
    on, firsts = (any(map(faults.rate, kind)) for kind in (PUT_BACK_ONLY, FIRST_HOMES_ONLY))
    return Homes(disk, random, on=on, firsts=firsts)
