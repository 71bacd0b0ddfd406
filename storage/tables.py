"""The tables of the state file `var/pitboss.db`; `storage.schema` brings older files to these.

Money is int micro-units, prices and sizes are ints in the instrument's increments, times are int
nanoseconds UTC, structured text is JSON. Every row carries its engine; rows about money or orders
carry mode and account, because the three modes never mix in a sum.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.domain.evidence import EvidenceRow
from engine.domain.telemetry import Approvals, BotStatus, Capital, Earnings
from storage.bot_drafts import BOT_DRAFTS
from storage.columns import ENGINE as E
from storage.columns import Declared, Field, Integer, declare, fields
from storage.commands import StandingMark
from storage.evidence import TABLE as EVIDENCE
from storage.jobs import ScheduleSeen
from storage.live import EngineHeartbeat, EquityPoint, HoldingSeen, LimitUse
from storage.live_accounts import Examination, Unlock, VenueHeartbeat
from storage.page_drafts import StoredDraft
from storage.phases import EnginePhase
from storage.pnl_days import PnlDay
from storage.projected import PROJECTED
from storage.reports import ReportRow
from storage.rounds import RoundSeen
from storage.rule_drafts import RULE_DRAFTS
from storage.rules import TABLE as RULES
from storage.rules import SavedRule
from storage.run_notes import TABLE as RUN_NOTES
from storage.run_notes import RunNote
from storage.runs import Run, RunMarket

TABLES: dict[str, Declared] = {}
"""Every table by its name. A table or a column that is added here is added to a home's file at the
next start; `docs/rooms.md` says how anything else is changed."""


def table(name: str, key: Sequence[str], /, *indexes: Sequence[str], **columns: object) -> None:
    TABLES[name] = declare(name, key, *indexes, **columns)


# -- Who trades, with what, where ------------------------------------------------------------------

# An account and its mode, registered by the engine before its first record.
table("accounts", (E, "account"), mode=str, venue=str, currency=str)

# The engine's heartbeat: what the status bar shows.
table("engine_state", (E,), **(fields(EngineHeartbeat) | {"pid": Integer}))

# The phases of the engine's life, the newest `KEPT` of them.
table("engine_phases", (E, "at_ns", "phase"), **(fields(EnginePhase) | {"pid": Integer}))

# A bot's state as the engine reports it; its settings are in `settings`.
table("bots", (E, "name"), **(fields(BotStatus) | {"watching": Field(str, "[]")}), updated_ns=int)

# The top of a watched book as one account has it.
table("books", (E, "account", "instrument"), body=str, updated_ns=int)

# A strategy or a venue as the engine said it at its start; `kind` names the struct.
table("catalog", (E, "kind", "name"), body=str, updated_ns=int)

# The instruments: what pages need as columns, everything in `body`.
table(
    "instruments",
    (E, "id"),
    ("market",),
    ("series",),
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

# -- What a running engine reports of money: holdings, PnL over time, use of limits ----------------

table(
    "holdings",
    (E, "account", "instrument"),
    (E, "bot"),
    **fields(HoldingSeen),
    opened_ns=int | None,  # since when something is held without a break; None = nothing is
    updated_ns=int,
)
table(
    "limit_use",
    (E, "account", "name", "subject"),
    **fields(LimitUse),
    mode=str,
    currency=str,
    updated_ns=int,
)
table("equity", (E, "account", "at_ns"), **fields(EquityPoint))
table("capital", (E, "account"), **fields(Capital))
table("approvals", (E, "account"), **fields(Approvals))
table("earnings", (E, "account"), **fields(Earnings))

# What a bot had made at a moment since it began, summed over its instruments.
table(
    "pnl",
    (E, "account", "bot", "at_ns"),
    at_ns=int,
    mode=str,
    currency=str,
    realised_micro=int,
    fees_micro=int,
    unrealised_micro=int,
)

# -- Runs: replays, backtests and the points of a sweep --------------------------------------------

table("runs", ("id",), (E, "started_ns"), id=Integer, **fields(Run))


_RUN = Field(int, sql="INTEGER", references="runs")

# The equity of a run over the recording's time, at mid.
table(
    "run_equity",
    ("run", "at_ns"),
    run=_RUN,
    at_ns=int,
    mode=str,
    account=str,
    equity_micro=int,
)

# What one market brought in a run.
table("run_markets", ("run", "instrument"), run=_RUN, mode=str, account=str, **fields(RunMarket))

# What a person left on a run: the newest note and its tags.
table(RUN_NOTES, ("run",), run=_RUN, **fields(RunNote))

# Saved rules, every version of them.
table(RULES, (E, "name", "version"), **fields(SavedRule))

# The bot a person is making.
table(BOT_DRAFTS.table, (E, "who"), **fields(StoredDraft))

# The rule each person edits.
table(RULE_DRAFTS.table, (E, "who"), **fields(StoredDraft))

# What recorded data shows of each strategy.
table(EVIDENCE, (E, "strategy", "data"), **fields(EvidenceRow))

# -- The projection of the journal: only `storage.projection` writes these -------------------------

for _projected in PROJECTED.values():
    TABLES[_projected.name] = _projected.declared

# How far the projections have read the journal, and of which record that is the checksum.
table(
    "projection",
    (E,),
    version=Integer,
    seq=int,
    crc=int,
    nouns=Field(str, ""),  # which nouns have read them, each with its version and columns
)

# -- Accounts that trade real money ----------------------------------------------------------------

table("marks", (E, "account", "kind", "subject"), **fields(StandingMark))
table("live_unlocks", (E, "account"), **fields(Unlock))
table("venue_heartbeats", (E, "account"), **fields(VenueHeartbeat), updated_ns=int)
table("live_examinations", (E, "account", "examiner"), **fields(Examination))

# -- Long work: the worker's jobs, the schedule as it stands, recordings ---------------------------

# When an entry was posted last, None = never.
table("schedule", (E, "name"), **fields(ScheduleSeen), last_ns=int | None, updated_ns=int)

# A long job of the worker. `storage.jobs` says how it moves.
table(
    "jobs",
    ("id",),
    (E, "state"),
    ("command",),
    id=Integer,
    kind=str,
    arguments=str,
    who=str,
    command=str,  # id of the one that asked for it: the same command never makes a second job
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

# One recording made here; its frames are under `var/recordings/NAME`.
table(
    "recordings",
    (E, "name"),
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

# -- What is received: how markets are called in words, and when a feed was silent -----------------

# An instrument's name in words, as its venue writes it.
table("titles", (E, "instrument"), title=str, slug=str, updated_ns=int)

# A market on a person's watch list.
table("watch_lists", (E, "who", "name", "instrument"), at_ns=int)

# A time in which a feed, or the book of one instrument, was not to be trusted; `until_ns` None = it
# lasts, or the engine ended in it.
table(
    "feed_gaps",
    (E, "feed", "instrument", "since_ns"),
    since_ns=int,
    until_ns=int | None,
    reason=str,
)

# -- What is checked and measured: the identity of equity, and markouts of fills -------------------

# The last check of an account: the ledger's equity against the journal's own sum of it.
table(
    "equity_checks",
    (E, "account"),
    mode=str,
    currency=str,
    at_ns=int,
    seq=int,  # the last journal record both sides know
    cash_micro=int,
    pending_micro=int,
    redeemable_micro=int,
    inventory_micro=int,
    equity_micro=int,
    journal_cash_micro=int,  # settled, pending and redeemable: its sum does not tell them apart
    journal_inventory_micro=int,
    journal_equity_micro=int,
    difference_micro=int,  # ledger - journal
    judged=bool,  # False = one side lacked something: no figure is of use and nothing is alarmed
    text=str,  # what differs or what lacked, in words; empty = both agree to the last token
    checks=int,
    differed=int,  # how many of the checks found a difference
    differed_ns=int | None,  # when one did last; None = never
)

# What the mid did after one fill, at one horizon, per share and signed from our side.
table(
    "markouts",
    (E, "account", "fill", "horizon_ms"),
    (E, "state", "instrument"),
    horizon_ms=int,  # 0 = at resolution
    mode=str,
    bot=str,
    instrument=str,
    liquidity=str,
    leg=str,
    sign=Integer,  # +1 bought, -1 sold
    price_micro=int,  # what one share of the leg cost or brought
    due_ns=int | None,  # None = at resolution, whenever that is
    state=str,  # `storage.markouts.MarkoutState`
    markout_micro=int | None,  # sign · (mid of the leg - price) per share; None = not known
)

# Sums over the markouts of a bot: they are kept as markouts become known.
table(
    "markout_sums",
    (E, "account", "bot", "liquidity", "horizon_ms"),
    horizon_ms=int,
    mode=str,
    known=int,
    unknown=int,  # without a mid; they are in no sum
    sum_micro=int,
    squares=float,  # sum of the squares in currency² per share²: a statistic, no money
)

# What the engine looks at every so often, as it went last.
table("rounds", (E, "name"), **fields(RoundSeen))

# The same of pairs, which have no shares: in basis points of the fill's price.
table(
    "markout_sums_bps",
    (E, "account", "bot", "liquidity", "horizon_ms"),
    horizon_ms=int,
    mode=str,
    known=int,
    unknown=int,
    sum_bps=float,
    squares=float,
)
# What each owner made on a day.
table("pnl_days", (E, "day", "account", "bot"), **fields(PnlDay))

# A flight report as it was made.
table("reports", (E, "name"), **fields(ReportRow))

# -- Alerts, and what people and the worker write -----------------------------------------------

# An alert and its repeats.
table(
    "alerts",
    ("id",),
    (E, "last_ns"),
    (E, "acked_ns", "severity"),
    id=Integer,
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
    numbers=str | None,
)

# A command on its way: pending → claimed → done | refused | failed. Never deleted.
table(
    "commands",
    ("id",),
    (E, "state", "created_ns"),
    kind=str,
    body=str,
    who=str,
    state=str,
    created_ns=int,
    expires_ns=int,
    claimed_ns=int | None,
    answered_ns=int | None,
    answer=str,
)

# Who changed what. Triggers forbid changing or deleting a row.
table("audit", ("id",), (E, "at_ns"), id=Integer, at_ns=int, who=str, what=str, detail=str)

TRIGGERS = tuple(
    f"CREATE TRIGGER audit_no_{verb.lower()} BEFORE {verb} ON audit "
    "BEGIN SELECT RAISE(ABORT, 'audit is insert-only'); END"
    for verb in ("UPDATE", "DELETE")
)
"""What a new file has besides its tables; one more needs a script for the files there are."""

# One saved version of all settings; `applied_ns` is set when the engine answered.
table(
    "settings",
    (E, "version"),
    version=Integer,
    base_version=Integer,
    at_ns=int,
    who=str,
    body=str,
    applied_ns=int | None,
)

# Who may sign in; the password as an Argon2 hash.
table("users", (E, "name"), password_hash=str, created_ns=int, disabled=bool)
