"""The orders and fills behind a figure: of an account, a bot, an instrument, a state, a period.

Every function takes a reader's connection. `only` filters by `COLUMNS`, an empty one is any; a
period is from `since_ns` on and before `until_ns`; a page ends at a key, `before` begins the next.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec

from engine.domain.instruments import Mode
from storage.views import (
    LISTED,
    MICRO_DECIMALS,
    ROWS_MAX,
    UNITS,
    PageKey,
    Row,
    behind,
    in_units,
    rows_of,
    shown,
)
from storage.views.frame import LIVE_STATES

FOREVER_NS = 2**63 - 1
ORDER_KEY, FILL_KEY = ("created_ns", "account", "id"), ("at_ns", "account", "id")
"""What orders and fills are sorted by, downwards."""

COLUMNS = frozenset({"account", "bot", "instrument", "state", "liquidity", "order_id"})


class FillSums(msgspec.Struct, frozen=True, kw_only=True):
    """What fills sum to in one currency; failed ones are void and in no sum of money."""

    currency: str
    count: int
    failed: int
    unvalued: int
    """Fills of instruments nobody listed: their value is in no sum."""
    bought: Decimal
    sold: Decimal
    fees: Decimal


def orders_behind(
    connection: sqlite3.Connection,
    engine_id: str,
    *,
    mode: Mode,
    open_only: bool = False,
    since_ns: int = 0,
    until_ns: int = FOREVER_NS,
    before: PageKey | None = None,
    **only: str,
) -> list[Row]:
    """Return orders of one mode by when they were placed, newest first, at most `ROWS_MAX`."""
    where, values = _where(only)
    if open_only:
        where += f" AND t.state IN ({', '.join('?' * len(LIVE_STATES))})"
        values += LIVE_STATES
    further, key = behind(before, *(f"t.{name}" for name in ORDER_KEY))
    found = connection.execute(
        f"SELECT t.*, {UNITS} FROM orders t {LISTED} WHERE t.engine_id = ? AND t.mode = ? "  # noqa: S608 our own words
        f"AND t.created_ns >= ? AND t.created_ns < ?{where}{further} "
        "ORDER BY t.created_ns DESC, t.account DESC, t.id DESC LIMIT ?",
        (engine_id, mode, since_ns, until_ns, *values, *key, ROWS_MAX),
    )
    return in_units(rows_of(found), ("price",), ("size", "filled", "voided"))


def fills_behind(
    connection: sqlite3.Connection,
    engine_id: str,
    *,
    mode: Mode,
    since_ns: int = 0,
    until_ns: int = FOREVER_NS,
    before: PageKey | None = None,
    **only: str | int,
) -> list[Row]:
    """Return fills of one mode, newest first, at most `ROWS_MAX`."""
    where, values = _where(only)
    further, key = behind(before, *(f"t.{name}" for name in FILL_KEY))
    found = connection.execute(
        f"SELECT t.*, {UNITS} FROM fills t {LISTED} WHERE t.engine_id = ? AND t.mode = ? "  # noqa: S608 our own words
        f"AND t.at_ns >= ? AND t.at_ns < ?{where}{further} "
        "ORDER BY t.at_ns DESC, t.account DESC, t.id DESC LIMIT ?",
        (engine_id, mode, since_ns, until_ns, *values, *key, ROWS_MAX),
    )
    return in_units(rows_of(found), ("price",), ("size",))


def fill_sums(
    connection: sqlite3.Connection,
    engine_id: str,
    *,
    mode: Mode,
    since_ns: int = 0,
    until_ns: int = FOREVER_NS,
    **only: str,
) -> list[FillSums]:
    """Return what all fills that fit sum to, by the currency of their account."""
    where, values = _where(only)
    found = connection.execute(
        "SELECT coalesce(a.currency, ''), count(*), sum(t.state = 'failed'), "  # noqa: S608 our own words
        "sum(t.value_micro IS NULL), "
        "sum(CASE WHEN t.side = 'buy' AND t.state != 'failed' THEN t.value_micro ELSE 0 END), "
        "sum(CASE WHEN t.side = 'sell' AND t.state != 'failed' THEN t.value_micro ELSE 0 END), "
        "sum(CASE WHEN t.state != 'failed' THEN t.fee_micro ELSE 0 END) FROM fills t "
        "LEFT JOIN accounts a ON a.engine_id = t.engine_id AND a.account = t.account "
        f"WHERE t.engine_id = ? AND t.mode = ? AND t.at_ns >= ? AND t.at_ns < ?{where} "
        "GROUP BY 1 ORDER BY 1",
        (engine_id, mode, since_ns, until_ns, *values),
    )
    return [
        FillSums(
            currency=currency,
            count=count,
            failed=failed,
            unvalued=unvalued,
            **{name: _money(micro) for name, micro in zip(_SUMS, sums, strict=True)},
        )
        for currency, count, failed, unvalued, *sums in found
    ]


_SUMS = ("bought", "sold", "fees")


def _money(micro: int | None) -> Decimal:
    return shown(micro or 0, MICRO_DECIMALS) or Decimal(0)


def _where(only: Mapping[str, str | int]) -> tuple[str, tuple[Any, ...]]:
    given = {name: value for name, value in only.items() if value}
    unknown = given.keys() - COLUMNS
    if unknown:
        raise ValueError(f"no column to filter by: {', '.join(sorted(unknown))}")
    return "".join(f" AND t.{name} = ?" for name in given), tuple(given.values())
