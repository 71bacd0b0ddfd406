"""Conversions: cash that became pairs, and pairs that became cash."""

from __future__ import annotations

import msgspec

from engine.domain.effects import MergePairs, SplitCash
from engine.domain.events import PairsConverted, RedemptionsListed
from engine.domain.instruments import UNASSIGNED, Mode
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


class ConversionAskedRow(msgspec.Struct, kw_only=True):
    """One row of `conversions_asked`: a split or merge that was asked for and is not kept yet."""

    account: str
    operation: int
    instrument: str
    size: int
    """Below zero = pairs are to become cash."""
    owner: str
    seq: int


class PairsBooked(msgspec.Struct, frozen=True):
    """Emitted where a conversion is kept, the first time it is reported."""

    event: PairsConverted
    mode: Mode
    owner: str
    """Who asked for it here; empty = it was not asked for here."""


def on_conversion_asked(fold: Fold, asked: MergePairs | SplitCash, record: Record) -> None:
    """Keep who asked for pairs to be made or merged; the venue does not report it."""
    size = asked.size if isinstance(asked, SplitCash) else -asked.size
    fold.rows.put(
        ConversionAskedRow(
            account=asked.account,
            operation=asked.operation,
            instrument=asked.instrument,
            size=size,
            owner=asked.owner,
            seq=record.seq,
        )
    )


def on_pairs_converted(fold: Fold, event: PairsConverted, record: Record) -> None:
    """Take a split or a merge once; one of a market that was never listed here is left out."""
    key = event.account, event.transaction, event.instrument
    if not fold.rows.find(ListingRow, event.instrument) or fold.rows.find(ConversionRow, *key):
        return
    mode = fold.rows.mode(event.account)
    fold.rows.put(
        ConversionRow(
            account=event.account,
            transaction_id=event.transaction,
            instrument=event.instrument,
            mode=mode,
            size=event.size,
            amount_micro=event.amount_micro,
            at_ns=event.at_ns,
            seq=record.seq,
        )
    )
    asked = fold.rows.matching(
        ConversionAskedRow, account=event.account, instrument=event.instrument, size=event.size
    )
    for one in asked:
        fold.rows.drop(one)
    owner = asked[0].owner if asked and asked[0].owner != UNASSIGNED else ""
    fold.emit(PairsBooked(event, mode, owner), record)


def on_redemptions_listed(fold: Fold, event: RedemptionsListed, record: Record) -> None:
    """Take conversions from a question: each as the event it would have been."""
    for conversion in event.conversions:
        on_pairs_converted(fold, conversion, record)


NOUN = Noun(
    (
        ProjectedTable(ConversionRow, "conversions", ("account", "transaction_id", "instrument")),
        ProjectedTable(ConversionAskedRow, "conversions_asked", ("account", "operation")),
    ),
    {
        MergePairs: on_conversion_asked,
        SplitCash: on_conversion_asked,
        PairsConverted: on_pairs_converted,
        RedemptionsListed: on_redemptions_listed,
    },
)
