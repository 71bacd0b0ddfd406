"""Rows of evidence: what recorded data shows of a strategy. The proof alone writes them.

Those of a home are in its table. Those that are shipped with the program are in a file beside this
one, which `strategies prove --ship` writes.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from sqlite3 import Connection

import msgspec

from engine.domain.evidence import EvidenceRow
from engine.errors import StorageError, os_sentence
from storage.database import Table, transaction

TABLE = "evidence"
_ROWS = Table(EvidenceRow, TABLE)
SHIPPED = Path(__file__).with_name("shipped_evidence.json")


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


def shipped_evidence(strategy: str = "") -> list[EvidenceRow]:
    """Return the rows that are shipped of one strategy, empty = of all. Raises StorageError."""
    return [row for row in _shipped(SHIPPED) if strategy in {row.strategy, ""}]


@cache
def _shipped(file: Path) -> tuple[EvidenceRow, ...]:
    try:
        return msgspec.json.decode(file.read_bytes(), type=tuple[EvidenceRow, ...])
    except OSError as error:
        raise StorageError(os_sentence(error)) from error
    except (ValueError, TypeError) as error:
        raise StorageError(f"{file}: {error}") from None


def ship_evidence(rows: Iterable[EvidenceRow], *, beside: bool = False) -> Path:
    """Write the file of shipped rows anew, a row a line, and return it. Raises StorageError.

    `beside` = rows of other strategies and of other data stay in it. Code that was shipped before
    keeps the moment from which its rules stand.
    """
    _shipped.cache_clear()
    before = shipped_evidence() if SHIPPED.is_file() else []
    since: dict[tuple[str, str], int] = {}
    for row in before:
        key = row.strategy, row.digest
        since[key] = min(row.rules_ns, since.get(key, row.rules_ns))
    made = {(row.strategy, row.data): row for row in before if beside}
    for row in rows:
        rules_ns = min(row.rules_ns, since.get((row.strategy, row.digest), row.rules_ns))
        made[row.strategy, row.data] = msgspec.structs.replace(row, rules_ns=rules_ns)
    text = ",\n".join(msgspec.json.encode(made[key]).decode() for key in sorted(made))
    try:
        SHIPPED.write_text(f"[\n{text}\n]\n", encoding="utf-8")
    except OSError as error:
        raise StorageError(os_sentence(error)) from error
    _shipped.cache_clear()
    return SHIPPED
