"""Many rows per statement: a busy engine thread does not slow a writing one to a row per switch.

SQLite gives Python's lock back for every statement that it runs, and a thread that wants the lock
again waits for as long as another one may keep it. So rows go in by hundreds where there are so
many, then by tens, and only a rest one by one. No more at once: while the values of a statement are
handed over, nobody else runs, and a trading loop must not feel that.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from itertools import chain
from typing import Any

ROWS = (500, 50, 5)
"""Rows per statement, while there are so many. 500 decisions (12 columns) take 0.6 ms in all, of
which handing over is a part. SQLite takes 32,766 variables."""


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
