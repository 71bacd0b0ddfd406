"""The tables of what is checked and measured: the identity of equity, and markouts of fills."""

from __future__ import annotations

from sqlalchemy import Index
from sqlmodel import Field, SQLModel

from storage.columns import whole


class EquityCheckRow(SQLModel, table=True):
    """The last check of an account: the ledger's equity against the journal's own sum of it.

    `difference_micro` = ledger − journal. `judged` False = one side lacked something, `text` says
    what; then the figures are of no use and nothing is alarmed.
    """

    __tablename__ = "equity_checks"

    engine_id: str = Field(primary_key=True)
    account: str = Field(primary_key=True)
    mode: str
    currency: str
    at_ns: int = whole()
    seq: int = whole()
    """The last journal record both sides know."""
    cash_micro: int = whole()
    pending_micro: int = whole()
    inventory_micro: int = whole()
    equity_micro: int = whole()
    journal_cash_micro: int = whole()
    """Settled and pending: the journal's sum does not tell them apart."""
    journal_inventory_micro: int = whole()
    journal_equity_micro: int = whole()
    difference_micro: int = whole()
    judged: bool
    text: str
    """What differs or what lacked, in words; empty = both sides agree to the last token."""
    checks: int = whole()
    differed: int = whole()
    """How many of the checks found a difference."""
    differed_ns: int | None = whole(default=None)
    """When one did last; None = never."""


class MarkoutRow(SQLModel, table=True):
    """What the mid did after one fill, at one horizon, per share and signed from our side."""

    __tablename__ = "markouts"
    __table_args__ = (Index(None, "engine_id", "state", "instrument"),)

    engine_id: str = Field(primary_key=True)
    account: str = Field(primary_key=True)
    fill: str = Field(primary_key=True)
    horizon_ms: int = whole(primary_key=True)
    """0 = at resolution."""
    mode: str
    bot: str
    instrument: str
    liquidity: str
    leg: str
    sign: int
    """+1 bought, -1 sold."""
    price_micro: int = whole()
    """What one share of the leg cost or brought."""
    due_ns: int | None = whole(default=None)
    """None = at resolution, whenever that is."""
    state: str
    """`due`, `known`, or why it will never be: `blind`, `closed`, `unheard`, `void`."""
    markout_micro: int | None = whole(default=None)
    """sign · (mid of the leg - price) per share; None = not known."""


class MarkoutSumRow(SQLModel, table=True):
    """Sums over the markouts of a bot: they are kept as markouts become known."""

    __tablename__ = "markout_sums"

    engine_id: str = Field(primary_key=True)
    account: str = Field(primary_key=True)
    bot: str = Field(primary_key=True)
    liquidity: str = Field(primary_key=True)
    horizon_ms: int = whole(primary_key=True)
    mode: str
    known: int = whole()
    unknown: int = whole()
    """Of which nobody heard the mid; they are in no sum."""
    sum_micro: int = whole()
    squares: float
    """Sum of the squares in currency² per share²: a statistic, no money."""
