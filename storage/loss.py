"""A journal that is behind: what it lacks, and how it is made good.

It lost records the projections had read (`pitboss.db` carries how far it has read and that record's
checksum), or it is older than what the venue knows: a backup or a copy that was put back. What the
state and the venues still know is written behind what is there, in one transaction with the number
that new orders go on above: all of it stands in the journal, or nothing.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from engine.domain.assets import Asset, Money
from engine.domain.commands.trading import TransferHolding
from engine.domain.effects import PlaceOrder
from engine.domain.events import (
    CashKind,
    CashMoved,
    FillsListed,
    HoldingTransferred,
    InstrumentListed,
    InstrumentResolved,
    LossAccepted,
    OrderFilled,
    RedemptionsListed,
)
from engine.domain.instruments import Instrument, InstrumentId
from engine.domain.orders import Identity, Order
from engine.domain.perpetual_events import FundingPaid, PositionLiquidated
from storage.database import reading, storage_errors, transaction
from storage.journal import kinds_of
from storage.journal_writer import (
    NAMES,
    RECORDS,
    RawRow,
    fence_of,
    names_sum,
    open_journal,
    record_sum,
)
from storage.projection import Loss
from storage.settings import begun_ns

UNSEEN_MAX = 10_000
"""Numbers of orders that are passed over: more than were ever placed unseen by the projections."""

STARTS_SHIFT = 32
"""Bits below the start's own number in a decision's."""

ENGINE_WIDE = ""
"""The account of records that concern every account."""

Message = tuple[str, msgspec.Struct, int]
"""Account, message, time in ns UTC: a record to be."""


class Known(msgspec.Struct, kw_only=True):
    """What `pitboss.db` knows and the journal lacks, and how far each account's numbers go."""

    listings: list[Message] = []
    cash: list[Message] = []
    liquidations: list[Message] = []
    transfers: list[Message] = []
    """What owners gave one another, by commands that were answered as done."""
    orders: list[Order] = []
    names: dict[tuple[str, int], Identity] = {}
    fills: list[Message] = []
    payouts: list[Message] = []
    last: dict[str, int] = {}
    """Account → the highest number of an order that either file has."""
    have: set[tuple[str, int]] = set()
    """Numbers of orders that are known, lost ones among them."""
    fill_names: set[tuple[str, str]] = set()
    """Fills that either file has."""
    since_ns: int = 0
    """Before this the journal has everything: the time of its last record, of a lost order, or
    since when a listing was asked for that tells of an order the journal lacks."""
    begun_ns: int = 0
    """When the home began, by its settings: no account of it was here before."""
    instruments: dict[InstrumentId, Instrument] = {}
    """Terms of everything the journal has listed, as it heard them last."""
    terms: dict[InstrumentId, Instrument] = {}
    """Terms of what `pitboss.db` alone has heard of."""
    identities: dict[tuple[str, int], Identity] = {}
    """Names at the venue of the orders the journal has."""
    fence: int = 0
    """The highest start that either file tells of."""

    def made_nothing(self, account: str) -> bool:
        """Say whether neither file has an order of an account.

        Where its venue has, this is a home of before it traded, and any first cash is of after.
        """
        return not self.last.get(account)

    def since(self, account: str) -> int:
        """Return since when the venue is to be asked what the account did."""
        return self.begun_ns if self.made_nothing(account) else self.since_ns

    def messages(self) -> list[Message]:
        """Return what is to be written, each before what needs it."""
        listed = {*self.instruments, *self._listed()}
        lacking = dict.fromkeys(one.instrument for one in self.orders)
        listings = [
            (ENGINE_WIDE, InstrumentListed(instrument=self.terms[name]), self.since_ns)
            for name in lacking
            if name in self.terms and name not in listed
        ]
        made: list[Message] = [*self.listings, *listings, *self.cash]
        for order in sorted(self.orders, key=lambda one: (one.created_ns, one.id)):
            name = self.names.get((order.account, order.id))
            placed = PlaceOrder(order=order, identity=name)
            made.append((order.account, placed, order.created_ns))
        return [*made, *self._traded(), *self.payouts]

    def _traded(self) -> list[Message]:
        """Return fills, liquidations and transfers as they came: each acts on what was held."""
        many = [*self.fills, *self.liquidations, *self.transfers]
        return sorted(many, key=lambda message: message[2])

    def _listed(self) -> set[InstrumentId]:
        return {
            message.instrument.id
            for _, message, _ in self.listings
            if isinstance(message, InstrumentListed)
        }


def known_of(journal: Path, state: Path, engine_id: str) -> Known:
    """Compare both files. Raises JournalCorrupt, StorageError; changes nothing."""
    found = Known()
    fills: set[tuple[str, str]] = set()
    cash: dict[tuple[str, int, int], int] = defaultdict(int)
    payments: set[tuple[str, str]] = set()
    listed: set[str] = set()
    paid: set[str] = set()
    strange: list[tuple[int, set[tuple[str, int]]]] = []
    for record, message in kinds_of(journal, _LOOKED_AT):
        found.since_ns = record.at_ns
        match message:
            case PlaceOrder(order=order, identity=identity):
                found.last[order.account] = max(found.last.get(order.account, 0), order.id)
                found.have.add((order.account, order.id))
                if identity is not None:
                    found.identities[order.account, order.id] = identity
            case OrderFilled():
                fills |= _booked(found, (message,))
            case FillsListed(fills=many):
                fills |= _booked(found, many)
                lacking = {(str(one.account), int(one.order)) for one in many} - found.have
                if lacking:
                    strange.append((message.since_ns, lacking))
            case CashMoved(account=account, amount_micro=amount):
                cash[account, record.at_ns, amount] += 1
            case FundingPaid() | PositionLiquidated() | RedemptionsListed():
                payments |= _payments(message)
            case InstrumentListed(instrument=instrument):
                listed.add(instrument.id)
                found.instruments[instrument.id] = instrument
            case InstrumentResolved(instrument=name):
                paid.add(name)
            case _:
                pass
    _transfers(journal, state, engine_id, found)
    since = [since_ns for since_ns, orders in strange if not orders <= found.have]
    found.since_ns = min([found.since_ns, *since])
    with reading(state) as connection:
        connection.row_factory = sqlite3.Row
        _orders(connection, engine_id, found)
        _fills(connection, engine_id, found, fills)
        _cash(connection, engine_id, found, cash)
        _fundings(connection, engine_id, found, payments)
        _liquidations(connection, engine_id, found, payments)
        _markets(connection, engine_id, found, listed, paid)
    found.since_ns = min([found.since_ns, *(order.created_ns for order in found.orders)])
    new = (message for _, message, _ in found.fills if isinstance(message, OrderFilled))
    found.fill_names = fills | {(one.account, one.fill) for one in new}
    return found


def _payments(
    message: FundingPaid | PositionLiquidated | RedemptionsListed,
) -> set[tuple[str, str]]:
    """Return account and name of the fundings and liquidations that a record holds."""
    many: list[FundingPaid | PositionLiquidated] = []
    if isinstance(message, RedemptionsListed):
        many += [*message.fundings, *message.liquidations]
    else:
        many.append(message)
    return {(one.account, one.name) for one in many}


def _booked(found: Known, fills: Iterable[OrderFilled]) -> set[tuple[str, str]]:
    """Return the fills whose order the journal has: a KILL behind the loss met those of others."""
    return {(one.account, one.fill) for one in fills if (one.account, one.order) in found.have}


_LOOKED_AT = (
    "PlaceOrder",
    "OrderFilled",
    "FillsListed",
    "CashMoved",
    "FundingPaid",
    "PositionLiquidated",
    "HoldingTransferred",
    "RedemptionsListed",
    "InstrumentListed",
    "InstrumentResolved",
)


def _orders(connection: sqlite3.Connection, engine_id: str, found: Known) -> None:
    last, found.begun_ns = dict(found.last), begun_ns(connection, engine_id)
    for row in connection.execute(
        "SELECT * FROM orders WHERE engine_id = ? ORDER BY account, id", (engine_id,)
    ):
        account, number = row["account"], row["id"]
        found.fence = max(found.fence, row["decision"] >> STARTS_SHIFT)
        if number <= last.get(account, 0):
            if row["identity"] is not None:  # the journal may have thinned its record out
                found.identities.setdefault((account, number), Identity(row["identity"]))
            continue
        found.last[account] = max(found.last.get(account, 0), number)
        found.have.add((account, number))
        found.orders.append(msgspec.convert(dict(row), Order, strict=False))
        if row["identity"] is not None:
            found.names[account, number] = Identity(row["identity"])


def _fills(
    connection: sqlite3.Connection, engine_id: str, found: Known, kept: set[tuple[str, str]]
) -> None:
    for row in connection.execute(
        'SELECT *, order_id AS "order", id AS fill FROM fills WHERE engine_id = ? '
        "ORDER BY at_ns, id",
        (engine_id,),
    ):
        if (row["account"], row["id"]) not in kept:
            event = _fill_of(row)
            found.fills.append((event.account, event, row["at_ns"]))


def _fill_of(row: sqlite3.Row) -> OrderFilled:
    """Return a fill as it was reported; what its row leaves open was not said."""
    said = {name: of for name, of in dict(row).items() if of is not None}
    return msgspec.convert({**said, **_fee_of(row)}, OrderFilled)


def _fee_of(row: sqlite3.Row) -> dict[str, Money]:
    """Return what a fill's fee was, where it was not in the currency."""
    if row["fee_asset"] is None:
        return {}
    return {"fee": Money(Asset(row["fee_asset"], row["fee_decimals"]), row["fee_amount"])}


def _cash(
    connection: sqlite3.Connection,
    engine_id: str,
    found: Known,
    kept: Mapping[tuple[str, int, int], int],
) -> None:
    left = dict(kept)
    for row in connection.execute(
        "SELECT * FROM cash_moves WHERE engine_id = ? AND kind != ? ORDER BY seq",
        (engine_id, CashKind.FUNDING),
    ):
        key = (row["account"], row["at_ns"], row["amount_micro"])
        if left.get(key, 0):
            left[key] -= 1
            continue
        event = msgspec.convert(dict(row), CashMoved)
        found.cash.append((event.account, event, row["at_ns"]))


def _fundings(
    connection: sqlite3.Connection, engine_id: str, found: Known, kept: set[tuple[str, str]]
) -> None:
    for row in connection.execute(
        "SELECT * FROM funding WHERE engine_id = ? ORDER BY seq, stamp_ns", (engine_id,)
    ):
        event = msgspec.convert(dict(row), FundingPaid)
        if (event.account, event.name) not in kept:
            found.cash.append((event.account, event, row["at_ns"]))


def _liquidations(
    connection: sqlite3.Connection, engine_id: str, found: Known, kept: set[tuple[str, str]]
) -> None:
    """Take what a venue closed by itself; the currency is the account's, others are not booked."""
    for row in connection.execute(
        "SELECT l.*, a.currency FROM liquidations l JOIN accounts a ON a.engine_id = l.engine_id "
        "AND a.account = l.account WHERE l.engine_id = ? ORDER BY l.seq",
        (engine_id,),
    ):
        if (row["account"], row["name"]) not in kept:
            number = row["name"].removeprefix(f"liquidation:{row['instrument']}:")
            event = msgspec.convert(dict(row) | {"liquidation": number}, PositionLiquidated)
            found.liquidations.append((event.account, event, row["at_ns"]))


def _transfers(journal: Path, state: Path, engine_id: str, found: Known) -> None:
    """Take transfers that a command answered behind the journal's end, and that it lacks.

    No venue knows of owners: the command is all that is left of one.
    """
    left = [message for _, message in kinds_of(journal, ("HoldingTransferred",))]
    with reading(state) as connection:
        for who, at_ns, body in connection.execute(
            "SELECT who, answered_ns, body FROM commands WHERE engine_id = ? AND state = 'done' "
            "AND kind = 'TransferHolding' AND answered_ns >= ? ORDER BY answered_ns, id",
            (engine_id, found.since_ns),
        ):
            asked = msgspec.json.decode(body, type=TransferHolding)
            named = {**msgspec.structs.asdict(asked), "who": who}
            event = msgspec.convert(named, HoldingTransferred)
            if event in left:
                left.remove(event)
            else:
                found.transfers.append((event.account, event, at_ns))


def _markets(
    connection: sqlite3.Connection, engine_id: str, found: Known, listed: set[str], paid: set[str]
) -> None:
    """Take the terms that lost orders, tokens and liquidations need, and payouts that are lost."""
    came = {one.instrument for _, one, _ in found.cash if isinstance(one, CashMoved) and one.tokens}
    closed = (one for _, one, _ in found.liquidations if isinstance(one, PositionLiquidated))
    came |= {one.instrument for one in closed}
    moved = (one for _, one, _ in found.transfers if isinstance(one, HoldingTransferred))
    came |= {one.instrument for one in moved}
    needed = ({order.instrument for order in found.orders} | came) - listed
    for name, body in connection.execute(
        "SELECT id, body FROM instruments WHERE engine_id = ?", (engine_id,)
    ):
        if name in found.instruments:
            continue
        instrument = found.terms[name] = msgspec.json.decode(body, type=Instrument)
        if name in needed:
            found.listings.append(
                (ENGINE_WIDE, InstrumentListed(instrument=instrument), found.since_ns)
            )
            listed.add(name)
    for name, payout in connection.execute(
        "SELECT instrument, payout_yes_micro FROM listings "
        "WHERE engine_id = ? AND payout_yes_micro IS NOT NULL",
        (engine_id,),
    ):
        if name in listed and name not in paid:
            resolved = InstrumentResolved(
                instrument=InstrumentId(name), payout_yes_micro=payout, source="pitboss.db"
            )
            found.payouts.append((ENGINE_WIDE, resolved, found.since_ns))


def accept(
    journal: Path, engine_id: str, loss: Loss, messages: Sequence[Message], *, fence: int
) -> int:
    """Write everything behind what the journal has, in one transaction; give its last record.

    `fence` is the highest start anybody tells of: later ones go on above it. Raises StorageError.
    """
    if not any(isinstance(one, LossAccepted) for _, one, _ in messages):
        raise ValueError(f"nobody has accepted the loss of record {loss.projected_seq}")
    connection, last = open_journal(journal, engine_id)
    try:
        with storage_errors(journal), transaction(connection):
            above = max(fence_of(connection), fence) + UNSEEN_MAX
            connection.execute(
                "INSERT OR REPLACE INTO meta (key, value) VALUES ('fence', ?)", (str(above),)
            )
            connection.execute("DELETE FROM meta WHERE key = 'backup'")
            RECORDS.write(connection, _rows(messages, last))
    finally:
        connection.close()
    return last + len(messages)


def _rows(messages: Iterable[Message], last: int) -> list[RawRow]:
    rows: list[RawRow] = []
    for seq, (account, message, at_ns) in enumerate(messages, last + 1):
        kind, body = NAMES[type(message)], msgspec.msgpack.encode(message)
        crc = record_sum(names_sum(account, kind), seq, at_ns, 0, body)
        rows.append((seq, at_ns, account, kind, body, crc, 0))
    return rows
