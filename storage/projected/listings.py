"""Listings: what the journal knows of an instrument, and what it pays."""

from __future__ import annotations

import msgspec
from msgspec import UNSET

from engine.domain import events
from engine.domain.instruments import Instrument
from engine.domain.money import MICRO
from engine.domain.products.margin import PRICE_DECIMALS, ContractValue
from storage.fold import Fold, Noun, ProjectedTable
from storage.journal import Record


class ListingRow(msgspec.Struct, kw_only=True):
    """One row of `listings`: price · size // `value_divisor` = micro-units; what one YES pays.

    None = the journal never listed it; it is not resolved.
    """

    instrument: str
    value_divisor: int | None = None
    one_token: int | None = None
    """Increments of one token."""
    currency: str | None = None
    """None = it has two legs: its fees are in the currency alone."""
    base: str | None = None
    """The asset a spot pair trades; None = it trades none, or the venue does not name it."""
    base_step: int | None = None
    """Units of that asset in one increment of a size."""
    signed: bool = False
    """True where it is held long or short: a position is a signed size with a signed cost."""
    lot: int = 1
    """Increments that sizes of orders are multiples of, where it has one leg."""
    payout_yes_micro: int | None = None
    seq: int

    @property
    def linear(self) -> bool:
        """Say whether it has one leg: a pair, or what is held long or short."""
        return self.currency is not None

    @property
    def contract(self) -> ContractValue | None:
        """What a size of it is worth at a mark, in micro-units; None = it was never listed."""
        if self.one_token is None:
            return None
        return ContractValue(MICRO, self.one_token * 10**PRICE_DECIMALS)


class PayoutChanged(msgspec.Struct, frozen=True):
    """Emitted where an instrument pays something else than before."""

    listing: ListingRow


def on_instrument_listed(fold: Fold, event: events.InstrumentListed, record: Record) -> None:
    """Keep the terms of an instrument."""
    instrument: Instrument = event.instrument
    listing = _listing(fold, instrument.id, record)
    listing.value_divisor = instrument.value_divisor
    listing.one_token = 10**instrument.size_decimals
    if instrument.product.second is None:
        listing.currency, listing.lot = instrument.currency, instrument.lot
    listing.signed = instrument.product.signed
    if instrument.base is not UNSET:
        listing.base = instrument.base.id
        listing.base_step = 10 ** (instrument.base.decimals - instrument.size_decimals)


def on_instrument_resolved(fold: Fold, event: events.InstrumentResolved, record: Record) -> None:
    """Keep what an instrument pays."""
    listing = _listing(fold, event.instrument, record)
    if listing.payout_yes_micro != event.payout_yes_micro:
        listing.payout_yes_micro = event.payout_yes_micro
        fold.emit(PayoutChanged(listing), record)


def _listing(fold: Fold, instrument: str, record: Record) -> ListingRow:
    listing = fold.rows.find(ListingRow, instrument)
    if listing is None:
        listing = ListingRow(instrument=instrument, seq=record.seq)
    listing.seq = record.seq
    fold.rows.put(listing)
    return listing


NOUN = Noun(
    (ProjectedTable(ListingRow, "listings", ("instrument",)),),
    {
        events.InstrumentListed: on_instrument_listed,
        events.InstrumentResolved: on_instrument_resolved,
    },
)
