"""The tables of the state file `var/pitboss.db`. Migrations are generated from these and tested so.

Money is int micro-units, prices and sizes are ints in the instrument's increments, times are int
nanoseconds UTC, structured text is JSON. Every row carries its engine; rows about money or orders
carry mode and account, because the three modes never mix in a sum.
"""

from __future__ import annotations

from sqlalchemy import Index
from sqlmodel import Field, SQLModel

from storage.columns import whole
from storage.equity_tables import EquityCheckRow, MarkoutRow, MarkoutSumRow
from storage.feed_tables import FeedGapRow, TitleRow
from storage.job_tables import JobRow, RecordingRow, ScheduleRow
from storage.live_tables import LiveExaminationRow, LiveUnlockRow, VenueHeartbeatRow
from storage.projection_tables import (
    CashMoveRow,
    EarlyNewsRow,
    FillRow,
    ListingRow,
    OrderRow,
    PositionRow,
    ProjectionRow,
)
from storage.run_tables import RunEquityRow, RunMarketRow, RunRow
from storage.telemetry_tables import HoldingRow, LimitUseRow, PnlRow

__all__ = [
    "METADATA",
    "AccountRow",
    "AlertRow",
    "AuditRow",
    "BotRow",
    "CashMoveRow",
    "CommandRow",
    "EarlyNewsRow",
    "EngineStateRow",
    "EquityCheckRow",
    "EquityRow",
    "FeedGapRow",
    "FillRow",
    "HoldingRow",
    "InstrumentRow",
    "JobRow",
    "LimitUseRow",
    "ListingRow",
    "LiveExaminationRow",
    "LiveUnlockRow",
    "MarkoutRow",
    "MarkoutSumRow",
    "OrderRow",
    "PnlRow",
    "PositionRow",
    "ProjectionRow",
    "RecordingRow",
    "RunEquityRow",
    "RunMarketRow",
    "RunRow",
    "ScheduleRow",
    "SettingsRow",
    "TitleRow",
    "UserRow",
    "VenueHeartbeatRow",
]

METADATA = SQLModel.metadata
"""All tables; what migrations are compared with."""


# -- who trades ------------------------------------------------------------------------------------


class AccountRow(SQLModel, table=True):
    """An account and its mode, registered by the engine before its first record."""

    __tablename__ = "accounts"

    engine_id: str = Field(primary_key=True)
    account: str = Field(primary_key=True)
    mode: str
    venue: str
    currency: str


class EngineStateRow(SQLModel, table=True):
    """The engine's heartbeat: what the status bar shows."""

    __tablename__ = "engine_state"

    engine_id: str = Field(primary_key=True)
    state: str
    heartbeat_ns: int = whole()
    started_ns: int = whole()
    pid: int
    version: str
    latched: bool
    detail: str = "{}"


class BotRow(SQLModel, table=True):
    """A bot's state as the engine reports it; its settings are in `settings`."""

    __tablename__ = "bots"

    engine_id: str = Field(primary_key=True)
    name: str = Field(primary_key=True)
    mode: str
    account: str
    strategy: str
    state: str
    error: str = ""
    capital_micro: int = whole()
    evaluations: int = whole(default=0)
    updated_ns: int = whole()


class InstrumentRow(SQLModel, table=True):
    """The catalog: what pages need as columns, everything in `body`."""

    __tablename__ = "instruments"

    engine_id: str = Field(primary_key=True)
    id: str = Field(primary_key=True)
    kind: str
    currency: str
    price_decimals: int
    size_decimals: int
    tick: int = whole()
    lot: int = whole()
    market: str = Field(index=True)
    series: str = Field(index=True)
    closes_ns: int | None = whole(default=None)
    payout_yes_micro: int | None = whole(default=None)
    body: str
    updated_ns: int = whole()


# -- what the engine reports ----------------------------------------------------------------------


class EquityRow(SQLModel, table=True):
    """Equity of an account over time: at risk's marks and, labelled, at mid."""

    __tablename__ = "equity"

    engine_id: str = Field(primary_key=True)
    account: str = Field(primary_key=True)
    at_ns: int = whole(primary_key=True)
    mode: str
    currency: str
    equity_micro: int = whole()
    equity_mid_micro: int = whole()
    cash_micro: int = whole()
    day_start_micro: int = whole()
    peak_micro: int = whole()


class AlertRow(SQLModel, table=True):
    """An alert and its repeats."""

    __tablename__ = "alerts"
    __table_args__ = (Index(None, "engine_id", "last_ns"),)

    id: int | None = Field(default=None, primary_key=True)
    engine_id: str
    mode: str | None = None
    account: str | None = None
    bot: str | None = None
    instrument: str | None = None
    severity: str
    kind: str
    text: str
    count: int
    first_ns: int = whole()
    last_ns: int = whole()
    acked_by: str | None = None
    acked_ns: int | None = whole(default=None)


# -- what people and the worker write --------------------------------------------------------------


class CommandRow(SQLModel, table=True):
    """A command on its way: pending → claimed → done | refused | failed. Never deleted."""

    __tablename__ = "commands"
    __table_args__ = (Index(None, "engine_id", "state", "created_ns"),)

    id: str = Field(primary_key=True)
    engine_id: str
    kind: str
    body: str
    who: str
    state: str
    created_ns: int = whole()
    expires_ns: int = whole()
    claimed_ns: int | None = whole(default=None)
    answered_ns: int | None = whole(default=None)
    answer: str = ""


class AuditRow(SQLModel, table=True):
    """Who changed what. Triggers forbid changing or deleting a row."""

    __tablename__ = "audit"
    __table_args__ = (Index(None, "engine_id", "at_ns"),)

    id: int | None = Field(default=None, primary_key=True)
    engine_id: str
    at_ns: int = whole()
    who: str
    what: str
    detail: str


class SettingsRow(SQLModel, table=True):
    """One saved version of all settings; `applied_ns` is set when the engine answered."""

    __tablename__ = "settings"

    engine_id: str = Field(primary_key=True)
    version: int = Field(primary_key=True)
    base_version: int
    at_ns: int = whole()
    who: str
    body: str
    applied_ns: int | None = whole(default=None)


class UserRow(SQLModel, table=True):
    """Who may sign in; the password as an Argon2 hash."""

    __tablename__ = "users"

    engine_id: str = Field(primary_key=True)
    name: str = Field(primary_key=True)
    password_hash: str
    created_ns: int = whole()
    disabled: bool = False
