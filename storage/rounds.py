"""Rounds: what the engine looks at every so often, a row each with what it found last."""

from __future__ import annotations

from collections.abc import Sequence
from sqlite3 import Connection

import msgspec

from storage.database import Table, keep_only


class RoundSeen(msgspec.Struct, frozen=True, kw_only=True):
    """One round as it went last. Times in ns UTC."""

    name: str
    every_s: int
    last_ns: int
    took_us: int
    well: bool
    """False = `text` names something a person should look at."""
    text: str
    next_ns: int


_ROUNDS = Table(RoundSeen, "rounds")


def put_rounds(connection: Connection, engine_id: str, seen: Sequence[RoundSeen]) -> None:
    """Write all rounds inside the caller's transaction; those not among them are gone."""
    keep_only(connection, "rounds", engine_id, "name", [one.name for one in seen])
    _ROUNDS.put(connection, engine_id, seen)


def rounds(connection: Connection, engine_id: str) -> list[RoundSeen]:
    """Return the rounds as the engine wrote them last. Raises BadInput for a damaged row."""
    return _ROUNDS.all(connection, "engine_id = ? ORDER BY every_s, name", (engine_id,))
