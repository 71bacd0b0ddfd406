"""Bets: all that one bot, or a hand, did in one market, with what it brought to the last unit.

Folded from the journal (`bets` of the projection), apart from the engine's ledger. Net = received +
paid − spent − fees; rewards stand beside it, where the venue named the market and one bet alone
stood there. A bet is over when all its tokens are sold, or its market is resolved. Every function
takes a reader's connection; modes and currencies never mix.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from sqlite3 import Connection

import msgspec

from engine.domain.commands import MANUAL
from engine.domain.instruments import Mode
from storage.views import LISTED, UNITS, PageKey, Row, page, query

BOTS, BY_HAND = "all bots", "by hand"
"""Whose bets are asked for, besides the name of a bot; empty = everybody's."""

KEY = ("closed_ns", "account", "instrument", "bot")
"""What bets are sorted by."""

_NET = "(t.received_micro + t.paid_micro - t.spent_micro - t.fee_micro)"
NET = f"CASE WHEN t.unvalued = 0 THEN {_NET} END"
"""What a closed bet made; nothing where a fill has no value."""


def closed_bets(
    connection: Connection,
    engine_id: str,
    *,
    mode: Mode,
    whose: str = "",
    before: PageKey | None = None,
) -> list[Row]:
    """Return bets that are over, the latest first, at most `ROWS_MAX` behind the key `before`.

    `entry` and `exit` are averages over all tokens of a bet, `exit` None where every fill was void;
    `net` is None where a fill has no value, because its instrument was never listed.
    """
    where, values = whose_where(whose)
    found = page(
        connection,
        engine_id,
        f"bets t {LISTED} "
        "LEFT JOIN listings l ON l.engine_id = t.engine_id AND l.instrument = t.instrument",
        f" AND t.mode = ? AND t.closed_ns IS NOT NULL{where}",
        (mode, *values),
        key=[f"t.{name}" for name in KEY],
        before=before,
        columns=f"t.*, {UNITS}, l.one_token, {NET} AS net_micro",
    )
    for row in found:
        one = row.pop("one_token")
        out = row["sold"] + row["yes"] + row["no"]
        row["size"] = Decimal(row["bought"]) / one if one else None
        row["entry"] = average(row["spent"], row["bought"], one)
        row["exit"] = average(row["received"] + row["paid"], out, one)
        row["held_ns"] = row["closed_ns"] - row["opened_ns"]
    return found


def average(amount: Decimal, increments: int, one: int | None) -> Decimal | None:
    """Return what one of so many increments was worth; None = there were none."""
    return amount * one / increments if increments and one else None


class BetSums(msgspec.Struct, frozen=True, kw_only=True):
    """What bets, or round trips, sum to in one currency."""

    currency: str
    closed: int
    gained: int
    """Closed ones that brought more than they took."""
    net: Decimal
    fees: Decimal
    open: int
    flow: Decimal
    """What open ones have received less spent and fees; what they hold is worth is in no sum."""


def bet_sums(
    connection: Connection, engine_id: str, *, mode: Mode, whose: str = ""
) -> list[BetSums]:
    """Return what all bets sum to, by the currency of their account; unvalued ones in no sum."""
    where, values = whose_where(whose)
    found = query(
        connection,
        sums_sql("bets", _NET, f" AND t.unvalued = 0{where}"),
        (engine_id, mode, *values),
    )
    return msgspec.convert(found, list[BetSums])


def sums_sql(table: str, net: str, where: str) -> str:
    """Return SQL of `BetSums` over a table of what is closed and what is open, of a mode."""
    over = "t.closed_ns IS NOT NULL"
    return (
        f"SELECT a.currency, sum({over}) AS closed, sum({over} AND {net} > 0) AS gained, "  # noqa: S608 our own words
        f"sum(CASE WHEN {over} THEN {net} ELSE 0 END) AS net_micro, "
        f"sum(CASE WHEN {over} THEN t.fee_micro ELSE 0 END) AS fees_micro, "
        "sum(t.closed_ns IS NULL) AS open, "
        f"sum(CASE WHEN {over} THEN 0 ELSE {net} END) AS flow_micro FROM {table} t "
        "JOIN accounts a ON a.engine_id = t.engine_id AND a.account = t.account "
        f"WHERE t.engine_id = ? AND t.mode = ?{where} GROUP BY 1 ORDER BY 1"
    )


def bettors(connection: Connection, engine_id: str, mode: Mode) -> list[str]:
    """Return the names of bots that ever bet in a mode, or held something long or short."""
    found = connection.execute(
        "SELECT bot FROM bets WHERE engine_id = ?1 AND mode = ?2 AND bot != ?3 UNION "
        "SELECT bot FROM round_trips WHERE engine_id = ?1 AND mode = ?2 AND bot != ?3 ORDER BY bot",
        (engine_id, mode, MANUAL),
    )
    return [str(bot) for (bot,) in found]


def whose_where(whose: str) -> tuple[str, Sequence[str]]:
    """Return the condition for rows of whose these are; empty = everybody's."""
    if not whose:
        return "", ()
    if whose == BOTS:
        return " AND t.bot != ?", (MANUAL,)
    return " AND t.bot = ?", (MANUAL if whose == BY_HAND else whose,)
