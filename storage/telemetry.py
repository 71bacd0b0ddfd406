"""What a running engine tells of money each second: holdings, PnL, use of limits, capital.

Every function works inside the caller's transaction. The engine's ledger is the source; a page that
wants the same from the journal reads `storage.views`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import msgspec

from engine.domain.decisions import Unit
from engine.domain.instruments import Mode
from engine.domain.telemetry import Approvals, Capital
from storage.rows import Table, upsert

_CAPITAL = Table(Capital, "capital")
_APPROVALS = Table(Approvals, "approvals")


class HoldingSeen(msgspec.Struct, frozen=True, kw_only=True):
    """One instrument of an account. Sizes in increments, money in micro-units of the currency."""

    account: str
    instrument: str
    mode: Mode
    currency: str
    bot: str
    """Empty = not known now; what was known before stays."""
    yes_settled: int
    yes_pending: int
    no_settled: int
    no_pending: int
    yes_cost_micro: int
    no_cost_micro: int
    value_micro: int
    """At the last two-sided mid, 0 where there never was one."""
    mid2: int | None
    marked_ns: int | None
    realised_micro: int
    fees_micro: int
    payout_yes_micro: int | None

    @property
    def flat(self) -> bool:
        """True where no token is held or promised."""
        return not (self.yes_settled or self.yes_pending or self.no_settled or self.no_pending)


class LimitUse(msgspec.Struct, frozen=True, kw_only=True):
    """How much of a limit one subject uses: `used` and `limit_value` in `unit`."""

    name: str
    """The limit's name in the settings, for example `exposure_market_max`."""
    subject: str = ""
    """An instrument, a market or a bot; empty where the limit has one subject alone."""
    used: int
    limit_value: int
    unit: Unit


_HOLDINGS = Table(HoldingSeen, "holdings")
_LIMITS = Table(LimitUse, "limit_use")


def put_holdings(
    connection: sqlite3.Connection, engine_id: str, seen: Sequence[HoldingSeen], now_ns: int
) -> None:
    """Write holdings as they stand; those not named stay as they were told last."""
    kept = [n for n in HoldingSeen.__struct_fields__ if n not in ("account", "instrument", "bot")]
    moves = upsert(("account", "instrument"), [*kept, "updated_ns"]) + (
        ", opened_ns = CASE WHEN excluded.opened_ns IS NULL THEN NULL "
        "ELSE coalesce(holdings.opened_ns, excluded.opened_ns) END"
    )
    for flat, opened_ns in ((True, None), (False, now_ns)):
        rows = [one for one in seen if one.flat is flat]
        more = {"opened_ns": opened_ns, "updated_ns": now_ns}
        _HOLDINGS.put(connection, engine_id, rows, "INSERT", moves, **more)
    # Apart, and only where it moves: an index stands on it.
    connection.executemany(
        "UPDATE holdings SET bot = ?1 "
        "WHERE engine_id = ?2 AND account = ?3 AND instrument = ?4 AND bot != ?1",
        [(one.bot, engine_id, one.account, one.instrument) for one in seen if one.bot],
    )


def add_pnl(connection: sqlite3.Connection, engine_id: str, now_ns: int) -> None:
    """Add a point for every bot of every account, summed over what `put_holdings` wrote."""
    connection.execute(
        "INSERT OR REPLACE INTO pnl (engine_id, account, bot, at_ns, mode, currency, "
        "realised_micro, fees_micro, unrealised_micro) "
        "SELECT engine_id, account, bot, ?, mode, currency, sum(realised_micro), sum(fees_micro), "
        "sum(value_micro - yes_cost_micro - no_cost_micro) FROM holdings "
        "WHERE engine_id = ? GROUP BY account, bot",
        (now_ns, engine_id),
    )


def put_limit_use(
    connection: sqlite3.Connection,
    engine_id: str,
    *,
    account: str,
    mode: Mode,
    currency: str,
    uses: Sequence[LimitUse],
    now_ns: int,
) -> None:
    """Write an account's use of its limits; what is not among them is not used any more."""
    connection.execute(
        "DELETE FROM limit_use WHERE engine_id = ? AND account = ? AND (name, subject) NOT IN "
        "(SELECT value ->> 0, value ->> 1 FROM json_each(?))",
        (engine_id, account, msgspec.json.encode([(u.name, u.subject) for u in uses]).decode()),
    )
    known = ("mode", "currency", "used", "limit_value", "unit", "updated_ns")
    _LIMITS.put(
        connection, engine_id, uses, "INSERT", upsert(("account", "name", "subject"), known),
        account=account, mode=mode, currency=currency, updated_ns=now_ns,
    )  # fmt: skip


def put_capital(connection: sqlite3.Connection, engine_id: str, seen: Capital) -> None:
    """Write where an account's money is, in place of what stood there."""
    _CAPITAL.put(connection, engine_id, [seen])


def capital(connection: sqlite3.Connection, engine_id: str, account: str) -> Capital | None:
    """Return where an account's money is; None = never told. Raises BadInput."""
    return _CAPITAL.one(connection, "engine_id = ? AND account = ?", (engine_id, account))


def put_approvals(connection: sqlite3.Connection, engine_id: str, told: Approvals) -> None:
    """Write what a wallet has approved, in place of what stood there."""
    _APPROVALS.put(connection, engine_id, [told])


def approvals(connection: sqlite3.Connection, engine_id: str, account: str) -> Approvals | None:
    """Return what a wallet has approved; None = nobody asked. Raises BadInput."""
    return _APPROVALS.one(connection, "engine_id = ? AND account = ?", (engine_id, account))
