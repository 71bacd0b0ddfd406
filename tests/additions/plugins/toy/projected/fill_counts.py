"""Fill counts: how many fills of an account count, and how much was traded in each market."""

from __future__ import annotations

import msgspec

from engine.domain.instruments import Mode
from storage.fold import Fold, Noun, ProjectedTable
from storage.journal import Record
from storage.projected.fills import FillBooked


class FillCountRow(msgspec.Struct, kw_only=True):
    """One row of `toy__fill_counts`: void fills count nowhere."""

    account: str
    instrument: str
    mode: Mode
    fills: int = 0
    size: int = 0
    seq: int


def on_fill_booked(fold: Fold, booked: FillBooked, record: Record) -> None:
    """Count a fill, or take it out of the count."""
    fill = booked.fill
    key = fill.account, fill.instrument
    row = fold.rows.find(FillCountRow, *key) or FillCountRow(
        account=fill.account, instrument=fill.instrument, mode=fill.mode, seq=record.seq
    )
    row.fills += booked.sign
    row.size += booked.sign * fill.size
    row.seq = record.seq
    fold.rows.put(row)


NOUN = Noun(
    (ProjectedTable(FillCountRow, "toy__fill_counts", ("account", "instrument")),),
    {FillBooked: on_fill_booked},
)
