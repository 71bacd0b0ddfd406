"""Audit: who changed what. Rows are only ever added; triggers in the file forbid the rest."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any

import msgspec

from engine.errors import BrokenInvariant


def note(
    connection: sqlite3.Connection,
    *,
    engine_id: str,
    at_ns: int,
    who: str,
    what: str,
    detail: Mapping[str, Any],
) -> None:
    """Add a row inside the caller's transaction: the change and its trace live or die together.

    `detail` must hold no secret. Raises BrokenInvariant outside a transaction.
    """
    if not connection.in_transaction:
        raise BrokenInvariant("an audit row belongs to the transaction of what it tells")
    connection.execute(
        "INSERT INTO audit (engine_id, at_ns, who, what, detail) VALUES (?, ?, ?, ?, ?)",
        (engine_id, at_ns, who, what, msgspec.json.encode(detail).decode()),
    )
