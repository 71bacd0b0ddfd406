"""What one turn of an account's core does of all that is due, and what it leaves to the next ones.

By numbers, not by time: turns that are lived again do the same.
"""

from __future__ import annotations

from collections.abc import Callable

from engine.bots.bot import Cell
from engine.domain.events import (
    BookChanged,
    BookDistrusted,
    BookReplaced,
    FeedLost,
    FeedRestored,
    InstrumentClosed,
    InstrumentListed,
    InstrumentResolved,
    TradePrinted,
)
from engine.domain.inputs import AnyInput
from engine.domain.instruments import InstrumentId
from engine.domain.perpetual_events import MarkPriced

AT_ONCE = 8
"""Cells that a live desk evaluates in one turn, some 100 µs each; the others have the next turns,
between which the loop hears of everything else: an oracle wakes a thousand markets at once."""

MARKED_AT_ONCE = 256
"""Books that a live desk marks in one turn, some microseconds each."""


SECOND_NS = 1_000_000_000
IDLE_NS = 10 * SECOND_NS
"""The tick while nothing is held, working or unwell: a recording may be silent for days."""

Put = Callable[[AnyInput, int], None]
"""Takes an input and its time in ns UTC."""


BOOKS = frozenset({BookChanged, BookReplaced, TradePrinted})
"""Events the executor never receives itself."""

PASSED_ON = (
    InstrumentListed,
    InstrumentClosed,
    InstrumentResolved,
    BookDistrusted,
    FeedLost,
    FeedRestored,
    MarkPriced,
)
"""Market events the executor acts on itself; books reach it as `BookMarked`."""

STARTS_SHIFT = 32
"""Bits below the start's own number in a decision's: no two starts share a number."""


class Slices:
    """Cells to evaluate and books to mark, of a live desk; replays do everything at once."""

    __slots__ = ("marks_left", "second_waits")

    def __init__(self) -> None:
        self.marks_left: list[InstrumentId] = []
        """What the present second still has to mark, the last one first."""
        self.second_waits = False
        """The executor's look at the clock waits for these marks."""

    def left_over(self, ready: list[Cell]) -> list[Cell]:
        """Cut `ready` down to what this turn evaluates; return the rest for the next ones."""
        left = ready[AT_ONCE:]
        del ready[AT_ONCE:]
        for cell in ready:
            cell.waits = False
        for cell in left:
            cell.waits = True  # woken again meanwhile it is in the list already
        return left

    def take_marks(self, concerned: Callable[[], list[InstrumentId]]) -> list[InstrumentId]:
        """Return what this turn marks for a second; `second_waits` says whether some are left over.

        `concerned` gives all that a second which begins has to mark.
        """
        if not self.second_waits:
            self.marks_left = concerned()[::-1]
        left = self.marks_left
        taken = [left.pop() for _ in range(min(len(left), MARKED_AT_ONCE))]
        self.second_waits = bool(left)
        return taken
