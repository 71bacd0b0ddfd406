"""The catalog of a running engine: strategies, venues, indicators as it said them at its start."""

from __future__ import annotations

from collections.abc import Mapping
from sqlite3 import Connection
from typing import TypeVar

import msgspec

from engine.domain.catalog import IndicatorEntry, StrategyEntry, VenueEntry
from engine.errors import StorageError
from storage.database import insert

T = TypeVar("T", bound=msgspec.Struct)


def put_catalog(
    connection: Connection, engine_id: str, kind: type[T], entries: Mapping[str, T], now_ns: int
) -> None:
    """Write all entries of a kind by name inside the caller's transaction; others of it go."""
    connection.execute(
        "DELETE FROM catalog WHERE engine_id = ? AND kind = ?", (engine_id, kind.__name__)
    )
    for name, entry in entries.items():
        insert(
            connection,
            "catalog",
            engine_id=engine_id,
            kind=kind.__name__,
            name=name,
            body=msgspec.json.encode(entry).decode(),
            updated_ns=now_ns,
        )


def catalog(connection: Connection, engine_id: str, kind: type[T]) -> dict[str, T]:
    """Return the entries of a kind by name; empty = no engine has said any. Raises StorageError."""
    rows = connection.execute(
        "SELECT name, body FROM catalog WHERE engine_id = ? AND kind = ? ORDER BY name",
        (engine_id, kind.__name__),
    )
    try:
        return {name: msgspec.json.decode(body, type=kind) for name, body in rows}
    except (ValueError, TypeError) as error:
        raise StorageError(
            f"the catalog's {kind.__name__} is of another program ({error}); restart the engine "
            "(page Engine)"
        ) from None


def strategies(connection: Connection, engine_id: str) -> dict[str, StrategyEntry]:
    """Return every strategy by name; empty = no engine has said any. Raises StorageError."""
    return catalog(connection, engine_id, StrategyEntry)


def venues(connection: Connection, engine_id: str) -> dict[str, VenueEntry]:
    """Return every venue by its id; empty = no engine has said any. Raises StorageError."""
    return catalog(connection, engine_id, VenueEntry)


def indicators(connection: Connection, engine_id: str) -> dict[str, IndicatorEntry]:
    """Return every indicator by name; empty = no engine has said any. Raises StorageError."""
    return catalog(connection, engine_id, IndicatorEntry)
