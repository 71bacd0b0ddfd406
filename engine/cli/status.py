"""`python -m engine status`: what state the database holds, read without touching it.

Says plainly that no engine runs when none does. Amounts of the three modes are never added up.
"""

from __future__ import annotations

import argparse
import sqlite3
import time
from pathlib import Path

import msgspec
import psutil

from engine.cli.arguments import say
from engine.config import Config
from engine.domain.instruments import Mode
from engine.domain.money import MICRO
from engine.domain.orders import ORDER_ENDS, OrderState
from engine.domain.telemetry import EngineStatus
from engine.log import iso
from storage.database import dicts, filled, reading
from storage.live import unlisted_by
from storage.live_accounts import GhostFills, ghost_fills
from storage.phases import STOPPED, phases
from storage.schema import check_schema
from storage.views.frame import HEARTBEAT_AGE_NS_MAX, SECOND_NS

HELP = "show what state the database holds"

LATCHED = "latch      KILL is set: no order is placed until it is released"


class EngineReport(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine last wrote of itself. `running` = a fresh heartbeat and a living process.

    `silent` = its process lives and it did not stop, but its heartbeat is old.
    """

    engine_id: str
    state: str
    running: bool
    heartbeat_age_s: float
    pid: int
    latched: bool
    silent: bool = False
    turns: str = ""
    """How long its turns took, in words; empty = none was measured."""
    last_stop: str = ""
    """What the stop it ended with has proved; empty = it runs, or ended without one."""


class RunSeen(msgspec.Struct, frozen=True, kw_only=True):
    """The latest run of a kind. Money in the currency."""

    id: int
    kind: str
    recording: str
    strategy: str
    status: str
    error: str
    started: str
    orders: int
    fills: int
    pnl: float
    digest: str


class OrdersReport(msgspec.Struct, frozen=True, kw_only=True):
    """How many orders of one mode have not ended, and of how many we do not know whether."""

    mode: Mode
    live: int
    unknown: int


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """What the database holds. `exists` False = there is none, all else is empty."""

    database: str
    exists: bool
    past: bool = False
    """A journal is there although no database is: it was lost."""
    kill_latched: bool
    engines: tuple[EngineReport, ...] = ()
    runs: int = 0
    last_run: RunSeen | None = None
    orders: tuple[OrdersReport, ...] = ()
    ghosts: tuple[GhostFills, ...] = ()
    unlisted: dict[str, str] = {}
    """Bot → which markets it names that its venue has not listed."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take no arguments: the whole state is shown."""


def run(args: argparse.Namespace, config: Config) -> int:
    """Tell the state. Raises StorageError where there is a database that cannot be read."""
    status = read(config, time.time_ns())
    say(args, msgspec.to_builtins(status), "\n".join(describe(status)))
    return 0


def read(config: Config, now_ns: int) -> Status:
    """Return what the state database holds at this moment, in one snapshot of it."""
    path = config.state_path
    latched = config.kill_path.exists()
    if not path.is_file():
        past = filled(config.journal_path)
        return Status(database=str(path), exists=False, kill_latched=latched, past=past)
    check_schema(path)
    with reading(path) as connection:
        connection.row_factory = sqlite3.Row
        return Status(
            database=str(path),
            exists=True,
            kill_latched=latched,
            engines=_engines(connection, now_ns),
            runs=int(connection.execute("SELECT count(*) FROM runs").fetchone()[0]),
            last_run=_last_run(connection),
            orders=_orders(connection),
            ghosts=_ghosts(connection),
            unlisted=_unlisted(connection),
        )


def _engines(connection: sqlite3.Connection, now_ns: int) -> tuple[EngineReport, ...]:
    rows = connection.execute(
        "SELECT engine_id, state, heartbeat_ns, pid, latched, detail FROM engine_state "
        "ORDER BY engine_id"
    )
    return tuple(
        EngineReport(
            engine_id=row["engine_id"],
            state=row["state"],
            running=now_ns - row["heartbeat_ns"] <= HEARTBEAT_AGE_NS_MAX
            and psutil.pid_exists(row["pid"]),
            heartbeat_age_s=round((now_ns - row["heartbeat_ns"]) / SECOND_NS, 3),
            pid=row["pid"],
            latched=bool(row["latched"]),
            silent=now_ns - row["heartbeat_ns"] > HEARTBEAT_AGE_NS_MAX
            and row["state"] != STOPPED
            and _is_alive(row["pid"], row["heartbeat_ns"]),
            turns=_turns(row["detail"]),
            last_stop=_last_stop(connection, row["engine_id"]),
        )
        for row in rows
    )


def _last_stop(connection: sqlite3.Connection, engine_id: str) -> str:
    last = phases(connection, engine_id, most=1)
    return last[0].reason if last and last[0].phase == STOPPED else ""


def _turns(detail: str) -> str:
    """Return what a heartbeat says of its turns; empty where another version wrote it."""
    try:
        return msgspec.json.decode(detail, type=EngineStatus).turns_in_words()
    except msgspec.DecodeError:
        return ""


def _is_alive(pid: int, heartbeat_ns: int) -> bool:
    """Say whether the process that beat lives; one that began later only bears its number."""
    try:
        began_s: float = psutil.Process(pid).create_time()
    except psutil.Error:
        return False
    return began_s * SECOND_NS <= heartbeat_ns


def _last_run(connection: sqlite3.Connection) -> RunSeen | None:
    found = dicts(
        connection,
        "SELECT id, kind, recording, strategy, status, error, started_ns, orders, fills, "
        "pnl_micro, digest FROM runs ORDER BY started_ns DESC, id DESC LIMIT 1",
    )
    if not found:
        return None
    started, pnl = iso(found[0].pop("started_ns")), found[0].pop("pnl_micro") / MICRO
    return RunSeen(**found[0], started=started, pnl=pnl)


def _orders(connection: sqlite3.Connection) -> tuple[OrdersReport, ...]:
    marks = ", ".join("?" * len(ORDER_ENDS))
    found = dicts(
        connection,
        "SELECT mode, count(*) AS live, sum(state = ?) AS unknown FROM orders "  # noqa: S608 our own marks
        f"WHERE state NOT IN ({marks}) GROUP BY mode ORDER BY mode",
        (OrderState.UNKNOWN, *ORDER_ENDS),
    )
    return tuple(msgspec.convert(row, OrdersReport) for row in found)


def _unlisted(connection: sqlite3.Connection) -> dict[str, str]:
    engines = connection.execute("SELECT engine_id FROM engine_state ORDER BY engine_id").fetchall()
    found: dict[str, str] = {}
    for (engine,) in engines:
        found |= unlisted_by(connection, engine)
    return found


def _ghosts(connection: sqlite3.Connection) -> tuple[GhostFills, ...]:
    """Return them for the accounts that beat at their venue: those that trade there for real."""
    beating = "SELECT engine_id, account FROM venue_heartbeats ORDER BY engine_id, account"
    return tuple(ghost_fills(connection, *one) for one in connection.execute(beating).fetchall())


def describe(status: Status) -> list[str]:
    lines = [f"database   {status.database}"]
    if status.past:
        lines += [
            "           is missing, but journal.db is here: restore it as README's Recovery says.",
            "           Whether an engine runs, and what it has open, cannot be known without it",
        ]
        return lines + [LATCHED] * status.kill_latched
    if not status.exists:
        lines.append("           does not exist yet: nothing has run here")
    lines += _engine_lines(status)
    if status.kill_latched:
        lines.append(LATCHED)
    for orders in status.orders:
        lines.append(f"orders     {orders.mode}: {orders.live} live, {orders.unknown} unknown")
    if not status.orders:
        lines.append("orders     none live, none unknown")
    for seen in status.ghosts:
        share = "" if seen.rate is None else f" ({100 * seen.rate:.2f} %)"
        lines.append(
            f"ghosts     {seen.account}: {seen.voided:,} of {seen.matched:,} fills{share} failed "
            "to settle and were reversed"
        )
    lines += [f"bot        {name}: {why}" for name, why in status.unlisted.items()]
    last = status.last_run
    if last is None:
        lines.append("runs       none yet")
        return lines
    name = Path(last.recording).name or last.recording
    lines += [
        f"runs       {status.runs}, the last: {last.kind} {last.id} of {name} by {last.strategy}, "
        f"{last.status}{': ' + last.error if last.error else ''}, started {last.started}",
        f"           orders {last.orders:,}   fills {last.fills:,}   PnL {last.pnl:+.4f}   "
        f"digest {last.digest or 'none'}",
    ]
    return lines


def _engine_lines(status: Status) -> list[str]:
    if not any(engine.running or engine.silent for engine in status.engines):
        lines = ["engine     no engine is running"]
    else:
        lines = []
    for engine in status.engines:
        how = "runs" if engine.running else "is silent" if engine.silent else "is gone"
        latched = ", latched" if engine.latched else ""
        lines.append(
            f"engine     {engine.engine_id} {how}: {engine.state}{latched}, last heartbeat "
            f"{engine.heartbeat_age_s:,.1f} s ago, process {engine.pid}"
        )
        if engine.turns:
            lines.append(f"           turns: {engine.turns}")
        if engine.last_stop:
            lines.append(f"           its stop: {engine.last_stop}")
        if engine.silent:
            lines.append(
                "           its process is alive: it hangs, or it cannot write the disk or this "
                "file; see log/engine.log. A KILL still reaches it"
            )
    return lines
