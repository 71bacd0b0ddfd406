"""The tables of the state file `var/pitboss.db`. Migrations are generated from these and tested so.

Money is int micro-units, prices and sizes are ints in the instrument's increments, times are int
nanoseconds UTC, structured text is JSON. Every row carries its engine; rows about money or orders
carry mode and account, because the three modes never mix in a sum. What a column means stands at
the struct its row is, or at the functions that write it.
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
    UnionType,
    type_info,
)
from sqlalchemy import BigInteger, Boolean, Column, Float, ForeignKey, Index, Integer, Table
from sqlmodel import AutoString, SQLModel

from engine.domain.telemetry import Approvals, Capital
from storage.examinations import Examination
from storage.jobs import ScheduleSeen
from storage.live import EquityPoint
from storage.live_accounts import Unlock, VenueHeartbeat
from storage.rows import (
    CashFold,
    FillFold,
    ListingFold,
    NewsFold,
    OrderFold,
    PositionFold,
    RedemptionFold,
)
from storage.runs import Run
from storage.telemetry import HoldingSeen, LimitUse

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


def columns_are(
    name: str, key: Sequence[str], indexes: Sequence[Sequence[str]] = (), /, **columns: Any
) -> None:
    """Declare a table by its columns. `key` = which make a row unique, () = rows are numbered.

    A column is given as the type of what stands in it; where that says too little, as itself.
    """
    numbered = () if key else (Column("id", Integer, primary_key=True),)
    Table(
        name,
        METADATA,
        *numbered,
        *(_column(one, of, primary_key=one in key) for one, of in columns.items()),
        *(Index(None, *index) for index in indexes),
    )


def rows_are(
    kind: type[msgspec.Struct],
    name: str,
    key: Sequence[str],
    indexes: Sequence[Sequence[str]] = (),
    /,
    **more: Any,
) -> None:
    """Declare a table whose rows are a struct: its columns are the engine, the fields and `more`.

    `key` and `indexes` stand behind the engine; no `key` = rows are numbered.
    """
    fields = {field.encode_name: field.type for field in msgspec.structs.fields(kind)} | more
    first = {"engine_id": str} | {column: fields[column] for column in key}
    whole = tuple(("engine_id", *index) for index in indexes)
    columns_are(name, tuple(first) if key else (), whole, **(first | fields))


_SQL = {IntType: BigInteger, FloatType: Float, BoolType: Boolean}
"""How a field is kept; every other one is text: words, members, JSON."""


def _column(name: str, of: Any, *, primary_key: bool) -> Column[Any]:
    if isinstance(of, Column):
        return of
    if of is Integer:
        return Column(name, Integer, primary_key=primary_key, nullable=False)
    info = type_info(of)
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
# What a bot had made at a moment since it began, summed over its instruments.
columns_are(
    "pnl", ("engine_id", "account", "bot", "at_ns"),
    engine_id=str, account=str, bot=str, at_ns=int, mode=str, currency=str, realised_micro=int,
    fees_micro=int, unrealised_micro=int,
)  # fmt: skip

# -- Runs: replays, backtests and the points of a sweep --------------------------------------------

rows_are(Run, "runs", (), [("started_ns",)])


def _run() -> Column[int]:
    return Column("run", Integer, ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)


# The equity of a run over the recording's time, at mid.
columns_are(
    "run_equity", ("run", "at_ns"),
    run=_run(), at_ns=int, engine_id=str, mode=str, account=str, equity_micro=int,
)  # fmt: skip
columns_are(
    "run_markets", ("run", "instrument"),
    run=_run(), instrument=str, engine_id=str, mode=str, account=str, orders=int, fills=int,
    fees_micro=int, realised_micro=int, unresolved_micro=int, position_left=int, resolved=bool,
)  # fmt: skip

# -- The projection of the journal: only `storage.projection` writes it ----------------------------

rows_are(
    OrderFold,
    "orders",
    ("account", "id"),
    [("mode", "created_ns"), ("state",), ("instrument", "created_ns")],
)
rows_are(
    FillFold,
    "fills",
    ("account", "id"),
    [("mode", "at_ns"), ("instrument", "at_ns"), ("account", "order_id"), ("account", "state")],
)
rows_are(PositionFold, "positions", ("account", "instrument", "leg"))
rows_are(ListingFold, "listings", ("instrument",))
rows_are(CashFold, "cash_moves", ("account", "seq"))
rows_are(RedemptionFold, "redemptions", ("account", "transaction_id", "instrument"))
rows_are(NewsFold, "early_news", ("account", "fill"))
# How far the projections have read the journal, and of which record that is the checksum.
columns_are("projection", ("engine_id",), engine_id=str, version=Integer, seq=int, crc=int)

# -- Accounts that trade real money ----------------------------------------------------------------

rows_are(Unlock, "live_unlocks", ("account",))
rows_are(VenueHeartbeat, "venue_heartbeats", ("account",), updated_ns=int)
rows_are(Examination, "live_examinations", ("account", "examiner"))

# -- Long work: the worker's jobs, the schedule as it stands, recordings ---------------------------

# When an entry was posted last, None = never.
rows_are(ScheduleSeen, "schedule", ("name",), last_ns=int | None, updated_ns=int)
columns_are(
    "jobs",
    (),
    [("engine_id", "state"), ("command",)],
    engine_id=str,
    kind=str,
    arguments=str,
    who=str,
    command=str,  # id of the command that asked for it; the same one never makes a second job
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
# The frames of a recording are under `var/recordings/NAME`; `reason` is why it ended.
columns_are(
    "recordings", ("engine_id", "name"),
    engine_id=str, name=str, state=str, instruments=str, who=str, started_ns=int,
    ended_ns=int | None, reason=str, events=int, bytes=int, gaps=int, first_ns=int | None,
    last_ns=int | None, updated_ns=int,
)  # fmt: skip

# -- What is heard: how markets are called in words, and when a feed was not to be trusted ---------

columns_are(
    "titles", ("engine_id", "instrument"),
    engine_id=str, instrument=str, title=str, slug=str, updated_ns=int,
)  # fmt: skip
# `until_ns` None = it lasts, or the engine ended in it.
columns_are(
    "feed_gaps", ("engine_id", "feed", "instrument", "since_ns"),
    engine_id=str, feed=str, instrument=str, since_ns=int, until_ns=int | None, reason=str,
)  # fmt: skip

# -- What is checked and measured: the identity of equity, and markouts of fills -------------------

# The last check of an account: the ledger's equity against the journal's own sum of it.
columns_are(
    "equity_checks",
    ("engine_id", "account"),
    engine_id=str,
    account=str,
    mode=str,
    currency=str,
    at_ns=int,
    seq=int,  # the last journal record both sides know
    cash_micro=int,
    pending_micro=int,
    redeemable_micro=int,
    inventory_micro=int,
    equity_micro=int,
    journal_cash_micro=int,  # settled, pending, redeemable: the journal does not tell them apart
    journal_inventory_micro=int,
    journal_equity_micro=int,
    difference_micro=int,  # ledger − journal
    judged=bool,  # False = one side lacked something: the figures are of no use
    text=str,  # what differs or what lacked; empty = both sides agree to the last token
    checks=int,
    differed=int,  # how many of the checks found a difference
    differed_ns=int | None,  # when one did last
)
# What the mid did after one fill, at one horizon (0 = at resolution), per share, from our side.
columns_are(
    "markouts",
    ("engine_id", "account", "fill", "horizon_ms"),
    [("engine_id", "state", "instrument")],
    engine_id=str,
    account=str,
    fill=str,
    horizon_ms=int,
    mode=str,
    bot=str,
    instrument=str,
    liquidity=str,
    leg=str,
    sign=Integer,  # +1 bought, -1 sold
    price_micro=int,  # what one share of the leg cost or brought
    due_ns=int | None,  # None = at resolution, whenever that is
    state=str,
    markout_micro=int | None,  # sign · (mid of the leg - price) per share; None = not known
)
# Sums over the markouts of a bot, kept as markouts become known; `unknown` ones are in no sum.
columns_are(
    "markout_sums",
    ("engine_id", "account", "bot", "liquidity", "horizon_ms"),
    engine_id=str,
    account=str,
    bot=str,
    liquidity=str,
    horizon_ms=int,
    mode=str,
    known=int,
    unknown=int,
    sum_micro=int,
    squares=float,  # in currency² per share²: a statistic, no money
)

# -- Who trades ------------------------------------------------------------------------------------

# An account is registered by the engine before its first record.
columns_are(
    "accounts", ("engine_id", "account"),
    engine_id=str, account=str, mode=str, venue=str, currency=str,
)  # fmt: skip
# The heartbeat: what the status bar shows.
columns_are(
    "engine_state", ("engine_id",),
    engine_id=str, state=str, heartbeat_ns=int, started_ns=int, pid=Integer, version=str,
    latched=bool, detail=str,
)  # fmt: skip
columns_are(
    "bots", ("engine_id", "name"),
    engine_id=str, name=str, mode=str, account=str, strategy=str, state=str, error=str,
    capital_micro=int, evaluations=int,
    watching=Column("watching", AutoString, server_default="[]", nullable=False), updated_ns=int,
)  # fmt: skip
columns_are(
    "books", ("engine_id", "account", "instrument"),
    engine_id=str, account=str, instrument=str, body=str, updated_ns=int,
)  # fmt: skip
# A strategy or a venue as the engine said it at its start; `kind` names the struct.
columns_are(
    "catalog", ("engine_id", "kind", "name"),
    engine_id=str, kind=str, name=str, body=str, updated_ns=int,
)  # fmt: skip
# What pages need of an instrument as columns, everything in `body`.
columns_are(
    "instruments", ("engine_id", "id"), [("market",), ("series",)],
    engine_id=str, id=str, kind=str, currency=str, price_decimals=Integer, size_decimals=Integer,
    tick=int, lot=int, market=str, series=str, closes_ns=int | None, payout_yes_micro=int | None,
    body=str, updated_ns=int,
)  # fmt: skip

# -- What the engine reports, and what people and the worker write ---------------------------------

columns_are(
    "alerts", (), [("engine_id", "last_ns")],
    engine_id=str, mode=str | None, account=str | None, bot=str | None, instrument=str | None,
    severity=str, kind=str, text=str, count=Integer, first_ns=int, last_ns=int,
    acked_by=str | None, acked_ns=int | None,
)  # fmt: skip
# pending → claimed → done | refused | failed. Never deleted.
columns_are(
    "commands", ("id",), [("engine_id", "state", "created_ns")],
    id=str, engine_id=str, kind=str, body=str, who=str, state=str, created_ns=int, expires_ns=int,
    claimed_ns=int | None, answered_ns=int | None, answer=str,
)  # fmt: skip
# Who changed what. Triggers forbid changing or deleting a row.
columns_are(
    "audit", (), [("engine_id", "at_ns")],
    engine_id=str, at_ns=int, who=str, what=str, detail=str,
)  # fmt: skip
# A saved version of all settings; `applied_ns` is set when the engine answered.
columns_are(
    "settings", ("engine_id", "version"),
    engine_id=str, version=Integer, base_version=Integer, at_ns=int, who=str, body=str,
    applied_ns=int | None,
)  # fmt: skip
# Who may sign in; the password as an Argon2 hash.
columns_are(
    "users", ("engine_id", "name"),
    engine_id=str, name=str, password_hash=str, created_ns=int, disabled=bool,
)  # fmt: skip
