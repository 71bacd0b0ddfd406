"""The tables of the state file `var/pitboss.db`. Migrations are generated from these and tested so.

Money is int micro-units, prices and sizes are ints in the instrument's increments, times are int
nanoseconds UTC, structured text is JSON. Every row carries its engine; rows about money or orders
carry mode and account, because the three modes never mix in a sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec.inspect import (
    BoolType,
    FloatType,
    IntType,
    NoneType,
    StrType,
    Type,
    UnionType,
    type_info,
)
from sqlalchemy import BigInteger, Boolean, Column, Float, Index, Integer, Table
from sqlmodel import AutoString, Field, SQLModel

from engine.domain.telemetry import Approvals, Capital, Earnings
from storage.commands import StandingMark
from storage.jobs import ScheduleSeen
from storage.live import EquityPoint, HoldingSeen, LimitUse
from storage.live_accounts import Examination, Unlock, VenueHeartbeat
from storage.rows import PROJECTED
from storage.runs import Run

METADATA = SQLModel.metadata
"""All tables; what migrations are compared with."""

# Constraint names must be fixed: batch migrations can only change what has a name.
METADATA.naming_convention = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


def whole(**options: Any) -> Any:
    """Return a 64-bit whole number column."""
    return Field(sa_type=BigInteger, **options)


def rows_are(
    kind: type[msgspec.Struct],
    name: str,
    key: Sequence[str],
    indexes: Sequence[Sequence[str]] = (),
    **more: Any,
) -> None:
    """Declare a table whose rows are a struct: its columns are the engine, the fields and `more`.

    `key` stands behind the engine; () = rows are numbered.
    """
    fields = {field.encode_name: field.type for field in msgspec.structs.fields(kind)} | more
    first = {"engine_id": str} | {column: fields[column] for column in key}
    numbered = () if key else (Column("id", Integer, primary_key=True),)
    Table(
        name,
        METADATA,
        *numbered,
        *(
            _column(column, type_info(of), primary_key=bool(key) and column in first)
            for column, of in (first | fields).items()
        ),
        *(Index(None, "engine_id", *index) for index in indexes),
    )


_SQL = {IntType: BigInteger, FloatType: Float, BoolType: Boolean}
"""How a field is kept; every other one is text: words, members, JSON."""


def _column(name: str, info: Type, *, primary_key: bool) -> Column[Any]:
    kinds = {type(one) for one in (info.types if isinstance(info, UnionType) else (info,))}
    (kind,) = kinds - {NoneType} or {StrType}
    sql = _SQL.get(kind, AutoString)
    return Column(name, sql(), primary_key=primary_key, nullable=NoneType in kinds)


# -- What a running engine reports of money: holdings, PnL over time, use of limits ----------------

rows_are(
    HoldingSeen,
    "holdings",
    ("account", "instrument"),
    [("bot",)],
    opened_ns=int | None,  # since when something is held without a break; None = nothing is
    updated_ns=int,
)
rows_are(
    LimitUse, "limit_use", ("account", "name", "subject"),
    account=str, mode=str, currency=str, updated_ns=int,
)  # fmt: skip
rows_are(EquityPoint, "equity", ("account", "at_ns"))
rows_are(Capital, "capital", ("account",))
rows_are(Approvals, "approvals", ("account",))
rows_are(Earnings, "earnings", ("account",))


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


# -- The tables of runs: replays, backtests and the points of a sweep ------------------------------

rows_are(Run, "runs", (), [("started_ns",)])


class RunEquityRow(SQLModel, table=True):
    """The equity of a run over the recording's time, at mid."""

    __tablename__ = "run_equity"

    run: int = Field(primary_key=True, foreign_key="runs.id", ondelete="CASCADE")
    at_ns: int = whole(primary_key=True)
    engine_id: str
    mode: str
    account: str
    equity_micro: int = whole()


class RunMarketRow(SQLModel, table=True):
    """What one market brought in a run. `resolved` False = marked at the last mid."""

    __tablename__ = "run_markets"

    run: int = Field(primary_key=True, foreign_key="runs.id", ondelete="CASCADE")
    instrument: str = Field(primary_key=True)
    engine_id: str
    mode: str
    account: str
    orders: int = whole()
    fills: int = whole()
    fees_micro: int = whole()
    realised_micro: int = whole()
    unresolved_micro: int = whole()
    position_left: int = whole()
    resolved: bool


# -- The tables that are a projection of the journal: only `storage.projection` writes them --------

for _kind, _projected in PROJECTED.items():
    rows_are(_kind, _projected.rows.name, _projected.key, _projected.indexes)


class ProjectionRow(SQLModel, table=True):
    """How far the projections have read the journal, and of which record that is the checksum."""

    __tablename__ = "projection"

    engine_id: str = Field(primary_key=True)
    version: int
    seq: int = whole()
    crc: int = whole()


# -- The tables of accounts that trade real money --------------------------------------------------

rows_are(StandingMark, "marks", ("account", "kind", "subject"))
rows_are(Unlock, "live_unlocks", ("account",))
rows_are(VenueHeartbeat, "venue_heartbeats", ("account",), updated_ns=int)
rows_are(Examination, "live_examinations", ("account", "examiner"))


# -- The tables of long work: the worker's jobs, the schedule as it stands, recordings -------------

# When an entry was posted last, None = never.
rows_are(ScheduleSeen, "schedule", ("name",), last_ns=int | None, updated_ns=int)


class JobRow(SQLModel, table=True):
    """A long job of the worker. `storage.jobs` says how it moves."""

    __tablename__ = "jobs"
    __table_args__ = (Index(None, "engine_id", "state"),)

    id: int | None = Field(default=None, primary_key=True)
    engine_id: str
    kind: str
    arguments: str
    who: str
    command: str = Field(default="", index=True)
    """Id of the command that asked for it; the same command never makes a second job."""
    state: str
    attempts: int = whole(default=0)
    """How often it was begun; a report of an earlier attempt is not taken."""
    done: int = whole(default=0)
    total: int = whole(default=0)
    unit: str = ""
    note: str = ""
    """What it does at the moment, or what became of an earlier attempt."""
    created_ns: int = whole()
    started_ns: int | None = whole(default=None)
    heard_ns: int | None = whole(default=None)
    """The last word of the program that runs it."""
    finished_ns: int | None = whole(default=None)
    cancel_by: str = ""
    result: str = ""
    error: str = ""


class RecordingRow(SQLModel, table=True):
    """One recording made here; its frames are under `var/recordings/NAME`."""

    __tablename__ = "recordings"

    engine_id: str = Field(primary_key=True)
    name: str = Field(primary_key=True)
    state: str
    instruments: str
    """JSON list: instruments or series."""
    who: str
    started_ns: int = whole()
    ended_ns: int | None = whole(default=None)
    reason: str = ""
    """Why it ended."""
    events: int = whole(default=0)
    bytes: int = whole(default=0)
    gaps: int = whole(default=0)
    first_ns: int | None = whole(default=None)
    last_ns: int | None = whole(default=None)
    updated_ns: int = whole()


# -- The tables of what is received: how markets are called in words, and when a feed was silent ---


class TitleRow(SQLModel, table=True):
    """An instrument's name in words, as its venue writes it."""

    __tablename__ = "titles"

    engine_id: str = Field(primary_key=True)
    instrument: str = Field(primary_key=True)
    title: str
    slug: str
    updated_ns: int = whole()


class WatchedRow(SQLModel, table=True):
    """A market on a person's watch list."""

    __tablename__ = "watch_lists"

    engine_id: str = Field(primary_key=True)
    who: str = Field(primary_key=True)
    name: str = Field(primary_key=True)
    instrument: str = Field(primary_key=True)
    at_ns: int = whole()


class FeedGapRow(SQLModel, table=True):
    """A time in which a feed, or the book of one instrument, was not to be trusted."""

    __tablename__ = "feed_gaps"

    engine_id: str = Field(primary_key=True)
    feed: str = Field(primary_key=True)
    instrument: str = Field(primary_key=True)
    since_ns: int = whole(primary_key=True)
    until_ns: int | None = whole(default=None)
    """None = it lasts, or the engine ended in it."""
    reason: str


# -- The tables of what is checked and measured: the identity of equity, and markouts of fills -----


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
    redeemable_micro: int = whole()
    inventory_micro: int = whole()
    equity_micro: int = whole()
    journal_cash_micro: int = whole()
    """Settled, pending and redeemable: the journal's sum does not tell them apart."""
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
    """`due`, `known`, or why it will never be: `blind`, `closed`, `ignored`, `void`."""
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
    """Of which nobody received the mid; they are in no sum."""
    sum_micro: int = whole()
    squares: float
    """Sum of the squares in currency² per share²: a statistic, no money."""


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
    watching: str = Field(default="[]", sa_column_kwargs={"server_default": "[]"})
    """Markets it evaluates, with what its last plans left over."""
    updated_ns: int = whole()


class BookRow(SQLModel, table=True):
    """The top of a watched book as one account has it."""

    __tablename__ = "books"

    engine_id: str = Field(primary_key=True)
    account: str = Field(primary_key=True)
    instrument: str = Field(primary_key=True)
    body: str
    updated_ns: int = whole()


class CatalogRow(SQLModel, table=True):
    """A strategy or a venue as the engine said it at its start; `kind` names the struct."""

    __tablename__ = "catalog"

    engine_id: str = Field(primary_key=True)
    kind: str = Field(primary_key=True)
    name: str = Field(primary_key=True)
    body: str
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
