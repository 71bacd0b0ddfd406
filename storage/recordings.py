"""Recordings made by the engine: what each holds and how it ended. The frames are in files.

recording → stopped | failed. One that was recording when the engine ended goes on at its next
start, with a gap.
"""

from __future__ import annotations

import sqlite3
from enum import StrEnum

import msgspec

from engine.errors import BadInput
from storage.database import transaction
from storage.views import ROWS_MAX, Row, rows_of


class RecordingState(StrEnum):
    """Where a recording stands."""

    RECORDING = "recording"
    STOPPED = "stopped"
    FAILED = "failed"
    """It ended because it could not go on; what it holds is whole up to there."""


class RecordingSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A recording that goes on, as the next start of the engine finds it."""

    name: str
    instruments: tuple[str, ...]
    who: str
    started_ns: int
    events: int
    gaps: int
    first_ns: int | None
    last_ns: int | None


class RecordingFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What a recording holds now. `bytes` on the disk; times in ns UTC, None = nothing yet."""

    events: int
    bytes: int
    gaps: int
    first_ns: int | None
    last_ns: int | None


def begin_recording(
    connection: sqlite3.Connection,
    *,
    engine_id: str,
    name: str,
    instruments: tuple[str, ...],
    who: str,
    now_ns: int,
) -> None:
    """Note a new recording. Raises BadInput where the name is taken."""
    with transaction(connection):
        taken = connection.execute(
            "SELECT 1 FROM recordings WHERE engine_id = ? AND name = ?", (engine_id, name)
        ).fetchone()
        if taken:
            raise BadInput(f"there is a recording {name!r} already; choose another name")
        connection.execute(
            "INSERT INTO recordings (engine_id, name, state, instruments, who, started_ns, "
            "reason, events, bytes, gaps, updated_ns) VALUES (?, ?, ?, ?, ?, ?, '', 0, 0, 0, ?)",
            (
                engine_id,
                name,
                RecordingState.RECORDING,
                msgspec.json.encode(instruments).decode(),
                who,
                now_ns,
                now_ns,
            ),
        )


def note_figures(
    connection: sqlite3.Connection,
    engine_id: str,
    name: str,
    figures: RecordingFigures,
    now_ns: int,
) -> None:
    """Write what a recording holds, inside the caller's transaction."""
    connection.execute(
        "UPDATE recordings SET events = ?, bytes = ?, gaps = ?, first_ns = ?, last_ns = ?, "
        "updated_ns = ? WHERE engine_id = ? AND name = ?",
        (*msgspec.structs.astuple(figures), now_ns, engine_id, name),
    )


def end_recording(
    connection: sqlite3.Connection,
    engine_id: str,
    name: str,
    *,
    state: RecordingState,
    reason: str,
    now_ns: int,
) -> None:
    """Note inside the caller's transaction that a recording has ended, and why."""
    connection.execute(
        "UPDATE recordings SET state = ?, reason = ?, ended_ns = ?, updated_ns = ? "
        "WHERE engine_id = ? AND name = ? AND state = ?",
        (state, reason, now_ns, now_ns, engine_id, name, RecordingState.RECORDING),
    )


def unended(connection: sqlite3.Connection, engine_id: str) -> list[RecordingSeen]:
    """Return the recordings that go on."""
    rows = connection.execute(
        "SELECT name, instruments, who, started_ns, events, gaps, first_ns, last_ns "
        "FROM recordings WHERE engine_id = ? AND state = ? ORDER BY name",
        (engine_id, RecordingState.RECORDING),
    )
    names = [field.name for field in msgspec.structs.fields(RecordingSeen)]
    return [
        msgspec.convert(
            {**dict(zip(names, row, strict=True)), "instruments": msgspec.json.decode(row[1])},
            RecordingSeen,
        )
        for row in rows
    ]


def recordings(connection: sqlite3.Connection, engine_id: str) -> list[Row]:
    """Return all recordings, newest first."""
    return rows_of(
        connection.execute(
            "SELECT * FROM recordings WHERE engine_id = ? ORDER BY started_ns DESC LIMIT ?",
            (engine_id, ROWS_MAX),
        )
    )


def recordable(connection: sqlite3.Connection, engine_id: str, now_ns: int) -> list[str]:
    """Return what can be recorded: series first, then the instruments that are open."""
    series = connection.execute(
        "SELECT DISTINCT series FROM instruments WHERE engine_id = ? AND series != '' "
        "AND coalesce(closes_ns, ?) >= ? ORDER BY series",
        (engine_id, now_ns, now_ns),
    ).fetchall()
    alone = connection.execute(
        "SELECT id FROM instruments WHERE engine_id = ? AND coalesce(closes_ns, ?) >= ? "
        "AND payout_yes_micro IS NULL ORDER BY series != '', id LIMIT ?",
        (engine_id, now_ns, now_ns, ROWS_MAX),
    ).fetchall()
    return [name for (name,) in (*series, *alone)]
