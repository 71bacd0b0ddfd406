"""The orders and fills behind a figure: of an account, a bot, an instrument, a state, a period.

Every function takes a reader's connection. `only` filters by `COLUMNS`, an empty one is any; a
period is from `since_ns` on and before `until_ns`; a page ends at a key, `before` begins the next.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from sqlite3 import Connection

import msgspec
from msgspec.structs import replace

from engine.domain.assets import Asset, Money
from engine.domain.instruments import Mode
from storage.database import halves, whole
from storage.projected.orders import LIVE
from storage.views import LISTED, UNITS, PageKey, Row, in_units, page, query

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
    """Fills of instruments that were never listed: their value is in no sum."""
    bought: Decimal
    sold: Decimal
    fees: Decimal
    cash: Decimal | None
    """What they moved of the currency, less fees: of what is held against margin, where nothing is
    paid for a position, what it realised. None = that is not known."""
    fees_in_assets: tuple[str, ...] = ()
    """Fees in assets beside the currency, exact and in no sum of the currency: `0.1 BNB`."""


def orders_behind(
    connection: Connection,
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
    where, values = _where(only, "created_ns", mode, since_ns, until_ns)
    where += f" AND t.{LIVE}" * open_only
    found = page(
        connection,
        engine_id,
        f"orders t {LISTED}",
        where,
        values,
        key=[f"t.{name}" for name in ORDER_KEY],
        before=before,
        columns=f"t.*, {UNITS}",
    )
    return in_units(found, ("price",), ("size", "filled", "voided"))


def fills_behind(
    connection: Connection,
    engine_id: str,
    *,
    mode: Mode,
    since_ns: int = 0,
    until_ns: int = FOREVER_NS,
    before: PageKey | None = None,
    **only: str | int,
) -> list[Row]:
    """Return fills of one mode, newest first, at most `ROWS_MAX`."""
    where, values = _where(only, "at_ns", mode, since_ns, until_ns)
    found = page(
        connection,
        engine_id,
        f"fills t {LISTED}",
        where,
        values,
        key=[f"t.{name}" for name in FILL_KEY],
        before=before,
        columns=f"t.*, {UNITS}",
    )
    for row in found:
        row["fee_paid"] = None
        if row["fee_asset"] is not None:
            of = Asset(row["fee_asset"], row["fee_decimals"])
            row["fee_paid"] = Money(of, row["fee_amount"]).text
    return in_units(found, ("price",), ("size",))


def fill_sums(
    connection: Connection,
    engine_id: str,
    *,
    mode: Mode,
    since_ns: int = 0,
    until_ns: int = FOREVER_NS,
    **only: str,
) -> list[FillSums]:
    """Return what all fills that fit sum to, by the currency of their account."""
    where, values = _where(only, "at_ns", mode, since_ns, until_ns)
    value = "coalesce(sum(iif(t.side = '{}' AND t.state != 'failed', t.value_micro, 0)), 0)"
    paid = "iif(t.side = 'sell', 1, -1) * coalesce(t.value_micro, 0)"
    moved = f"iif(coalesce(l.signed, 0), coalesce(t.realised_micro, 0), {paid}) - t.fee_micro"
    behind = (
        "FROM fills t LEFT JOIN accounts a ON a.engine_id = t.engine_id "
        "AND a.account = t.account LEFT JOIN listings l ON l.engine_id = t.engine_id "
        f"AND l.instrument = t.instrument WHERE t.engine_id = ?{where} "
    )
    found = query(
        connection,
        "SELECT coalesce(a.currency, '') AS currency, count(*) AS count, "
        "sum(t.state = 'failed') AS failed, sum(t.value_micro IS NULL) AS unvalued, "
        f"{value.format('buy')} AS bought_micro, {value.format('sell')} AS sold_micro, "
        f"sum(iif(t.state != 'failed', t.fee_micro, 0)) AS fees_micro, "
        f"sum(iif(t.state != 'failed', {moved}, 0)) AS cash_micro {behind}"
        "GROUP BY 1 ORDER BY 1",
        (engine_id, *values),
    )
    sums = msgspec.convert(found, list[FillSums])
    in_assets = _fees_in_assets(connection, behind, (engine_id, *values))
    return [replace(one, fees_in_assets=tuple(in_assets.get(one.currency, ()))) for one in sums]


def _fees_in_assets(
    connection: Connection, behind: str, values: tuple[str | int, ...]
) -> dict[str, list[str]]:
    """Return what fills paid in assets beside their account's currency, by that currency."""
    found: dict[str, list[str]] = {}
    for row in query(
        connection,
        "SELECT coalesce(a.currency, '') AS currency, t.fee_asset AS asset, "
        f"t.fee_decimals AS decimals, {halves('t.fee_amount')} {behind}"
        "AND t.state != 'failed' AND t.fee_asset IS NOT NULL GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
        values,
    ):
        of = Asset(row["asset"], row["decimals"])
        paid = of.text(whole(row["high"], row["low"]))
        found.setdefault(row["currency"], []).append(f"{paid} {of.id}")
    return found


def _where(
    only: Mapping[str, str | int], at: str, *which: str | int
) -> tuple[str, tuple[str | int, ...]]:
    """Return the condition for rows of a mode and a period, and `only` these."""
    given = {name: value for name, value in only.items() if value}
    unknown = given.keys() - COLUMNS
    if unknown:
        raise ValueError(f"no column to filter by: {', '.join(sorted(unknown))}")
    where = f" AND t.mode = ? AND t.{at} >= ? AND t.{at} < ?"
    return where + "".join(f" AND t.{name} = ?" for name in given), (*which, *given.values())
