"""Projections: orders, fills and positions in the state file, read from the journal alone.

They carry the seq they have read up to and that record's checksum. Where those disagree with the
journal, or this code folds differently than the one before, everything is built anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice, takewhile
from pathlib import Path
from sqlite3 import Connection
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from engine.domain import effects, events
from engine.domain.commands import MANUAL
from engine.domain.events import CashMoved, OrderFilled, PairsConverted
from engine.domain.fills import FillState
from engine.domain.instruments import Instrument, Leg, Mode, Side
from engine.domain.money import ceil_div
from engine.domain.order_life import JOURNALED_STATES, Happened
from engine.domain.orders import Order, OrderState
from engine.domain.settings import AccountSettings
from engine.errors import JournalCorrupt, StorageError
from storage import schema
from storage.bets import Bets
from storage.database import filled, insert, reading, transaction, upsert, writing
from storage.journal import Record, decode, kinds_of, last_seq, load, owner, record_at
from storage.journal_writer import names_sum, record_sum
from storage.rows import (
    TABLES,
    CashRow,
    ConversionRow,
    FillRow,
    ListingRow,
    NewsRow,
    OrderRow,
    PositionRow,
    RedemptionRow,
    Rows,
)

VERSION = 11
"""Raise it with every change of what a record means to a row: old projections are rebuilt."""

BATCH = 10_000
"""Records of one transaction."""


class Projected(msgspec.Struct, frozen=True, kw_only=True):
    """What one call did: up to which seq, how many records, whether all was built anew."""

    seq: int
    records: int
    rebuilt: bool
    problems: tuple[str, ...]
    """A sentence for each record that could not be used, the first hundred."""


def register_account(
    connection: Connection, *, engine_id: str, account: str, mode: Mode, venue: str,
    currency: str,
) -> None:  # fmt: skip
    """Note an account before its first record. Raises StorageError where its mode would change."""
    with transaction(connection):
        row = connection.execute(
            "SELECT mode FROM accounts WHERE engine_id = ? AND account = ?", (engine_id, account)
        ).fetchone()
        if row is not None and row[0] != mode:
            raise StorageError(
                f"account {account!r} is {row[0]} and cannot become {mode}: positions never cross "
                "modes; use its twin account"
            )
        insert(
            connection, "accounts", verb="INSERT OR REPLACE",
            engine_id=engine_id, account=account, mode=mode, venue=venue, currency=currency,
        )  # fmt: skip


class Loss(msgspec.Struct, frozen=True, kw_only=True):
    """A journal that lacks what the projections have read of it."""

    journal_seq: int
    """The last record the journal has; 0 = it has none."""
    projected_seq: int
    crc: int
    """Checksum of the record the projections have read last."""

    def sentence(self, journal: Path, state: Path) -> str:
        if self.journal_seq < self.projected_seq:
            ends = (
                f"ends at record {self.journal_seq}" if self.journal_seq else "is missing or empty"
            )
            head = f"{journal} {ends}, but"
        else:
            head = f"{journal} goes on to record {self.journal_seq} with another past:"
        return (
            f"{head} {state} has read it up to record {self.projected_seq}: put the file back with "
            "its -wal, or restore a backup; where there is neither, `python -m engine recover` "
            "shows what is lost, and goes on without it if you accept that"
        )


def read_to(connection: Connection, engine_id: str) -> tuple[int, int, int] | None:
    """Return the version of the rows, the last record they have read and its checksum."""
    row: tuple[int, int, int] | None = connection.execute(
        "SELECT version, seq, crc FROM projection WHERE engine_id = ?", (engine_id,)
    ).fetchone()
    return row


def find_loss(journal: Path, state: Path, engine_id: str) -> Loss | None:
    """Return what the journal lost of what the projections had read; None = nothing.

    Also None where a person has accepted exactly that. Raises JournalCorrupt, StorageError.
    """
    with reading(state) as connection:
        read = read_to(connection, engine_id)
    if read is None:
        return None
    version, seq, crc = read
    last = last_seq(journal) if filled(journal) else 0
    if last >= seq:
        record = record_at(journal, seq)
        if version != VERSION or (record is not None and _sum(record) == crc):
            return None
    for _, accepted in kinds_of(journal, ("LossAccepted",)):
        if (accepted.projected_seq, accepted.projected_crc) == (seq, crc):
            return None
    return Loss(journal_seq=last, projected_seq=seq, crc=crc)


def check_past(journal: Path, state: Path, engine_id: str) -> None:
    """Refuse a journal that lacks records the projections have read, before anything is written.

    Without this it would be the past: limits and latch forgotten, order numbers used again, rows
    thrown away. Call it before anything opens the journal for writing. Raises JournalCorrupt,
    StorageError.
    """
    loss = find_loss(journal, state, engine_id)
    if loss is not None:
        raise JournalCorrupt(loss.sentence(journal, state))


def check_new(journal: Path, state: Path) -> None:
    """Refuse a state that knows no account beside a journal that has records.

    A first start there would know the demo's accounts alone: nobody would ask about what others
    left at their venues, and a KILL would call that proven. Raises StorageError.
    """
    if not (filled(journal) and (last := last_seq(journal))):
        return
    if filled(state):
        with reading(state) as connection:
            if connection.execute("SELECT 1 FROM accounts UNION SELECT 1 FROM settings").fetchone():
                return
    raise StorageError(
        f"{state} is missing or empty, but {journal} has {last} records: put it back, or restore "
        f"it from a backup as README's Recovery says; to begin without a past move {journal.name} "
        "away, too"
    )


def bring_up_to_date(state: Path, journal: Path) -> str | None:
    """Migrate, but make no new state beside a journal that has a past; give the backup's path.

    Raises StorageError.
    """
    if not filled(state):
        check_new(journal, state)
    return schema.migrate(state)


def project(journal: Path, state: Path, *, until_seq: int | None = None) -> Projected:
    """Bring the projections of `journal` in `state` up to its end. Call it as often as you like.

    `until_seq` stops them at that record, so that they can be compared with what stood then.
    Raises JournalCorrupt where the journal cannot be believed (the rows stay at what was proven),
    StorageError where a file refuses.
    """
    engine_id = owner(journal)
    # What a power cut takes from the projections, the journal gives back: they need no FULL.
    with writing(state, synchronous="NORMAL") as connection:
        seq, rebuilt = _start(connection, journal, state, engine_id)
        rows = Rows(connection, engine_id, registered(connection, engine_id))
        projection = Projection(rows)
        records = 0
        last = 2**63 - 1 if until_seq is None else until_seq
        wanted = takewhile(
            lambda record: record.seq <= last, load(journal, after_seq=seq, thinned=True)
        )
        for batch in _batches(wanted):
            with transaction(connection):
                for record in batch:
                    projection.take(record)
                rows.flush()
                _note(connection, engine_id, batch[-1])
            seq, records = batch[-1].seq, records + len(batch)
    return Projected(seq=seq, records=records, rebuilt=rebuilt, problems=tuple(projection.problems))


def _start(connection: Connection, journal: Path, state: Path, engine_id: str) -> tuple[int, bool]:
    """Return the seq to go on from, and whether the rows had to be thrown away."""
    read = read_to(connection, engine_id)
    if read is None:
        return 0, False
    version, seq, crc = read
    record = record_at(journal, seq)
    if version == VERSION and record is not None and _sum(record) == crc:
        return seq, False
    check_past(journal, state, engine_id)  # the rows may be all that is left of lost records
    with transaction(connection):
        for table in (*TABLES, "projection"):
            connection.execute(f"DELETE FROM {table} WHERE engine_id = ?", (engine_id,))  # noqa: S608 our own tables
    return 0, True


def registered(connection: Connection, engine_id: str) -> dict[str, Mode]:
    """Return the mode of every account that was ever registered. Raises StorageError."""
    return {name: one.mode for name, one in accounts_known(connection, engine_id).items()}


def accounts_known(connection: Connection, engine_id: str) -> dict[str, AccountSettings]:
    """Return every account that was ever registered, as it is opened to be asked.

    Raises StorageError where a row is damaged.
    """
    found = {}
    for name, mode, venue, currency in connection.execute(
        "SELECT account, mode, venue, currency FROM accounts WHERE engine_id = ?", (engine_id,)
    ):
        try:
            found[name] = AccountSettings(name=name, mode=mode, venue=venue, currency=currency)
        except ValueError as error:
            raise StorageError(
                f"the row of account {name!r} in pitboss.db is damaged: restore pitboss.db from "
                f"a backup, as docs/recovery.md says ({error})"
            ) from error
    return found


def _batches(records: Iterable[Record]) -> Iterator[list[Record]]:
    source = iter(records)
    while batch := list(islice(source, BATCH)):
        yield batch


def _note(connection: Connection, engine_id: str, record: Record) -> None:
    insert(
        connection, "projection", ends=upsert((), ("version", "seq", "crc")),
        engine_id=engine_id, version=VERSION, seq=record.seq, crc=_sum(record),
    )  # fmt: skip


def _sum(record: Record) -> int:
    names = names_sum(record.account, record.kind)
    return record_sum(names, record.seq, record.at_ns, record.tape, record.body)


# -- Fills and positions: booked once, settled or reversed once ------------------------------------
# A fill is booked once whatever is told twice; a void reverses it once; news that overtakes its
# fill waits for it; CONFIRMED against FAILED is told and changes nothing. Where an order stands is
# what the executor says of it; fills, positions and cash are booked from the facts, so that they
# bear a second witness.

DECIDED = frozenset({FillState.CONFIRMED, FillState.FAILED})


class Fills:
    """Books fills into `rows`. What contradicts itself is said through `report`."""

    def __init__(self, rows: Rows, report: Callable[[str], None]) -> None:
        self.rows, self.bets = rows, Bets(rows)
        self._report = report

    def known(self, event: OrderFilled, record: Record) -> bool:
        """Say whether the fill stands already; then it moves on as far as the event tells."""
        fill = self.rows.find(FillRow, event.account, event.fill)
        if fill is None:
            return False
        self._advance(fill, event.state, event.transaction, record)
        return True

    def first(self, order: OrderRow, event: OrderFilled, record: Record) -> None:
        """Book a fill heard of for the first time, and what was told of it before."""
        fill = self._fill_of(order, event, record)
        self.rows.put(fill)
        self._book(fill, record)
        if fill.state is FillState.FAILED:
            self._reverse(fill, record)
        news = self.rows.find(NewsRow, event.account, event.fill)
        if news is not None:
            self.rows.drop(news)
            self._advance(fill, news.state, UNSET, record)

    def news(
        self, account: str, fill_id: str, state: FillState, chain: str | UnsetType, record: Record
    ) -> None:
        """Move a fill on; where it is not there yet, the news waits for it."""
        fill = self.rows.find(FillRow, account, fill_id)
        if fill is not None:
            self._advance(fill, state, chain, record)
            return
        early = self.rows.find(NewsRow, account, fill_id)
        if early is None or early.state not in DECIDED:
            self.rows.put(NewsRow(account=account, fill=fill_id, state=state, seq=record.seq))

    def _fill_of(self, order: OrderRow, event: OrderFilled, record: Record) -> FillRow:
        listing = self.rows.find(ListingRow, order.instrument)
        value = None
        if listing is not None and listing.value_divisor is not None:
            raw = event.price * event.size
            # Rounded against us, as the ledger does: what we pay up, what we get down.
            buys = order.side is Side.BUY
            value = ceil_div(raw, listing.value_divisor) if buys else raw // listing.value_divisor
        return FillRow(
            account=event.account, id=event.fill, mode=order.mode, order_id=order.id, bot=order.bot,
            instrument=order.instrument, leg=order.leg, side=order.side, price=event.price,
            size=event.size, value_micro=value, fee_micro=event.fee_micro,
            liquidity=event.liquidity, state=event.state, source=event.source,
            transaction_id=event.transaction or None, at_ns=record.at_ns, updated_ns=record.at_ns,
            seq=record.seq,
        )  # fmt: skip

    def convert(self, event: PairsConverted, mode: Mode, record: Record) -> None:
        """Book a split as a buy of both legs, a merge as a sale of both."""
        half = event.amount_micro // 2
        for leg, value in ((Leg.YES, half), (Leg.NO, event.amount_micro - half)):
            position = self._position(event.account, event.instrument, leg, mode, record)
            position.convert(event.size, value)
        self.bets.convert(event, self.rows.find(ListingRow, event.instrument), mode, record)

    def take_in(self, event: CashMoved, mode: Mode, record: Record) -> None:
        """Book tokens that came without a trade here as bought for what they cost, by hand."""
        account, instrument, leg = event.account, event.instrument, event.leg
        if instrument is None or leg is None:
            raise JournalCorrupt(f"record {record.seq} tells of tokens and not of which")
        position = self._position(account, instrument, leg, mode, record)
        position.convert(event.tokens, event.amount_micro)
        bet = self.bets.of((account, instrument, MANUAL), mode, record)
        bet.take_in(leg, event.tokens, event.amount_micro)
        self.bets.judge(bet, self.rows.find(ListingRow, instrument), record)

    def _position(
        self, account: str, instrument: str, leg: Leg, mode: Mode, record: Record
    ) -> PositionRow:
        position = self.rows.find(PositionRow, account, instrument, leg)
        if position is None:
            position = PositionRow(
                account=account, instrument=instrument, leg=leg, mode=mode,
                updated_ns=record.at_ns, seq=record.seq,
            )  # fmt: skip
        position.updated_ns, position.seq = record.at_ns, record.seq
        self.rows.put(position)
        return position

    def _book(self, fill: FillRow, record: Record, sign: int = 1) -> None:
        """Add a fill to position and bet; with sign −1, take it out as if it had never been."""
        self._position(fill.account, fill.instrument, fill.leg, fill.mode, record).take(fill, sign)
        bet = self.bets.of((fill.account, fill.instrument, fill.bot), fill.mode, record)
        bet.take(fill, sign)
        self.bets.judge(bet, self.rows.find(ListingRow, fill.instrument), record)

    def _reverse(self, fill: FillRow, record: Record) -> None:
        self._book(fill, record, sign=-1)
        order = self.rows.find(OrderRow, fill.account, fill.order_id)
        if order is not None:
            order.voided += fill.size
            order.fee_micro -= fill.fee_micro
            order.updated_ns, order.seq = record.at_ns, record.seq
            self.rows.put(order)

    def _advance(
        self, fill: FillRow, state: FillState, transaction: str | UnsetType, record: Record
    ) -> None:
        """Move a booked fill on. Older news changes nothing; a contradiction is told."""
        if transaction and transaction != fill.transaction_id:
            fill.transaction_id, fill.seq = transaction, record.seq
            self.rows.put(fill)
        if state is FillState.MATCHED or state is fill.state:
            return
        if fill.state in DECIDED:
            if state in DECIDED:
                self._report(f"record {record.seq}: fill {fill.id} is {fill.state}, told {state}")
            return
        if state is FillState.CONFIRMED:
            position = self._position(fill.account, fill.instrument, fill.leg, fill.mode, record)
            signed = fill.size if fill.side is Side.BUY else -fill.size
            position.pending -= signed
            position.settled += signed
        elif state is FillState.FAILED:
            self._reverse(fill, record)
        fill.state, fill.updated_ns, fill.seq = state, record.at_ns, record.seq
        self.rows.put(fill)


# -- All of it: every handler takes one decoded message and its record -----------------------------

PROBLEMS_MAX = 100


class Projection:
    """Folds records into `rows`. `problems`: a sentence for each record that could not be used."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self.problems: list[str] = []
        self._fills = Fills(rows, self._report)

    def take(self, record: Record) -> None:
        """Projection one record; kinds that tell nothing of orders or fills pass by undecoded."""
        handler = HANDLERS.get(record.kind)
        if handler is not None:
            handler(self, decode(record), record)

    def _report(self, sentence: str) -> None:
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append(sentence)

    # -- orders ------------------------------------------------------------------------------------

    def place(self, effect: effects.PlaceOrder, record: Record) -> None:
        """Take a new order; told twice it is the same one."""
        order: Order = effect.order
        if self.rows.find(OrderRow, order.account, order.id) is not None:
            return
        asked = msgspec.structs.asdict(order)
        del asked["fence"]
        self.rows.put(
            OrderRow(
                **asked, mode=self.rows.mode(order.account), identity=effect.identity,
                state=OrderState.SENT if effect.identity else OrderState.PENDING,
                updated_ns=record.at_ns, seq=record.seq,
            )
        )  # fmt: skip

    def _order(self, account: str, number: int, record: Record) -> OrderRow | None:
        order = self.rows.find(OrderRow, account, number)
        if order is None:
            self._report(
                f"record {record.seq}: {record.kind} of order {number} at {account}, "
                "which the journal never placed"
            )
        return order

    def happened(self, event: Any, record: Record) -> None:
        """Take what a record tells by itself of where orders went, and under which name."""
        happened = HAPPENED[record.kind]
        for number in getattr(event, "orders", None) or (event.order,):
            order = self._order(event.account, number, record)
            if order is not None:
                after = JOURNALED_STATES.get((order.state, happened))
                if after is not None:
                    order.state, order.reason = after, getattr(event, "why", "")
                order.identity = getattr(event, "identity", order.identity)
                self._touch(order, record)

    def changed(self, change: effects.OrderChanged, record: Record) -> None:
        """Take where the executor says an order stands: this is no second opinion."""
        order = self._order(change.account, change.order, record)
        if order is not None:
            if order.state is not change.state:
                order.state, order.reason = change.state, change.reason
            order.filled = change.filled
            self._touch(order, record)

    def _touch(self, order: OrderRow, record: Record) -> None:
        order.updated_ns, order.seq = record.at_ns, record.seq
        self.rows.put(order)

    # -- fills -------------------------------------------------------------------------------------

    def filled(self, event: events.OrderFilled, record: Record) -> None:
        """Book a fill once; told again it can only move on."""
        order = self._order(event.account, event.order, record)
        if order is None or self._fills.known(event, record):
            return
        order.fee_micro += event.fee_micro
        self._touch(order, record)
        self._fills.first(order, event, record)

    def news(self, event: Any, record: Record) -> None:
        state = SETTLES.get(record.kind) or event.state
        chain = getattr(event, "transaction", UNSET)  # of a void fill none is told
        self._fills.news(event.account, event.fill, state, chain, record)

    def fills_listed(self, event: events.FillsListed, record: Record) -> None:
        for fill in event.fills:
            self.filled(fill, record)

    # -- instruments -------------------------------------------------------------------------------

    def _listing(self, instrument: str, record: Record) -> ListingRow:
        listing = self.rows.find(ListingRow, instrument)
        if listing is None:
            listing = ListingRow(instrument=instrument, seq=record.seq)
        listing.seq = record.seq
        self.rows.put(listing)
        return listing

    def listed(self, event: events.InstrumentListed, record: Record) -> None:
        instrument: Instrument = event.instrument
        listing = self._listing(instrument.id, record)
        listing.value_divisor = instrument.value_divisor
        listing.one_token = 10**instrument.size_decimals

    def resolved(self, event: events.InstrumentResolved, record: Record) -> None:
        listing = self._listing(event.instrument, record)
        if listing.payout_yes_micro != event.payout_yes_micro:
            listing.payout_yes_micro = event.payout_yes_micro
            for bet in self.rows.bets_in(event.instrument):
                self._fills.bets.judge(bet, listing, record)

    # -- cash --------------------------------------------------------------------------------------

    def cash(self, event: events.CashMoved, record: Record) -> None:
        mode, cash = self.rows.mode(event.account), event.amount_micro
        self.rows.put(
            CashRow(
                account=event.account, seq=record.seq, mode=mode, currency=event.currency,
                amount_micro=cash, kind=event.kind, payment=event.payment,
                paid_ns=event.paid_ns, at_ns=record.at_ns, instrument=event.instrument,
                leg=event.leg, tokens=event.tokens,
            )
        )  # fmt: skip
        if event.tokens:
            self._fills.take_in(event, mode, record)
        elif event.payment:
            self._fills.bets.reward(event, record)

    # -- redemptions -------------------------------------------------------------------------------

    def redeemed(self, event: events.TokensRedeemed, record: Record) -> None:
        """Take a payment once; of a market that is nobody's here it tells nothing."""
        self._paid(RedemptionRow, event, record)

    def converted(self, event: events.PairsConverted, record: Record) -> None:
        """Take a split or a merge once: half of its cash is each leg's."""
        if self._paid(ConversionRow, event, record, size=event.size):
            self._fills.convert(event, self.rows.mode(event.account), record)

    def _paid(self, kind: Any, event: Any, record: Record, **figures: int) -> bool:
        key = event.account, event.transaction, event.instrument
        if not self.rows.find(ListingRow, key[2]) or self.rows.find(kind, *key):
            return False
        self.rows.put(
            kind(
                account=key[0], transaction_id=key[1], instrument=key[2], seq=record.seq, **figures,
                mode=self.rows.mode(key[0]), at_ns=event.at_ns, amount_micro=event.amount_micro,
            )
        )  # fmt: skip
        return True

    def redemptions_listed(self, event: events.RedemptionsListed, record: Record) -> None:
        """Take payments from a question: each as the event it would have been."""
        for redemption in event.redemptions:
            self.redeemed(redemption, record)
        for conversion in event.conversions:
            self.converted(conversion, record)


HAPPENED = {
    "OrderNamed": Happened.NAMED,
    "CancelOrders": Happened.CANCEL_ASKED,
    "OrderSent": Happened.SENT,
    "OrderAccepted": Happened.ACCEPTED,
    "OrderCancelled": Happened.CANCELLED,
}
SETTLES = {"FillSettled": FillState.CONFIRMED, "FillVoided": FillState.FAILED}
HANDLERS: dict[str, Callable[[Projection, Any, Record], None]] = {
    "PlaceOrder": Projection.place,
    **dict.fromkeys(HAPPENED, Projection.happened),
    "OrderChanged": Projection.changed,
    "OrderFilled": Projection.filled,
    "FillAdvanced": Projection.news,
    "FillSettled": Projection.news,
    "FillVoided": Projection.news,
    "FillsListed": Projection.fills_listed,
    "InstrumentListed": Projection.listed,
    "InstrumentResolved": Projection.resolved,
    "CashMoved": Projection.cash,
    "TokensRedeemed": Projection.redeemed,
    "PairsConverted": Projection.converted,
    "RedemptionsListed": Projection.redemptions_listed,
}
