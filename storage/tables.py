"""The tables of the state file `var/pitboss.db`. Migrations are generated from these and tested so.

Money is int micro-units, prices and sizes are ints in the instrument's increments, times are int
nanoseconds UTC, structured text is JSON. Every row carries its engine; rows about money or orders
carry mode and account, because the three modes never mix in a sum.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec.inspect import (
    BoolType,
    FloatType,
    IntType,
    NoneType,
    StrType,
    UnionType,
    type_info,
)
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
)

from engine.domain.telemetry import Approvals, BotStatus, Capital, Earnings
from storage.commands import StandingMark
from storage.jobs import ScheduleSeen
from storage.live import EngineBeat, EquityPoint, HoldingSeen, LimitUse
from storage.live_accounts import Examination, Unlock, VenueHeartbeat
from storage.rows import FOLDED
from storage.runs import Run, RunMarket

METADATA = MetaData(
    # Constraint names must be fixed: batch migrations can only change what has a name.
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)
"""All tables; what migrations are compared with."""


_SQL = {IntType: BigInteger, FloatType: Float, BoolType: Boolean}
"""How a field is kept; every other one is text: words, members, JSON."""


def rows_are(
    kind: type[msgspec.Struct],
    name: str,
    key: Sequence[str] | None,
    indexes: Sequence[Sequence[str]] = (),
    **more: Any,
) -> None:
    """Declare a table whose rows are a struct: its columns are the engine, the fields and `more`.

    `key` stands behind the engine; None = rows are numbered.
    """
    table(name, key, indexes, **fields_of(kind) | more)


def fields_of(kind: type[msgspec.Struct]) -> dict[str, Any]:
    return {field.encode_name: field.type for field in msgspec.structs.fields(kind)}


def table(
    name: str, key: Sequence[str] | None, indexes: Sequence[Sequence[str]] = (), /, **columns: Any
) -> Table:
    """Declare a table of an engine: its columns by their type in Python, as `Integer`, or made.

    `key` stands behind the engine, and is text where `columns` do not say more; None = rows are
    numbered. Each index begins with the engine, too.
    """
    first = {"engine_id": str} | {column: columns.get(column, str) for column in key or ()}
    number = [Column("id", Integer, primary_key=True)] if key is None else []
    made = number + columns_of(first | columns, () if key is None else tuple(first))
    return Table(name, METADATA, *made, *(Index(None, "engine_id", *index) for index in indexes))


def columns_of(columns: Mapping[str, Any], key: Sequence[str]) -> list[Column[Any]]:
    """Return columns by their type; one of `| None` may be empty."""
    made: list[Column[Any]] = []
    for name, of in columns.items():
        if isinstance(of, Column):
            made.append(of)
        elif of is Integer:
            made.append(Column(name, Integer, primary_key=name in key, nullable=False))
        else:
            info = type_info(of)
            kinds = {type(one) for one in (info.types if isinstance(info, UnionType) else (info,))}
            (kind,) = kinds - {NoneType} or {StrType}
            sql = _SQL.get(kind, String)
            made.append(Column(name, sql(), primary_key=name in key, nullable=NoneType in kinds))
    return made


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


# What a bot had made at a moment since it began, summed over its instruments.
table(
    "pnl",
    ("account", "bot", "at_ns"),
    at_ns=int,
    mode=str,
    currency=str,
    realised_micro=int,
    fees_micro=int,
    unrealised_micro=int,
)


# -- The tables of runs: replays, backtests and the points of a sweep ------------------------------

rows_are(Run, "runs", None, [("started_ns",)])


def _of_run(name: str, key: str, columns: Mapping[str, Any]) -> None:
    """Declare a table whose rows go with their run."""
    run = Column("run", Integer, ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    of: dict[str, Any] = {key: columns[key], "engine_id": str, "mode": str, "account": str}
    Table(name, METADATA, run, *columns_of({**of, **columns}, (key,)))


# The equity of a run over the recording's time, at mid.
_of_run("run_equity", "at_ns", {"at_ns": int, "equity_micro": int})
_of_run("run_markets", "instrument", fields_of(RunMarket))


# -- The tables that are a projection of the journal: only `storage.projection` writes them --------

for _kind, _folded in FOLDED.items():
    rows_are(_kind, _folded.rows.name, _folded.key, _folded.indexes)

# How far the projections have read the journal, and of which record that is the checksum.
table("projection", (), version=Integer, seq=int, crc=int)


# -- The tables of accounts that trade real money --------------------------------------------------

rows_are(StandingMark, "marks", ("account", "kind", "subject"))
rows_are(Unlock, "live_unlocks", ("account",))
rows_are(VenueHeartbeat, "venue_heartbeats", ("account",), updated_ns=int)
rows_are(Examination, "live_examinations", ("account", "examiner"))


# -- The tables of long work: the worker's jobs, the schedule as it stands, recordings -------------

# When an entry was posted last, None = never.
rows_are(ScheduleSeen, "schedule", ("name",), last_ns=int | None, updated_ns=int)

# Long jobs of the worker. `storage.jobs` says how they move.
_JOBS = table(
    "jobs",
    None,
    [("state",)],
    kind=str,
    arguments=str,
    who=str,
    command=str,  # id of the one that asked for it; the same command never makes a second job
    state=str,
    attempts=int,  # how often it was begun; a report of an earlier attempt is not taken
    done=int,
    total=int,
    unit=str,
    note=str,  # what it does at the moment, or what became of an earlier attempt
    created_ns=int,
    started_ns=int | None,
    heard_ns=int | None,  # the last word of the program that runs it
    finished_ns=int | None,
    cancel_by=str,
    result=str,
    error=str,
)
Index(None, _JOBS.c.command)

# Recordings made here; their frames are under `var/recordings/NAME`.
table(
    "recordings",
    ("name",),
    state=str,
    instruments=str,  # JSON list: instruments or series
    who=str,
    started_ns=int,
    ended_ns=int | None,
    reason=str,  # why it ended
    events=int,
    bytes=int,
    gaps=int,
    first_ns=int | None,
    last_ns=int | None,
    updated_ns=int,
)


# -- The tables of what is heard: how markets are called in words, and when a feed was not heard ---

table("titles", ("instrument",), title=str, slug=str, updated_ns=int)
table("watch_lists", ("who", "name", "instrument"), at_ns=int)

# Times in which a feed, or the book of one instrument, was not to be trusted. `until_ns` None = it
# lasts, or the engine ended in it.
table(
    "feed_gaps",
    ("feed", "instrument", "since_ns"),
    since_ns=int,
    until_ns=int | None,
    reason=str,
)


# -- The tables of what is checked and measured: the identity of equity, and markouts of fills -----

# The last check of an account: the ledger's equity against the journal's own sum of it.
# `difference_micro` = ledger − journal. `judged` False = one side lacked something, `text` says
# what; then the figures are of no use and nothing is alarmed.
table(
    "equity_checks",
    ("account",),
    mode=str,
    currency=str,
    at_ns=int,
    seq=int,  # the last journal record both sides know
    cash_micro=int,
    pending_micro=int,
    redeemable_micro=int,
    inventory_micro=int,
    equity_micro=int,
    journal_cash_micro=int,  # settled, pending and redeemable: that sum does not tell them apart
    journal_inventory_micro=int,
    journal_equity_micro=int,
    difference_micro=int,
    judged=bool,
    text=str,  # what differs or lacked, in words; empty = both sides agree to the last token
    checks=int,
    differed=int,  # how many of the checks found a difference
    differed_ns=int | None,  # when one did last; None = never
)

# What the mid did after one fill, at one horizon, per share and signed from our side.
table(
    "markouts",
    ("account", "fill", "horizon_ms"),
    [("state", "instrument")],
    horizon_ms=int,  # 0 = at resolution
    mode=str,
    bot=str,
    instrument=str,
    liquidity=str,
    leg=str,
    sign=Integer,  # +1 bought, -1 sold
    price_micro=int,  # what one share of the leg cost or brought
    due_ns=int | None,  # None = at resolution, whenever that is
    state=str,  # `due`, `known`, or why it will never be: `blind`, `closed`, `unheard`, `void`
    markout_micro=int | None,  # sign · (mid of the leg - price) per share; None = not known
)

# Sums over the markouts of a bot: they are kept as markouts become known.
table(
    "markout_sums",
    ("account", "bot", "liquidity", "horizon_ms"),
    horizon_ms=int,
    mode=str,
    known=int,
    unknown=int,  # of which nobody heard the mid; they are in no sum
    sum_micro=int,
    squares=float,  # sum of the squares in currency² per share²: a statistic, no money
)


# -- Who trades ------------------------------------------------------------------------------------

# Accounts and their modes, registered by the engine before their first record.
table("accounts", ("account",), mode=str, venue=str, currency=str)
rows_are(EngineBeat, "engine_state", (), pid=Integer)
rows_are(
    BotStatus,
    "bots",
    ("name",),
    watching=Column("watching", String, nullable=False, server_default="[]"),
    updated_ns=int,
)

# The top of a watched book as one account has it.
table("books", ("account", "instrument"), body=str, updated_ns=int)

# Strategies and venues as the engine said them at its start; `kind` names the struct.
table("catalog", ("kind", "name"), body=str, updated_ns=int)

# What pages need of an instrument as columns, everything in `body`.
_INSTRUMENTS = table(
    "instruments",
    ("id",),
    kind=str,
    currency=str,
    price_decimals=Integer,
    size_decimals=Integer,
    tick=int,
    lot=int,
    market=str,
    series=str,
    closes_ns=int | None,
    payout_yes_micro=int | None,
    body=str,
    updated_ns=int,
)
Index(None, _INSTRUMENTS.c.market)
Index(None, _INSTRUMENTS.c.series)


# -- What the engine reports, and what people and the worker write ---------------------------------

# Alerts and their repeats.
table(
    "alerts",
    None,
    [("last_ns",)],
    mode=str | None,
    account=str | None,
    bot=str | None,
    instrument=str | None,
    severity=str,
    kind=str,
    text=str,
    count=Integer,
    first_ns=int,
    last_ns=int,
    acked_by=str | None,
    acked_ns=int | None,
)

# A command on its way: pending → claimed → done | refused | failed. Never deleted.
Table(
    "commands",
    METADATA,
    *columns_of(
        {
            "id": str,
            "engine_id": str,
            "kind": str,
            "body": str,
            "who": str,
            "state": str,
            "created_ns": int,
            "expires_ns": int,
            "claimed_ns": int | None,
            "answered_ns": int | None,
            "answer": str,
        },
        ("id",),
    ),
    Index(None, "engine_id", "state", "created_ns"),
)

# Who changed what. Triggers forbid changing or deleting a row.
table("audit", None, [("at_ns",)], at_ns=int, who=str, what=str, detail=str)

# Saved versions of all settings; `applied_ns` is set when the engine answered.
table(
    "settings",
    ("version",),
    version=Integer,
    base_version=Integer,
    at_ns=int,
    who=str,
    body=str,
    applied_ns=int | None,
)

# Who may sign in; the password as an Argon2 hash.
table("users", ("name",), password_hash=str, created_ns=int, disabled=bool)
