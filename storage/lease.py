"""The lease: which start of the engine may write orders, as a number that only rises.

It stands in the journal, whose only writer is the engine that holds it. Every order carries it: an
order of an older fence was made by a start that is over.
"""

from __future__ import annotations

from pathlib import Path

from storage.database import refusals_told, transaction
from storage.journal import fence_of, open_journal


def take_lease(journal: Path, engine_id: str) -> int:
    """Take the lease of an engine's journal; give its number. Hold the engine's lock before.

    Raises StorageError where the file refuses or belongs to another engine.
    """
    connection, _ = open_journal(journal, engine_id)
    try:
        with refusals_told(journal), transaction(connection):
            fence = fence_of(connection) + 1
            connection.execute(
                "INSERT OR REPLACE INTO meta (key, value) VALUES ('fence', ?)", (str(fence),)
            )
    finally:
        connection.close()
    return fence
