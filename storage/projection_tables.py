"""The tables that are a projection of the journal: only `storage.projection` writes them."""

from __future__ import annotations

from sqlalchemy import Index
from sqlmodel import Field, SQLModel

from storage.columns import whole


class OrderRow(SQLModel, table=True):
    """An order as the journal tells it. `filled` counts every match, `voided` those that failed."""

    __tablename__ = "orders"
    __table_args__ = (
        Index(None, "engine_id", "mode", "created_ns"),
        Index(None, "engine_id", "state"),
        Index(None, "engine_id", "instrument", "created_ns"),
    )

    engine_id: str = Field(primary_key=True)
    account: str = Field(primary_key=True)
    id: int = whole(primary_key=True)
    mode: str
    bot: str
    instrument: str
    leg: str
    side: str
    price: int = whole()
    size: int = whole()
    type: str
    post_only: bool
    expires_ns: int | None = whole(default=None)
    created_ns: int = whole()
    identity: str | None = None
    state: str
    filled: int = whole()
    voided: int = whole()
    fee_micro: int = whole()
    reason: str
    updated_ns: int = whole()
    seq: int = whole()
    decision: int = whole(default=0, sa_column_kwargs={"server_default": "0"})
    """Number of the decision behind it; 0 = no strategy's."""


class FillRow(SQLModel, table=True):
    """A fill as the journal tells it. `value_micro` None = the journal lists no instrument."""

    __tablename__ = "fills"
    __table_args__ = (
        Index(None, "engine_id", "mode", "at_ns"),
        Index(None, "engine_id", "instrument", "at_ns"),
        Index(None, "engine_id", "account", "order_id"),
        Index(None, "engine_id", "account", "state"),
    )

    engine_id: str = Field(primary_key=True)
    account: str = Field(primary_key=True)
    id: str = Field(primary_key=True)
    mode: str
    order_id: int = whole()
    bot: str
    instrument: str
    leg: str
    side: str
    price: int = whole()
    size: int = whole()
    value_micro: int | None = whole(default=None)
    fee_micro: int = whole()
    liquidity: str
    state: str
    source: str
    at_ns: int = whole()
    updated_ns: int = whole()
    seq: int = whole()


class PositionRow(SQLModel, table=True):
    """What an account holds of one leg by its fills: void fills count nowhere."""

    __tablename__ = "positions"

    engine_id: str = Field(primary_key=True)
    account: str = Field(primary_key=True)
    instrument: str = Field(primary_key=True)
    leg: str = Field(primary_key=True)
    mode: str
    settled: int = whole()
    pending: int = whole()
    bought: int = whole()
    sold: int = whole()
    spent_micro: int = whole()
    received_micro: int = whole()
    fee_micro: int = whole()
    unvalued: int
    """Fills without a value; while there are any, the two sums above are not whole."""
    updated_ns: int = whole()
    seq: int = whole()


class ListingRow(SQLModel, table=True):
    """What the journal says of an instrument and fills need: how to value one, what it pays."""

    __tablename__ = "listings"

    engine_id: str = Field(primary_key=True)
    instrument: str = Field(primary_key=True)
    value_divisor: int | None = whole(default=None)
    """price · size // this = micro-units; None = the journal never listed it."""
    payout_yes_micro: int | None = whole(default=None)
    """What one YES pays; None = not resolved."""
    seq: int = whole()


class CashMoveRow(SQLModel, table=True):
    """Money that came to an account (+) or left it (−) without a trade."""

    __tablename__ = "cash_moves"

    engine_id: str = Field(primary_key=True)
    account: str = Field(primary_key=True)
    seq: int = whole(primary_key=True)
    mode: str
    currency: str
    amount_micro: int = whole()
    at_ns: int = whole()


class EarlyNewsRow(SQLModel, table=True):
    """News of a fill that came before the fill itself."""

    __tablename__ = "early_news"

    engine_id: str = Field(primary_key=True)
    account: str = Field(primary_key=True)
    fill: str = Field(primary_key=True)
    state: str
    seq: int = whole()


class ProjectionRow(SQLModel, table=True):
    """How far the projections have read the journal, and of which record that is the checksum."""

    __tablename__ = "projection"

    engine_id: str = Field(primary_key=True)
    version: int
    seq: int = whole()
    crc: int = whole()
