"""The agenda of a desk: which cell is evaluated when, without a further event.

Most evaluations are put off again and again before their time comes. A cell that is put off keeps
the entry it has; only when that comes up is it entered anew. So an evaluation costs no entry, and
the agenda grows with the cells, not with what happens in an hour.
"""

from __future__ import annotations

import heapq

from engine.bots.bot import Cell

NEVER = 1 << 62
"""A time that does not come: 146 years after the epoch."""


class Agenda:
    """Cells by `due_ns`. Of those due at the same time, who was scheduled first goes first."""

    __slots__ = ("_counter", "_heap")

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Cell]] = []
        self._counter = 0

    def put(self, cell: Cell, due_ns: int) -> None:
        """Have a cell evaluated at this time, and not at the one it had."""
        cell.due_ns = due_ns
        self._counter = cell.turn = self._counter + 1
        listed_ns = cell.listed_ns
        if listed_ns is None or due_ns < listed_ns:
            self._list(cell, due_ns)

    def _list(self, cell: Cell, due_ns: int) -> None:
        cell.listed_ns = due_ns
        heapq.heappush(self._heap, (due_ns, cell.turn, cell))

    def next_ns(self) -> int:
        """Return when the first cell is due."""
        heap = self._heap
        while heap:
            at_ns, _, cell = heap[0]
            if cell.due_ns == at_ns:
                return at_ns
            self._strike()
        return NEVER

    def take(self, now_ns: int) -> list[Cell]:
        """Take off, in order, every cell that is due."""
        heap, due = self._heap, []
        while heap and heap[0][0] <= now_ns:
            cell = self._strike()
            if cell is not None:
                due.append(cell)
        return due

    def _strike(self) -> Cell | None:
        """Take the first entry off; return its cell if that is due then."""
        at_ns, _, cell = heapq.heappop(self._heap)
        if cell.listed_ns == at_ns:
            cell.listed_ns = None
        due_ns = cell.due_ns
        if due_ns == at_ns:
            return cell
        if due_ns is not None and due_ns > at_ns and cell.listed_ns is None:
            self._list(cell, due_ns)
        return None
