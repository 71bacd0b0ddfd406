"""Money as pages show it: positions with cost and mark, PnL by bot and period, use of limits.

Every function takes a reader's connection; sums never cross modes or currencies. Amounts come as
`Decimal` in the currency.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from decimal import Decimal

from engine.domain.instruments import Mode
from storage.views import MICRO_DECIMALS, ROWS_MAX, Row, rows_of, shown

SIZES = ("yes_settled", "yes_pending", "no_settled", "no_pending")


def held(connection: sqlite3.Connection, engine_id: str, *, mode: Mode) -> list[Row]:
    """Return every instrument of one mode in which something is held, the largest cost first.

    `mark` is the last two-sided mid in YES-space, None where there never was one; then `unrealised`
    and `pnl` are None too. A pending token may still vanish.
    """
    found = rows_of(
        connection.execute(
            "SELECT t.*, i.kind, i.market, i.closes_ns, i.price_decimals, i.size_decimals "
            "FROM holdings t "
            "LEFT JOIN instruments i ON i.engine_id = t.engine_id AND i.id = t.instrument "
            "WHERE t.engine_id = ? AND t.mode = ? AND t.opened_ns IS NOT NULL "
            "ORDER BY t.yes_cost_micro + t.no_cost_micro DESC, t.instrument LIMIT ?",
            (engine_id, mode, ROWS_MAX),
        )
    )
    for row in found:
        for name in SIZES:
            row[name] = shown(row[name], row["size_decimals"])
        mid2, decimals = row.pop("mid2"), row["price_decimals"]
        row["mark"] = None if mid2 is None else shown(mid2, decimals)
        if row["mark"] is not None:
            row["mark"] /= 2
        cost = row["cost"] = row["yes_cost"] + row["no_cost"]
        row["unrealised"] = None if mid2 is None else row["value"] - cost
        row["pnl"] = None if mid2 is None else row["realised"] - row["fees"] + row["unrealised"]
    return found


def pnl_by_bot(
    connection: sqlite3.Connection, engine_id: str, *, mode: Mode, since: Mapping[str, int]
) -> list[Row]:
    """Return what every bot of one mode made, and of it since each named time.

    `realised` is before `fees`; `total` = realised − fees + unrealised. A bot that began after a
    time is counted from its beginning. The first row of a bot is at most a minute after it began.
    """
    found = rows_of(
        connection.execute(
            "SELECT account, bot, currency, sum(realised_micro) AS realised_micro, "
            "sum(fees_micro) AS fees_micro, count(opened_ns) AS markets, "
            "sum(value_micro - yes_cost_micro - no_cost_micro) AS unrealised_micro, "
            "sum(CASE WHEN opened_ns IS NULL THEN 0 ELSE yes_cost_micro + no_cost_micro END) "
            "AS cost_micro FROM holdings WHERE engine_id = ? AND mode = ? "
            "GROUP BY account, bot, currency ORDER BY account, bot",
            (engine_id, mode),
        )
    )
    for row in found:
        row["total"] = row["realised"] - row["fees"] + row["unrealised"]
        for name, at_ns in since.items():
            before = connection.execute(
                "SELECT realised_micro - fees_micro + unrealised_micro FROM pnl WHERE "
                "engine_id = ? AND account = ? AND bot = ? AND at_ns <= ? "
                "ORDER BY at_ns DESC LIMIT 1",
                (engine_id, row["account"], row["bot"], at_ns),
            ).fetchone()
            start = Decimal(0) if before is None else shown(before[0], MICRO_DECIMALS)
            row[name] = row["total"] - (start or 0)
    return found


def limit_use(connection: sqlite3.Connection, engine_id: str, *, account: str) -> list[Row]:
    """Return the use of an account's limits: of each the most used subject first.

    `used` and `limit_value` stay whole numbers in `unit`.
    """
    return rows_of(
        connection.execute(
            "SELECT name, subject, used, limit_value, unit, currency, updated_ns FROM limit_use "
            "WHERE engine_id = ? AND account = ? ORDER BY name, used DESC, subject",
            (engine_id, account),
        )
    )
