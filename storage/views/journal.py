"""Search of a journal for the dashboard: backwards, bounded, and saying how far it looked."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import islice
from pathlib import Path
from sqlite3 import Connection
from typing import Any

import msgspec

from engine.domain.effects import CancelAll, CancelOrders, PlaceOrder
from engine.domain.events import OrderFilled, OrderReported
from engine.domain.instruments import Instrument
from storage.database import reading
from storage.journal import (
    LAST_SEQ,
    blocks,
    decode,
    owner,
    record_of,
    rows_backwards,
    rows_of,
    thinned_to,
)
from storage.views import Row

SCANNED_MAX = 20_000
"""Most records one search reads: bodies are packed, so a text is only found by unpacking."""

ROWS_MAX = 500
LISTINGS_MAX = 5_000
PLACINGS_MAX = 2_000
"""Most placings that are read to say of which market the found fills are."""


class JournalPage(msgspec.Struct, frozen=True, kw_only=True):
    """What a search of a journal found, and how far back it looked."""

    records: list[Row]
    """seq, at_ns, account, kind, body (JSON), message (the struct), instrument (of a fill's order,
    empty where its placing is too long ago)."""
    scanned: int
    first_seq: int | None
    """The oldest record looked at; None = the journal is empty."""
    complete: bool
    """True = looked at all records up to the oldest, or enough were found."""


def search_journal(
    path: Path,
    *,
    kind: str = "",
    text: str = "",
    without: Collection[str] = (),
    limit: int = ROWS_MAX,
) -> JournalPage:
    """Search a journal backwards from its end: records of a kind whose JSON holds `text`.

    `without` = kinds that are passed over.
    Raises StorageError where the file cannot be read, JournalCorrupt for an unreadable record.
    """
    found: list[Row] = []
    scanned, first = 0, None
    with reading(path) as connection:
        source = islice(rows_backwards(connection, path, LAST_SEQ, kind), SCANNED_MAX)
        for record in map(record_of, source):
            scanned, first = scanned + 1, record.seq
            if record.kind in without:
                continue
            message = decode(record)
            view = msgspec.json.encode(message).decode()
            if text.lower() in view.lower():
                found.append(
                    {
                        "seq": record.seq,
                        "at_ns": record.at_ns,
                        "account": record.account,
                        "kind": record.kind,
                        "body": view,
                        "message": message,
                        "instrument": "",
                    }
                )
            if len(found) == limit:
                break
        _name_instruments(connection, path, found)
    complete = scanned < SCANNED_MAX or len(found) == limit
    return JournalPage(records=found, scanned=scanned, first_seq=first, complete=complete)


def _name_instruments(connection: Connection, path: Path, found: Sequence[Row]) -> None:
    """Write to each fill what it was of: its record names its order alone."""
    fills: dict[tuple[str, int], list[Row]] = {}
    for row in found:
        if isinstance(row["message"], OrderFilled):
            fills.setdefault((row["account"], row["message"].order), []).append(row)
    placings = rows_backwards(connection, path, found[0]["seq"] if fills else 0, "PlaceOrder")
    for placed in map(record_of, islice(placings, PLACINGS_MAX)):
        order = decode(placed).order
        for row in fills.pop((placed.account, order.id), ()):
            row["instrument"] = order.instrument
        if not fills:
            return


def listings(path: Path) -> dict[str, Instrument]:
    """Return the instruments a run's journal lists, by name. Raises StorageError."""
    with reading(path) as connection:
        rows = islice(rows_backwards(connection, path, LAST_SEQ, "InstrumentListed"), LISTINGS_MAX)
        made = [decode(record_of(row)).instrument for row in rows]
    return {instrument.id: instrument for instrument in reversed(made)}


# -- The life of one order: every record of the journal that tells of it, in order -----------------

CANCELS = ("CancelOrders", "CancelAll")
HISTORY_SCANNED_MAX = 400_000
"""Most records one life is searched in; a third of a second."""

_pack = msgspec.msgpack.encode


class OrderEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One record of an order's life."""

    seq: int
    at_ns: int
    kind: str
    message: Any


class OrderHistory(msgspec.Struct, frozen=True, kw_only=True):
    """All moments of a life that were found; `whole` False = the search ended before its end.

    `gone` = not all records of its time are kept any more.
    """

    moments: tuple[OrderEvent, ...]
    whole: bool
    gone: bool = False


def history_of(
    path: Path,
    *,
    account: str,
    order: int,
    created_ns: int,
    last_seq: int,
    fills: Sequence[str] = (),
) -> OrderHistory:
    """Return an order's life between its placing and `last_seq`; `fills` are its fills' ids.

    The journal has no index by order; its records are in the order of time, so the first one is
    found by halves, and the rest lies between there and `last_seq`.
    Raises StorageError where the journal cannot be read, JournalCorrupt for an unreadable record.
    """
    named = _pack("order") + _pack(order)
    placed = _pack("id") + _pack(order) + _pack("bot")
    about = [named, placed, *(_pack("fill") + _pack(fill) for fill in fills)]
    owner(path)
    moments: list[OrderEvent] = []
    with reading(path) as connection:
        gone, _ = thinned_to(connection)
        first = _first_at(connection, path, created_ns)
        last = min(last_seq, first + HISTORY_SCANNED_MAX)
        for row in rows_of(connection, path, first, last):
            seq, at_ns, whose, kind, body, _, _ = row
            if whose != account or not (kind in CANCELS or any(mark in body for mark in about)):
                continue
            if _about(message := decode(record_of(row)), order, fills, moments):
                moments.append(OrderEvent(seq=seq, at_ns=at_ns, kind=kind, message=message))
    return OrderHistory(moments=tuple(moments), whole=last_seq <= last, gone=first <= gone)


def _about(event: Any, number: int, fills: Sequence[str], before: Sequence[OrderEvent]) -> bool:
    """Judge what the search by bytes only suspects."""
    match event:
        case PlaceOrder(order=order):
            return bool(order.id == number)
        case CancelOrders(orders=orders):
            return number in orders
        case CancelAll(scope=scope):
            placed = before[0].message.order if before and before[0].kind == "PlaceOrder" else None
            return placed is not None and (
                scope.instrument in (None, placed.instrument) and scope.bot in (None, placed.bot)
            )
        case OrderReported(report=report):
            return bool(report.order == number)
        case _:
            return getattr(event, "order", None) == number or getattr(event, "fill", None) in fills


def _first_at(connection: Connection, path: Path, at_ns: int) -> int:
    """Return the first record that is not before a time, or of its block in the archive."""
    for block in blocks(connection, path, "last_ns >= ? ORDER BY first LIMIT 1", (at_ns,)):
        return block.first
    low, high = connection.execute(
        "SELECT coalesce(min(seq), 1), coalesce(max(seq), 0) + 1 FROM records"
    ).fetchone()
    while low < high:
        middle = (low + high) // 2
        row = connection.execute(
            "SELECT at_ns FROM records WHERE seq >= ? ORDER BY seq LIMIT 1", (middle,)
        ).fetchone()
        if row is not None and row[0] < at_ns:
            low = middle + 1
        else:
            high = middle
    return int(low)
