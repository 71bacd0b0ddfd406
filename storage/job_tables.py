"""The tables of long work: the worker's jobs, the schedule as it stands, recordings."""

from __future__ import annotations

from sqlalchemy import Index
from sqlmodel import Field, SQLModel

from storage.columns import whole


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


class ScheduleRow(SQLModel, table=True):
    """One entry of the schedule, as the engine reports it."""

    __tablename__ = "schedule"

    engine_id: str = Field(primary_key=True)
    name: str = Field(primary_key=True)
    cron: str
    what: str
    next_ns: int | None = whole(default=None)
    last_ns: int | None = whole(default=None)
    """When it was posted last, None = never."""
    problem: str = ""
    updated_ns: int = whole()


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
