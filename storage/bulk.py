"""Many rows per statement: a busy engine thread does not slow a writing one to a row per switch.

SQLite gives Python's lock back for every statement that it runs, and a thread that wants the lock
again waits for as long as another one may keep it. So rows go in by thousands where there are so
many, then by hundreds, and only a rest one by one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from itertools import chain
from typing import Any

ROWS = (2_500, 250, 25)
"""Rows per statement, while there are so many. SQLite takes 32,766 variables: 13 columns."""


class Bulk:
    """One INSERT: what stands before the values, and behind them (for example ON CONFLICT)."""

    def __init__(self, begins: str, columns: int, ends: str = "") -> None:
        row = f" ({','.join('?' * columns)})"
        self._one = begins + row + ends
        self._many = [(count, begins + ",".join([row] * count) + ends) for count in ROWS]

    def write(self, connection: sqlite3.Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        """Insert the rows in their order, inside the caller's transaction."""
        first = 0
        for count, statement in self._many:
            while len(rows) - first >= count:
                block = rows[first : first + count]
                connection.execute(statement, tuple(chain.from_iterable(block)))
                first += count
        connection.executemany(self._one, rows[first:])
