"""The tables of what a running engine tells of money: holdings, PnL over time, use of limits."""

from __future__ import annotations

from sqlalchemy import Index
from sqlmodel import Field, SQLModel

from storage.columns import whole


class HoldingRow(SQLModel, table=True):
    """One instrument of an account by the engine's ledger, while it is held and afterwards.

    Costs without fees, by average; `value_micro` at the last two-sided mid, which is `mid2 / 2`.
    """

    __tablename__ = "holdings"
    __table_args__ = (Index(None, "engine_id", "bot"),)

    engine_id: str = Field(primary_key=True)
    account: str = Field(primary_key=True)
    instrument: str = Field(primary_key=True)
    mode: str
    currency: str
    bot: str
    """Whose orders made it; empty = nobody's that is known."""
    yes_settled: int = whole()
    yes_pending: int = whole()
    no_settled: int = whole()
    no_pending: int = whole()
    yes_cost_micro: int = whole()
    no_cost_micro: int = whole()
    value_micro: int = whole()
    mid2: int | None = whole(default=None)
    marked_ns: int | None = whole(default=None)
    """When the book last had two sides; None = never."""
    realised_micro: int = whole()
    """Before fees."""
    fees_micro: int = whole()
    payout_yes_micro: int | None = whole(default=None)
    """What one YES paid; None = not resolved."""
    opened_ns: int | None = whole(default=None)
    """Since when something is held without a break; None = nothing is."""
    updated_ns: int = whole()


class PnlRow(SQLModel, table=True):
    """What a bot had made at a moment since it began, summed over its instruments."""

    __tablename__ = "pnl"

    engine_id: str = Field(primary_key=True)
    account: str = Field(primary_key=True)
    bot: str = Field(primary_key=True)
    at_ns: int = whole(primary_key=True)
    mode: str
    currency: str
    realised_micro: int = whole()
    fees_micro: int = whole()
    unrealised_micro: int = whole()


class LimitUseRow(SQLModel, table=True):
    """How much of one limit is used now, by one subject: an instrument, a market, a bot, or all."""

    __tablename__ = "limit_use"

    engine_id: str = Field(primary_key=True)
    account: str = Field(primary_key=True)
    name: str = Field(primary_key=True)
    subject: str = Field(primary_key=True)
    mode: str
    currency: str
    used: int = whole()
    """Micro-units, orders or ns, by `unit`."""
    limit_value: int = whole()
    unit: str
    updated_ns: int = whole()
