"""The phases of the engine's life, a row each: when it entered one, and why.

INIT → LOADING → RECONCILING → RUNNING → STOPPING → STOPPED; RECOVERY = an error ended it, and
everything is being cancelled, or refused its start. Each INIT is the beginning of one process;
STOPPING and STOPPED follow a stop that was asked for, and nothing else.
"""

from __future__ import annotations

from sqlite3 import Connection

import msgspec

from storage.database import Table, dicts

KEPT = 2_000
"""So many of the newest phases are kept: some hundred starts."""

INIT, LOADING, RECONCILING, RUNNING = "INIT", "LOADING", "RECONCILING", "RUNNING"
STOPPING, STOPPED, RECOVERY = "STOPPING", "STOPPED", "RECOVERY"


class EnginePhase(msgspec.Struct, frozen=True, kw_only=True):
    """One phase."""

    at_ns: int
    """When it began, ns UTC by the machine's clock."""
    phase: str
    reason: str
    """Why it was entered; empty = the phase before was over."""
    pid: int
    """The engine's process."""


_PHASES = Table(EnginePhase, "engine_phases")


def put_phase(connection: Connection, engine_id: str, entered: EnginePhase) -> None:
    """Keep a phase. An INIT says where the process before it ended without a stop."""
    if entered.phase == INIT and not entered.reason:
        last = phases(connection, engine_id, most=1)
        if last and last[0].phase != STOPPED:
            reason = f"the engine before it ended in {last[0].phase}, without a stop"
            entered = msgspec.structs.replace(entered, reason=reason)
    _PHASES.put(connection, engine_id, [entered])
    connection.execute(
        "DELETE FROM engine_phases WHERE engine_id = ?1 AND rowid <= (SELECT rowid FROM "
        "engine_phases WHERE engine_id = ?1 ORDER BY rowid DESC LIMIT 1 OFFSET ?2)",
        (engine_id, KEPT),
    )


def phases(connection: Connection, engine_id: str, *, most: int = 100) -> list[EnginePhase]:
    """Return the newest phases, the latest first, as they were kept: a clock may be set back."""
    rows = dicts(
        connection,
        "SELECT at_ns, phase, reason, pid FROM engine_phases WHERE engine_id = ? "
        "ORDER BY rowid DESC LIMIT ?",
        (engine_id, most),
    )
    return [EnginePhase(**row) for row in rows]
