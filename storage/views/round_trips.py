"""Round trips of what is held long or short, with what each brought to the last unit.

Folded from the journal (`round_trips` of the projection). Net = what came less what went, less
fees, with funding. Every function takes a reader's connection; modes and currencies never mix.
"""

from __future__ import annotations

from decimal import Decimal
from sqlite3 import Connection

import msgspec

from engine.domain.instruments import Mode
from storage.views import LISTED, UNITS, PageKey, Row, page, query
from storage.views.bets import BetSums, average, sums_sql, whose_where

KEY = ("closed_ns", "account", "instrument", "bot", "number")
"""What round trips are sorted by."""

NET = (
    "(iif(t.long, t.exit_micro - t.entry_micro, t.entry_micro - t.exit_micro) "
    "- t.fee_micro + t.funding_micro)"
)
"""What a closed one made, and of an open one its cash flow so far."""


def closed_round_trips(
    connection: Connection,
    engine_id: str,
    *,
    mode: Mode,
    whose: str = "",
    before: PageKey | None = None,
) -> list[Row]:
    """Return round trips that are over, the latest first, at most `ROWS_MAX` behind `before`.

    `entry` and `exit` are averages over all increments, `size` is what was opened in all,
    `side` long or short.
    """
    where, values = whose_where(whose)
    found = page(
        connection,
        engine_id,
        f"round_trips t {LISTED} "
        "LEFT JOIN listings l ON l.engine_id = t.engine_id AND l.instrument = t.instrument",
        f" AND t.mode = ? AND t.closed_ns IS NOT NULL{where}",
        (mode, *values),
        key=[f"t.{name}" for name in KEY],
        before=before,
        columns=f"t.*, {UNITS}, l.one_token, {NET} AS net_micro",
    )
    for row in found:
        one = row.pop("one_token")
        row["side"] = "long" if row["long"] else "short"
        row["size"] = Decimal(row["entered"]) / one if one else None
        worth_in, worth_out = row.pop("entry"), row.pop("exit")
        row["entry"] = average(worth_in, row["entered"], one)
        row["exit"] = average(worth_out, row["exited"], one)
        row["held_ns"] = row["closed_ns"] - row["opened_ns"]
    return found


def round_trip_sums(
    connection: Connection, engine_id: str, *, mode: Mode, whose: str = ""
) -> list[BetSums]:
    """Return what all round trips sum to, by the currency of their account."""
    where, values = whose_where(whose)
    found = query(connection, sums_sql("round_trips", NET, where), (engine_id, mode, *values))
    return msgspec.convert(found, list[BetSums])
