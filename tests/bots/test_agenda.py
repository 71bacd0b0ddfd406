"""The agenda against one that enters every time a cell is put off."""

from __future__ import annotations

import heapq
import random
from typing import Any

import pytest

from engine.bots.bot import Agenda, Bot, Cell
from engine.domain.instruments import InstrumentId


class Every:
    """Keeps an entry for every time, and passes over those that hold no more."""

    def __init__(self) -> None:
        self.heap: list[tuple[int, int, Cell]] = []
        self.counter = 0

    def put(self, cell: Cell, due_ns: int) -> None:
        cell.due_ns = due_ns
        self.counter += 1
        heapq.heappush(self.heap, (due_ns, self.counter, cell))

    def take(self, now_ns: int) -> list[Cell]:
        due: list[Cell] = []
        while self.heap and self.heap[0][0] <= now_ns:
            at_ns, _, cell = heapq.heappop(self.heap)
            if cell.due_ns == at_ns:
                due.append(cell)
        return due


def live(agenda: Any, cells: list[Cell], seed: int) -> list[Any]:
    """Put off, wake, drop and evaluate by a seed; return what was due when.

    No two cells are due at the same time: each has times of its own.
    """
    rng, now, found = random.Random(seed), 0, []
    for _ in range(400):
        now += 4 * rng.choice((0, 0, 1, 3, 20))
        place = rng.randrange(4)
        cell = cells[place]
        match rng.randrange(4):
            case 0:
                agenda.put(cell, now + 4 * rng.randrange(1, 12) + place)
            case 1:
                cell.due_ns = now  # woken: it is evaluated at once
                agenda.put(cell, now + 120 + place)
            case 2:
                cell.due_ns = None
            case _:
                due = [one.due_ns for one in cells if one.listed_ns is not None and one.due_ns]
                assert not due or agenda.heap[0][0] <= min(due)
        for due in agenda.take(now):
            if due.due_ns is not None and due.due_ns <= now:
                found.append((now, due.instrument))
                agenda.put(due, now + 120 + cells.index(due))
    return found


@pytest.mark.parametrize("seed", range(20))
def test_the_same_cells_are_due_at_the_same_times(make_bot: Any, seed: int) -> None:
    bot: Bot = make_bot()
    few, every = ([Cell(bot, InstrumentId(f"v:{n}")) for n in range(4)] for _ in range(2))
    assert live(Agenda(), few, seed) == live(Every(), every, seed)


def test_of_those_due_at_one_time_who_was_scheduled_first_goes_first(make_bot: Any) -> None:
    bot: Bot = make_bot()
    for agenda in (Agenda(), Every()):
        one, two, three = (Cell(bot, InstrumentId(f"v:{n}")) for n in range(3))
        for cell, due_ns in ((one, 5), (two, 9), (three, 7), (two, 50), (three, 50), (one, 50)):
            agenda.put(cell, due_ns)
        assert agenda.take(20) == []
        assert agenda.take(50) == [two, three, one]


def test_what_is_put_off_all_the_time_costs_one_entry(make_bot: Any) -> None:
    agenda, cell = Agenda(), Cell(make_bot(), InstrumentId("v:1"))
    for now in range(10_000):
        assert not agenda.take(now)
        agenda.put(cell, now + 3_600)
    assert len(agenda.heap) == 1
    assert 9_999 < agenda.heap[0][0] < 9_999 + 3_600  # to look once too often costs less
    assert agenda.take(9_999 + 3_600) == [cell]
    cell.due_ns = None
    assert not agenda.heap
