"""The judge of rows: what a page shows of an order is what the engine itself holds of it.

Folds the journal as the state file's projection does, record by record, and compares every row it
touched with the executor that trades: at each start with the whole past, each second, at the end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from engine.domain.instruments import Mode
from engine.executor.executor import Executor
from engine.lab.simulate.disk import Disk
from storage.projection_fold import Fold
from storage.projection_rows import OrderFold, Rows

Speak = Callable[[str, str], None]


class MemoryRows(Rows):
    """Rows without a state file; remembers which orders' rows were touched since it was asked."""

    def __init__(self) -> None:
        self._found: dict[type[msgspec.Struct], dict[tuple[str | int, ...], Any]] = {}
        self.orders: dict[int, OrderFold] = {}
        self.touched: dict[int, OrderFold] = {}

    def mode(self, account: str) -> Mode:
        """Return the mode of a simulated account."""
        del account
        return Mode.DEMO

    def find(self, kind: type[Any], *key: str | int) -> Any:
        """Return the row with this key, None where there is none."""
        return self._found.get(kind, {}).get(key)

    def put(self, row: msgspec.Struct) -> None:
        """Take a new or changed row."""
        self._found.setdefault(type(row), {})[self.key_of(row)] = row
        if isinstance(row, OrderFold):
            self.orders[row.id] = self.touched[row.id] = row

    def drop(self, news: msgspec.Struct) -> None:
        """Forget early news that has been used."""
        self._found[type(news)].pop(self.key_of(news), None)


class RowsJudge:
    """Compares one account's rows with its engines, one after another."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self.born()

    def born(self) -> None:
        """Begin a life: its rows are built anew from what the disk has."""
        self._rows = MemoryRows()
        self._fold = Fold(self._rows)
        self._seq = 0

    def look(self, executor: Executor, speak: Speak, *, whole: bool = False) -> None:
        """Compare what the journal told since the last look; `whole` = every order there is.

        Call it where nothing is under way inside the engine: all it has decided is journaled.
        """
        for record in self._disk.rows[self._seq :]:
            self._fold.take(record)
        self._seq = len(self._disk.rows)
        touched, self._rows.touched = self._rows.touched, {}
        for number, row in (self._rows.orders if whole else touched).items():
            known = executor.record(number)  # type: ignore[arg-type]
            if known is None:
                continue  # it ended so long ago that the engine has forgotten it
            held, shown = (known.state, known.filled), (row.state, row.filled)
            if held != shown:
                speak("rows", f"order {number} is {held} in the engine, its row says {shown}")
