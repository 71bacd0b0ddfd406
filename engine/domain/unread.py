"""Rows of a venue's listings that cannot be read: named, and never taken for nothing."""

from __future__ import annotations

import msgspec
from msgspec import UnsetType

from engine.domain.instruments import InstrumentId
from engine.domain.orders import OrderId
from engine.errors import BadInput


class UnreadRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of a listing that cannot be read. It hides no other row."""

    row: str
    """The venue's id of it."""
    reason: str
    ours: bool
    """True where it is, or may be, of an order, a fill, tokens or money of this account."""
    order: OrderId | None = None
    """Ours, where it names an order known to us."""
    instrument: InstrumentId | None = None


def unread_of_ours(unread: tuple[UnreadRow, ...] | UnsetType) -> tuple[UnreadRow, ...]:
    """Return the rows of a listing that are, or may be, ours and cannot be read."""
    return tuple(row for row in unread or () if row.ours)


def refuse_unread(unread: tuple[UnreadRow, ...] | UnsetType, what: str) -> None:
    """Raise BadInput where a row of ours cannot be read, for whoever needs the whole listing."""
    for row in unread_of_ours(unread):
        raise BadInput(f"row {row.row} of the venue's {what} cannot be read: {row.reason}")
