"""Round trips of what has one leg: each way of an owner from flat back to flat.

A round trip begins with the trade that leaves flat and ends with the one that comes back to it,
be it a fill, a transfer, or a liquidation by the venue; a trade that passes through flat ends one
and begins the next, its value and fee shared by size as the position itself shares them
(`engine.domain.products.position`). A fill that becomes void trades back. All round trips of an
owner together are what its position made, to the unit: what is left of a pair, less than a lot that
no order can sell, goes from one into the next at what it cost.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from engine.domain.instruments import Mode
from engine.domain.money import ceil_div
from storage.fold import Fold, Noun, ProjectedTable
from storage.journal import Record
from storage.signed_trades import FundingShared, SignedTrade


class TripResult(StrEnum):
    """How a round trip ended."""

    OPEN = "open"
    CLOSED = "closed"
    LIQUIDATED = "liquidated"
    """The venue closed the last of it by itself."""
    VOIDED = "voided"
    """Every fill of it was reversed."""


class RoundTripRow(msgspec.Struct, kw_only=True):
    """One row of `round_trips`: one way of one owner from flat back to flat in one instrument.

    Net = what came less what went, less fees, with funding, once it is closed.
    """

    account: str
    instrument: str
    bot: str
    number: int
    """The owner's first in this instrument is 1."""
    mode: Mode
    long: bool
    """False = it was a short."""
    result: TripResult = TripResult.OPEN
    size: int = 0
    """Held now, in increments; below 0 short."""
    entered: int = 0
    """Increments that opened it, and what they were worth; both are never below 0."""
    entry_micro: int = 0
    exited: int = 0
    exit_micro: int = 0
    fee_micro: int = 0
    funding_micro: int = 0
    """What came for holding it, less what was paid."""
    fills: int = 0
    liquidated: int = 0
    """Increments that the venue closed by itself, less those that turned out another's."""
    opened_ns: int
    closed_ns: int | None = None
    """None = it is open."""
    updated_ns: int
    seq: int

    def trade(self, size: int, value: int, fee: int, trade: SignedTrade, record: Record) -> None:
        """Take a trade, or that part of one that does not pass through flat."""
        if size * self.size >= 0:
            self.entered += abs(size)
            self.entry_micro += abs(value)
            self.liquidated -= abs(size) * trade.liquidated
        else:
            self.exited += abs(size)
            self.exit_micro += abs(value)
            self.liquidated += abs(size) * trade.liquidated
        self.size += size
        self.fee_micro += fee
        self.fills += trade.fills
        self.updated_ns, self.seq = record.at_ns, record.seq
        if not self.size and self.closed_ns is None:
            ended = TripResult.LIQUIDATED if trade.liquidated else TripResult.CLOSED
            undone = trade.fills < 0 or (trade.liquidated and not self.liquidated)
            self.result = TripResult.VOIDED if undone and not self.fills else ended
            self.closed_ns = record.at_ns

    def set_aside(self) -> tuple[int, int]:
        """End it with less than a lot held; return that and what it cost: no part of it is made."""
        size, cost = self.size, self.entry_micro * self.size // self.entered
        self.exited += size
        self.exit_micro += cost
        self.size = 0
        self.result, self.closed_ns = TripResult.CLOSED, self.updated_ns
        return size, cost


class TripsBegun(msgspec.Struct, kw_only=True):
    """One row of `round_trips_begun`: how many round trips an owner began in an instrument."""

    account: str
    instrument: str
    bot: str
    mode: Mode | None = None
    """None = from before it was kept."""
    number: int = 0
    left: int = 0
    """What is left of a pair from the last one, less than a lot."""
    left_micro: int = 0
    """What that cost."""


def on_signed_trade(fold: Fold, trade: SignedTrade, record: Record) -> None:
    """Book a trade with the round trip it is of; one that passes through flat with both."""
    trip, filled, sign = _current(fold, trade, record), abs(trade.size), 1 if trade.size > 0 else -1
    held = 0 if trip is None else trip.size
    closes = min(filled, abs(held)) if trade.size * held < 0 else 0
    value = ceil_div(trade.value_micro * closes, filled) if closes else 0
    fee = trade.fee_micro * closes // filled if filled else trade.fee_micro
    if trip is not None and (closes or not filled):
        trip.trade(sign * closes, value, fee, trade, record)
        fold.rows.put(trip)
        if closes and 0 < trip.size < trade.lot:
            begun = _begun_of(fold, trade)
            begun.left, begun.left_micro = trip.set_aside()
            fold.rows.put(begun)
    if filled > closes:
        if trip is None or not trip.size:
            trip = _begun(fold, trade, record)
        rest = trade.value_micro - value, trade.fee_micro - fee
        trip.trade(sign * (filled - closes), *rest, trade, record)
        fold.rows.put(trip)


def on_funding_shared(fold: Fold, shared: FundingShared, record: Record) -> None:
    """Book an owner's funding with the round trip that was open at its stamp, else the first."""
    trip = _latest(fold, shared)
    while trip is not None and trip.opened_ns > shared.stamp_ns and trip.number > 1:
        trip = _numbered(fold, shared, trip.number - 1)
    if trip is not None:
        trip.funding_micro += shared.amount_micro
        trip.updated_ns, trip.seq = record.at_ns, record.seq
        fold.rows.put(trip)


def _current(fold: Fold, trade: SignedTrade, record: Record) -> RoundTripRow | None:
    """Return the round trip a trade meets; a new one where it meets what the last one left."""
    trip = _latest(fold, trade)
    if trip is None:  # of a pair a fee may take all that a fill brought
        return _begun(fold, trade, record) if not trade.size and trade.fills > 0 else None
    begins = not trip.size and trade.size and _begun_of(fold, trade).left
    return _begun(fold, trade, record) if begins else trip


Whose = SignedTrade | FundingShared


def _latest(fold: Fold, of: Whose) -> RoundTripRow | None:
    begun = fold.rows.find(TripsBegun, of.account, of.instrument, of.bot)
    return None if begun is None else _numbered(fold, of, begun.number)


def _numbered(fold: Fold, of: Whose, number: int) -> RoundTripRow | None:
    return fold.rows.find(RoundTripRow, of.account, of.instrument, of.bot, number)


def _begun_of(fold: Fold, trade: SignedTrade) -> TripsBegun:
    key = trade.account, trade.instrument, trade.bot
    found = fold.rows.find(TripsBegun, *key)
    return found or TripsBegun(account=key[0], instrument=key[1], bot=key[2], mode=trade.mode)


def _begun(fold: Fold, trade: SignedTrade, record: Record) -> RoundTripRow:
    """Begin an owner's next round trip."""
    begun = _begun_of(fold, trade)
    left, left_micro = begun.left, begun.left_micro
    begun.number += 1
    begun.left = begun.left_micro = 0
    fold.rows.put(begun)
    return RoundTripRow(
        account=trade.account,
        instrument=trade.instrument,
        bot=trade.bot,
        number=begun.number,
        mode=trade.mode,
        long=(left or trade.size or 1) > 0,
        size=left,
        entered=left,
        entry_micro=left_micro,
        opened_ns=record.at_ns,
        updated_ns=record.at_ns,
        seq=record.seq,
    )


NOUN = Noun(
    (
        ProjectedTable(
            RoundTripRow,
            "round_trips",
            ("account", "instrument", "bot", "number"),
            (("mode", "closed_ns", "account", "instrument", "bot", "number"),),
        ),
        ProjectedTable(TripsBegun, "round_trips_begun", ("account", "instrument", "bot")),
    ),
    {SignedTrade: on_signed_trade, FundingShared: on_funding_shared},
)
