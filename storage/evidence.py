"""Rows of evidence: what recorded data shows of a strategy. The proof alone writes them."""

from __future__ import annotations

from collections.abc import Iterable
from sqlite3 import Connection

from engine.domain.evidence import EvidenceRow
from storage.database import Table, transaction

TABLE = "evidence"
_ROWS = Table(EvidenceRow, TABLE)


def put_evidence(connection: Connection, engine_id: str, rows: Iterable[EvidenceRow]) -> None:
    """Write rows, all or nothing; one of the same strategy and data is replaced."""
    with transaction(connection):
        _ROWS.put(connection, engine_id, rows)


def evidence(connection: Connection, engine_id: str, strategy: str = "") -> list[EvidenceRow]:
    """Return the rows of one strategy, empty = of all, by strategy and data."""
    where = "engine_id = ? AND (strategy = ? OR ? = '') ORDER BY strategy, data"
    return _ROWS.all(connection, where, (engine_id, strategy, strategy))


def rules_since(connection: Connection, engine_id: str, strategy: str, digest: str) -> int | None:
    """Return when code of this digest was first proven here, in ns UTC; None = never."""
    row = connection.execute(
        f"SELECT min(rules_ns) FROM {TABLE} "  # noqa: S608 our own word
        "WHERE engine_id = ? AND strategy = ? AND digest = ?",
        (engine_id, strategy, digest),
    ).fetchone()
    return None if row[0] is None else int(row[0])


def sets_played(connection: Connection, strategy: str) -> int:
    """Return how many different sets of a strategy's parameters stored runs have played."""
    row = connection.execute(
        "SELECT count(DISTINCT json_extract(parameters, '$.parameters')) FROM runs "
        "WHERE strategy = ?",
        (strategy,),
    ).fetchone()
    return int(row[0])
