"""What others have in an account's wallet, by the venue's latest listings: orders and tokens.

An order is foreign where the journal does not have it: one of another key is left alone, one of our
own key is being cancelled by the engine. Tokens are foreign where the journal knows nothing of the
account in that leg; where it does, the engine's audit compares the amounts. What a person ignores
is among them, marked so.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from pathlib import Path
from sqlite3 import Connection
from typing import Any

import msgspec

from engine.domain.events import OpenOrdersListed, PositionsListed
from engine.domain.orders import OrderReport
from storage.commands import MarkKind, marks
from storage.database import reading
from storage.journal import decode, record_of
from storage.views import Row, shown
from storage.views.frame import listings_of

LOOKED_AT = 50_000
"""Latest records in which a listing is looked for: an engine that runs asks each minute."""


class ForeignSeen(msgspec.Struct, frozen=True, kw_only=True):
    """What others have, as rows. A time is None where no listing stands in the latest records."""

    orders: list[Row]
    orders_ns: int | None
    tokens: list[Row]
    tokens_ns: int | None


def foreign(connection: Connection, engine_id: str, *, journal: Path, account: str) -> ForeignSeen:
    """Return what others have in an account's wallet. Raises StorageError."""
    with reading(journal) as records:
        listed, orders_ns = _latest(records, account, OpenOrdersListed)
        held, tokens_ns = _latest(records, account, PositionsListed)
    held_here = "SELECT instrument, leg FROM positions WHERE engine_id = ? AND account = ?"
    ours = set(connection.execute(held_here, (engine_id, account)).fetchall())
    kept = marks(connection, engine_id, MarkKind.IGNORED)
    ignored = {one.subject for one in kept if one.account == account}
    others = [one for one in listed.orders if one.order is None] if listed else []
    tokens = [one for one in held.holdings if (one[0], one[1]) not in ours] if held else []
    names = {one.instrument for one in others} | {one[0] for one in tokens}
    terms = listings_of(connection, engine_id, sorted(names))
    return ForeignSeen(
        orders=[
            _order(one, account, terms.get(one.instrument, UNLISTED), ignored) for one in others
        ],
        orders_ns=orders_ns,
        tokens=[
            {
                "account": account,
                "instrument": name,
                "leg": leg.upper(),
                "size": shown(size, terms.get(name, UNLISTED)["size_decimals"]),
                "increments": size,
                "subject": (subject := f"{name} {leg}"),
                "ignored": subject in ignored,
                "whose": "ignored" if subject in ignored else "not bought here",
            }
            for name, leg, size in tokens
        ],
        tokens_ns=tokens_ns,
    )


def _order(one: OrderReport, account: str, terms: Row, ignored: AbstractSet[str]) -> Row:
    whose = "ignored: left alone" if one.identity in ignored else "another key: left alone"
    return {
        "account": account,
        "instrument": one.instrument,
        "listed_kind": terms["listed_kind"],
        "way": f"{one.side} {one.leg}".upper(),
        "price": shown(one.price, terms["price_decimals"]),
        "size": shown(one.size, terms["size_decimals"]),
        "filled": shown(one.filled, terms["size_decimals"]),
        "whose": "our key: being cancelled" if one.ours else whose,
        "identity": one.identity,
        "subject": str(one.identity),
        "ours": one.ours,
        "ignored": one.ours or one.identity in ignored,
    }


UNLISTED: Row = {"price_decimals": None, "size_decimals": None, "listed_kind": None}


def _latest(records: Connection, account: str, kind: type[Any]) -> tuple[Any, int | None]:
    row = records.execute(
        "SELECT * FROM records WHERE seq > (SELECT max(seq) FROM records) - ? "
        "AND account = ? AND kind = ? ORDER BY seq DESC LIMIT 1",
        (LOOKED_AT, account, kind.__name__),
    ).fetchone()
    if row is None:
        return None, None
    record = record_of(row)
    return decode(record), record.at_ns
