"""The settlement ladder of an account: how far its money is on the way from an order to cash.

reserved → matched → mined → confirmed (or retrying, failed) → redeemable → cash. Read from the
journal's projection; cash from the engine's own telling. Each rung with amount, count and the time
of its oldest entry, so that something stuck is seen.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from decimal import Decimal
from enum import StrEnum

import msgspec

from engine.domain.fills import FillState
from engine.domain.money import MICRO
from engine.domain.orders import ORDER_ENDS
from storage.live import latest_equity

DAY_NS = 86_400 * 1_000_000_000
DECIDED_NS = DAY_NS
"""How far back confirmed and failed fills are counted: they are over, and there are many."""


class Rung(StrEnum):
    """Where money stands on its way."""

    RESERVED = "reserved"
    MATCHED = "matched"
    MINED = "mined"
    RETRYING = "retrying"
    CONFIRMED = "confirmed"
    FAILED = "failed"
    REDEEMABLE = "redeemable"
    PAID = "paid"
    CASH = "cash"


class SettlementStep(msgspec.Struct, frozen=True, kw_only=True):
    """One rung. `amount` in the currency; None = not known."""

    rung: Rung
    count: int
    amount: Decimal | None
    oldest_ns: int | None = None
    """None = nothing stands there, or it has no age."""
    tokens: int = 0
    """Of `count`, those that commit tokens and no cash: working sells."""


def ladder(
    connection: sqlite3.Connection, engine_id: str, *, account: str, now_ns: int
) -> list[SettlementStep]:
    """Return an account's rungs in the order of the way."""
    steps = {
        Rung.RESERVED: _reserved(connection, engine_id, account),
        **_fills(connection, engine_id, account, now_ns),
        Rung.REDEEMABLE: _redeemable(connection, engine_id, account),
        Rung.PAID: _paid(connection, engine_id, account),
        Rung.CASH: _cash(connection, engine_id, account),
    }
    return [steps[rung] for rung in Rung]


def _amount(micro: int | None) -> Decimal | None:
    return None if micro is None else Decimal(micro) / MICRO


def _reserved(connection: sqlite3.Connection, engine_id: str, account: str) -> SettlementStep:
    """Sum what working orders may still take; a sell commits tokens, worth their price."""
    ends = ", ".join(f"'{end}'" for end in sorted(ORDER_ENDS))
    count, sells, micro, oldest = connection.execute(
        "SELECT count(*), coalesce(sum(t.side = 'sell'), 0), "  # noqa: S608 our own words
        "CASE WHEN coalesce(sum(l.value_divisor IS NULL), 0) THEN NULL ELSE coalesce(sum("
        "(t.price * (t.size - t.filled) + l.value_divisor - 1) / l.value_divisor), 0) END, "
        "min(t.created_ns) FROM orders t "
        "LEFT JOIN listings l ON l.engine_id = t.engine_id AND l.instrument = t.instrument "
        f"WHERE t.engine_id = ? AND t.account = ? AND t.state NOT IN ({ends})",
        (engine_id, account),
    ).fetchone()
    return SettlementStep(
        rung=Rung.RESERVED, count=count, amount=_amount(micro), oldest_ns=oldest, tokens=sells
    )


def _fills(
    connection: sqlite3.Connection, engine_id: str, account: str, now_ns: int
) -> dict[Rung, SettlementStep]:
    """Return fills by what is settled of them; decided ones of the last day."""
    found = {
        rung: SettlementStep(rung=rung, count=0, amount=Decimal(0))
        for rung in (Rung.MATCHED, Rung.MINED, Rung.RETRYING, Rung.CONFIRMED, Rung.FAILED)
    }
    states: Sequence[tuple[FillState, int]] = [
        (state, now_ns - DECIDED_NS if state in (FillState.CONFIRMED, FillState.FAILED) else 0)
        for state in FillState
    ]
    for state, since_ns in states:
        count, micro, oldest = connection.execute(
            "SELECT count(*), CASE WHEN count(*) = count(value_micro) THEN "
            "coalesce(sum(value_micro), 0) END, min(at_ns) FROM fills "
            "WHERE engine_id = ? AND account = ? AND state = ? AND at_ns >= ?",
            (engine_id, account, state, since_ns),
        ).fetchone()
        rung = Rung(state.value)
        found[rung] = SettlementStep(
            rung=rung, count=count, amount=_amount(micro), oldest_ns=oldest
        )
    return found


_PAYS = (
    "CASE p.leg WHEN 'no' THEN 1000000 - l.payout_yes_micro ELSE l.payout_yes_micro END "
    "/ CAST(pow(10, i.size_decimals) AS INTEGER)"
)


def _redeemable(connection: sqlite3.Connection, engine_id: str, account: str) -> SettlementStep:
    """Sum what resolved markets are to pay, less what redemptions of them have paid."""
    count, micro, oldest = connection.execute(
        "WITH won AS (SELECT p.instrument, sum((p.settled + p.pending) * " + _PAYS + ") AS worth, "  # noqa: S608 our own words
        "max(p.updated_ns) AS since_ns FROM positions p "
        "JOIN listings l ON l.engine_id = p.engine_id AND l.instrument = p.instrument "
        "JOIN instruments i ON i.engine_id = p.engine_id AND i.id = p.instrument "
        "WHERE p.engine_id = ?1 AND p.account = ?2 AND l.payout_yes_micro IS NOT NULL "
        "GROUP BY p.instrument), due AS (SELECT won.since_ns, won.worth - coalesce(("
        "SELECT sum(r.amount_micro) FROM redemptions r WHERE r.engine_id = ?1 "
        "AND r.account = ?2 AND r.instrument = won.instrument), 0) AS micro FROM won) "
        "SELECT count(*), coalesce(sum(micro), 0), min(since_ns) FROM due WHERE micro > 0",
        (engine_id, account),
    ).fetchone()
    return SettlementStep(
        rung=Rung.REDEEMABLE, count=count, amount=_amount(micro), oldest_ns=oldest
    )


def _paid(connection: sqlite3.Connection, engine_id: str, account: str) -> SettlementStep:
    count, micro = connection.execute(
        "SELECT count(*), coalesce(sum(amount_micro), 0) FROM redemptions "
        "WHERE engine_id = ? AND account = ?",
        (engine_id, account),
    ).fetchone()
    return SettlementStep(rung=Rung.PAID, count=count, amount=_amount(micro))


def _cash(connection: sqlite3.Connection, engine_id: str, account: str) -> SettlementStep:
    latest = latest_equity(connection, engine_id, account)
    return SettlementStep(
        rung=Rung.CASH, count=0, amount=_amount(None if latest is None else latest.cash_micro)
    )
