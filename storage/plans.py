"""Plans beside the decisions: what the executor made of wishes, one row per turn and instrument."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from engine.domain.decisions import Planned
from engine.errors import BadInput

SCHEMA = """
CREATE TABLE IF NOT EXISTS plans (
    row INTEGER PRIMARY KEY, engine_id TEXT NOT NULL, instrument TEXT NOT NULL,
    at_ns INTEGER NOT NULL, body BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS plans_by_instrument ON plans (instrument, at_ns)
"""
"""A decision file of before gets it when it is opened for writing."""

INSERT = "INSERT INTO plans (engine_id, instrument, at_ns, body) VALUES (?, ?, ?, ?)"

_decode = msgspec.msgpack.Decoder(Planned).decode


class PlanRow(NamedTuple):
    """The columns, in order."""

    engine_id: str
    instrument: str
    at_ns: int
    body: bytes
    """One `Planned`."""


def plans_in(connection: sqlite3.Connection, *, instrument: str, at_ns: int) -> list[Planned]:
    """Return the plans of one file made at a time, in order. Raises BadInput if unreadable."""
    known = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'plans'")
    if known.fetchone() is None:
        return []
    rows = connection.execute(
        "SELECT body FROM plans WHERE instrument = ? AND at_ns = ? ORDER BY row",
        (instrument, at_ns),
    )
    return [_plan(body) for (body,) in rows]


def all_plans(connection: sqlite3.Connection) -> Iterator[tuple[Planned, bytes]]:
    """Give every plan of one file with its bytes, in order. Raises BadInput if unreadable."""
    known = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'plans'")
    if known.fetchone() is None:
        return
    for (body,) in connection.execute("SELECT body FROM plans ORDER BY row"):
        yield _plan(body), body


def _plan(body: bytes) -> Planned:
    try:
        return _decode(body)
    except msgspec.DecodeError as error:
        raise BadInput(f"a plan cannot be read: {error}") from error
