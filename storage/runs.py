"""Runs: what a replay or a comparison was made of and what it brought.

The worker writes them, whole runs in one transaction; pages read them through `storage.views`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from enum import StrEnum
from itertools import islice

import msgspec

from engine.domain.instruments import Mode
from engine.errors import BadInput
from storage.database import transaction

BATCH = 10_000


class RunKind(StrEnum):
    """What kind of run it is."""

    REPLAY = "replay"
    COMPARE = "compare"
    """Paper against truth: the same maker in the demo exchange and beside it."""


class RunStatus(StrEnum):
    """Where a run stands."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One run. `parameters` and `result` are JSON objects; `digest` proves that two runs agree."""

    engine_id: str
    account: str
    mode: Mode = Mode.PAPER
    kind: RunKind
    recording: str
    """Path of the recording, as the operator named it."""
    bot: str
    strategy: str
    parameters: str = "{}"
    job: int | None = None
    """The worker's job it belongs to; None = run by hand."""
    started_ns: int
    finished_ns: int | None = None
    """None = it still runs."""
    status: RunStatus
    error: str = ""
    digest: str = ""
    frames: int = 0
    orders: int = 0
    fills: int = 0
    fees_micro: int = 0
    pnl_micro: int = 0
    events_per_s: float = 0.0
    peak_rss_mb: float = 0.0
    result: str = "{}"


class RunMarket(msgspec.Struct, frozen=True, kw_only=True):
    """What one market brought in a run; `resolved` False = what is left is marked at the mid."""

    instrument: str
    orders: int
    fills: int
    fees_micro: int
    realised_micro: int
    unresolved_micro: int
    position_left: int
    resolved: bool


_COLUMNS = tuple(field.name for field in msgspec.structs.fields(Run))
_INSERT = (
    f"INSERT INTO runs ({', '.join(_COLUMNS)}) "  # noqa: S608 names of our own struct's fields
    f"VALUES ({', '.join('?' * len(_COLUMNS))}) RETURNING id"
)
_UPDATE = f"UPDATE runs SET {', '.join(f'{name} = ?' for name in _COLUMNS)} WHERE id = ?"  # noqa: S608 same


def save_run(
    connection: sqlite3.Connection,
    run: Run,
    *,
    equity: Iterable[tuple[int, int]] = (),
    markets: Iterable[RunMarket] = (),
    run_id: int | None = None,
) -> int:
    """Write a run with its equity (at_ns, micro) and markets, all or nothing; give its id.

    `run_id` names a run saved before (as RUNNING); it and its parts are replaced. Raises BadInput
    where there is none.
    """
    values = msgspec.structs.astuple(run)
    with transaction(connection):
        if run_id is None:
            run_id = int(connection.execute(_INSERT, values).fetchone()[0])
        elif connection.execute(_UPDATE, (*values, run_id)).rowcount != 1:
            raise BadInput(f"there is no run {run_id} to replace")
        connection.execute("DELETE FROM run_equity WHERE run = ?", (run_id,))
        connection.execute("DELETE FROM run_markets WHERE run = ?", (run_id,))
        whose = (run.engine_id, run.mode, run.account)
        _many(
            connection,
            "INSERT INTO run_equity (run, at_ns, engine_id, mode, account, equity_micro) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            ((run_id, at_ns, *whose, micro) for at_ns, micro in dict(equity).items()),
        )
        _many(
            connection,
            "INSERT INTO run_markets (run, engine_id, mode, account, instrument, orders, fills, "
            "fees_micro, realised_micro, unresolved_micro, position_left, resolved) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            ((run_id, *whose, *msgspec.structs.astuple(market)) for market in markets),
        )
    return run_id


def _many(connection: sqlite3.Connection, sql: str, rows: Iterable[tuple[object, ...]]) -> None:
    """Insert in batches, so that a long curve is never a second copy in memory."""
    source = iter(rows)
    while batch := list(islice(source, BATCH)):
        connection.executemany(sql, batch)


def run_of_job(connection: sqlite3.Connection, job: int) -> int | None:
    """Return the run a job of the worker has stored, None where it has not."""
    row = connection.execute("SELECT id FROM runs WHERE job = ? LIMIT 1", (job,)).fetchone()
    return None if row is None else int(row[0])


def delete_run(connection: sqlite3.Connection, engine_id: str, run_id: int) -> None:
    """Remove a run and its parts. Raises BadInput where there is none."""
    with transaction(connection):
        gone = connection.execute(
            "DELETE FROM runs WHERE engine_id = ? AND id = ?", (engine_id, run_id)
        )
        if gone.rowcount != 1:
            raise BadInput(f"there is no run {run_id} to delete")


def end_orphaned_runs(connection: sqlite3.Connection, engine_id: str, now_ns: int) -> int:
    """Mark runs as failed that were running when their program died; give how many."""
    with transaction(connection):
        ended = connection.execute(
            "UPDATE runs SET status = ?, finished_ns = ?, error = ? "
            "WHERE engine_id = ? AND status = ?",
            (
                RunStatus.FAILED,
                now_ns,
                "the program that ran it ended before it did",
                engine_id,
                RunStatus.RUNNING,
            ),
        )
        return ended.rowcount
