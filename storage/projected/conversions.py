"""Conversions: cash that became pairs, and pairs that became cash."""

from __future__ import annotations

import msgspec

from engine.domain.events import PairsConverted, RedemptionsListed
from engine.domain.instruments import Mode
from storage.fold import Fold, Noun, ProjectedTable
from storage.journal import Record
from storage.projected.listings import ListingRow


class ConversionRow(msgspec.Struct, kw_only=True):
    """One row of `conversions`: cash that became pairs (`size` > 0), or pairs that became cash."""

    account: str
    transaction_id: str
    instrument: str
    mode: Mode
    size: int
    amount_micro: int
    at_ns: int
    seq: int


class PairsBooked(msgspec.Struct, frozen=True):
    """Emitted where a conversion is kept, the first time it is reported."""

    event: PairsConverted
    mode: Mode


def on_pairs_converted(fold: Fold, event: PairsConverted, record: Record) -> None:
    """Take a split or a merge once; one of a market that was never listed here is left out."""
    key = event.account, event.transaction, event.instrument
    if not fold.rows.find(ListingRow, event.instrument) or fold.rows.find(ConversionRow, *key):
        return
    mode = fold.rows.mode(event.account)
    fold.rows.put(
        ConversionRow(
            account=event.account, transaction_id=event.transaction, instrument=event.instrument,
            mode=mode, size=event.size, amount_micro=event.amount_micro, at_ns=event.at_ns,
            seq=record.seq,
        )
    )  # fmt: skip
    fold.emit(PairsBooked(event, mode), record)


def on_redemptions_listed(fold: Fold, event: RedemptionsListed, record: Record) -> None:
    """Take conversions from a question: each as the event it would have been."""
    for conversion in event.conversions:
        on_pairs_converted(fold, conversion, record)


NOUN = Noun(
    (ProjectedTable(ConversionRow, "conversions", ("account", "transaction_id", "instrument")),),
    {PairsConverted: on_pairs_converted, RedemptionsListed: on_redemptions_listed},
)
