"""Where an account's equity comes from, and when that was last proven from the journal."""

from __future__ import annotations

import sqlite3
from decimal import Decimal

import msgspec

from engine.domain.money import MICRO
from storage.views import Row, rows_of


class Sources(msgspec.Struct, frozen=True, kw_only=True):
    """Deposited + realised - fees + unrealised = equity at mid. Amounts in the currency."""

    deposited: Decimal
    moves: int
    """Deposits and withdrawals behind it."""
    realised: Decimal
    fees: Decimal
    unrealised: Decimal
    fills: int

    @property
    def equity(self) -> Decimal:
        return self.deposited + self.realised - self.fees + self.unrealised


def equity_check(connection: sqlite3.Connection, engine_id: str, account: str) -> Row | None:
    """Return an account's last check of the identity, None where there was none yet."""
    found = rows_of(
        connection.execute(
            "SELECT * FROM equity_checks WHERE engine_id = ? AND account = ?", (engine_id, account)
        )
    )
    return found[0] if found else None


def sources(connection: sqlite3.Connection, engine_id: str, account: str) -> Sources:
    """Return what an account's equity is made of since it began."""
    moves, deposited = connection.execute(
        "SELECT count(*), coalesce(sum(amount_micro), 0) FROM cash_moves m WHERE engine_id = ? "
        "AND account = ? AND currency = (SELECT currency FROM accounts a "
        "WHERE a.engine_id = m.engine_id AND a.account = m.account)",
        (engine_id, account),
    ).fetchone()
    realised, fees, unrealised = connection.execute(
        "SELECT coalesce(sum(realised_micro), 0), coalesce(sum(fees_micro), 0), "
        "coalesce(sum(value_micro - yes_cost_micro - no_cost_micro), 0) FROM holdings "
        "WHERE engine_id = ? AND account = ?",
        (engine_id, account),
    ).fetchone()
    (fills,) = connection.execute(
        "SELECT count(*) FROM fills WHERE engine_id = ? AND account = ? AND state != 'failed'",
        (engine_id, account),
    ).fetchone()
    return Sources(
        deposited=Decimal(deposited) / MICRO,
        moves=moves,
        realised=Decimal(realised) / MICRO,
        fees=Decimal(fees) / MICRO,
        unrealised=Decimal(unrealised) / MICRO,
        fills=fills,
    )
