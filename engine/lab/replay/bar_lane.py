"""The lane of bars: those that change nothing pass without their events.

Where nothing of ours is open or under way, each owner holds what it wants, and every rule that
reads the bars says that it stays so, the events of a bar move nothing: they are not even made. What
a tick does at its end is done: equity at its close, and whether that trips a stop or makes a peak.
Anything else is played event by event, from a desk that stands as if all had been. Orders, fills,
equity, decisions and digest are the same; those decisions that repeat themselves are made where
they are kept, and only counted elsewhere.

Of bars that follow without a gap, and rules that can say ahead where they turn, the next bar that
must be looked at is known: those before it pass at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from engine.bots.bars_ahead import BarsAhead
from engine.domain.events import Event
from engine.domain.instruments import BotId, InstrumentId
from engine.lab.pump import Driver
from engine.lab.recordings.made_bars import MadeBar, Stretch

CLOSING = 2
"""Events at the end of a bar: the book at its close, and that it closed."""


class TakenBars(NamedTuple):
    """What became of bars."""

    bars: int
    """How many were taken."""
    left: Sequence[tuple[int, Event]]
    """What must be played of the last of them; empty = it passed as those before it."""


class BarLane:
    """Takes bars for one replay."""

    def __init__(self, driver: Driver, core: BarsAhead, *, says: bool) -> None:
        """`says` = decisions that repeat themselves are given on, too."""
        self._driver = driver
        self._core = core
        self._says = says
        self._until_ns = 0
        """Until when bars may be taken; 0 = the lane is closed."""
        self._holds = False
        """Something is held: its equity moves with the marks."""
        self.equity_micro: int | None = None
        """Equity at the mid while nothing is held; None = it moves with the marks."""
        self._alone: Stretch | None = None
        """The stretch in which all bots were found to read bars alone."""
        self._last: tuple[Stretch, int] | None = None
        """The bar taken last, by its place; None = none is since the lane was entered."""

    def take(self, stretch: Stretch, at: int, until_ns: int) -> TakenBars:
        """Take bars from a place on as far as they change nothing, several if they end by then."""
        shown, last = stretch.shown(at), self._last
        if last is not None and last[0] is not stretch and last[0].end_ns != stretch.start_ns:
            self.leave()  # behind a gap a timer of strategies may be due
        end_ns = stretch.end_of(at)
        if end_ns < self._until_ns and self._driver.timer_ns < end_ns:
            self._driver.pass_timer()
        if end_ns >= self._until_ns or not shown:
            self.leave()
            if not shown:
                return TakenBars(1, stretch.made(at).events())
            if not self._enters(stretch, end_ns):
                if self._driver.quiet_until(stretch.instrument, end_ns):
                    made = stretch.made(at)
                    self._traded(made)  # what is due comes with its close: nothing before counts
                    return TakenBars(1, made.rest()[-CLOSING:])
                # Mostly an order is under way, and all is at rest before the first trade prints.
                start_ns, book = stretch.opening(at)
                if self._alone is stretch:
                    self._driver.show(book, start_ns)
                else:
                    self._driver.play(((start_ns, book),))
                self._driver.run_until(start_ns + stretch.first_trade_in_ns - 1)
                if not self._enters(stretch, end_ns):
                    return TakenBars(1, stretch.made(at).rest())
        if self._core.executor.stillness.stopped:
            return self._take_stopped(stretch, at, until_ns)
        if not self._says and (taken := self._take_alike(stretch, at, until_ns)) is not None:
            return taken
        return TakenBars(1, self._take_one(stretch, at))

    def _take_one(self, stretch: Stretch, at: int) -> Sequence[tuple[int, Event]]:
        """Take a bar whose rules are asked; return what of it must be played."""
        made = stretch.made(at)
        closed, end_ns = made.closed, made.bar.end_ns
        mark = made.mark() if self._holds else None
        stays = self._core.bar_stays(closed, end_ns)
        if mark is not None and not self._core.executor.stillness.mark(mark, end_ns):
            self.leave()
            self._traded(made)
            return made.rest()[-CLOSING:]
        self._last = stretch, at
        if stays:
            self._core.bars_stayed(end_ns, says=self._says)
            return ()
        self.leave(closes=True)
        return ((end_ns, closed),)

    def _take_alike(self, stretch: Stretch, at: int, until_ns: int) -> TakenBars | None:
        """Take the bars that end by then and before any rule turns, and the one at which one does.

        None = the next one must be taken alone.
        """
        most = self._most(stretch, at, until_ns)
        if most <= 0:
            return None
        count = self._core.bars_alike(stretch, at, most)
        if count is None:
            return None
        if count < most and (not self._holds or self._marks(stretch, at, count + 1)):
            made = stretch.made(at + count)
            self._core.bars_passed(at, count, made.bar.start_ns, made.closed)
            self._last = stretch, at + count
            self.leave(closes=True)
            return TakenBars(count + 1, ((made.bar.end_ns, made.closed),))
        while count and self._holds and not self._marks(stretch, at, count):
            count //= 2
        if not count:
            return None
        last = at + count - 1
        self._core.bars_passed(at, count, stretch.end_of(last))
        self._last = stretch, last
        return TakenBars(count, ())

    def _take_stopped(self, stretch: Stretch, at: int, until_ns: int) -> TakenBars:
        """Take the bars at which a stopped account wants what it cannot have, but for the last one.

        That one is played, so that the intent which stands behind them is its own.
        """
        core, count = self._core, 0
        most = self._most(stretch, at, until_ns)
        if most > 1:
            count = (core.bars_alike(stretch, at, most) or 0) - 1
        states = core.bars_restated(max(stretch.closes(at, count))) if count > 0 else None
        if states is None or (self._holds and not self._marks(stretch, at, count)):
            made = stretch.made(at)
            self.leave()
            self._traded(made)
            return TakenBars(1, made.rest()[-CLOSING:])
        last = at + count - 1
        core.bars_passed(at, count, stretch.end_of(last))
        core.executor.stillness.leave_over(stretch.laws.instrument.id, count * (2 if states else 1))
        self._last = stretch, last
        return TakenBars(count, ())

    def _most(self, stretch: Stretch, at: int, until_ns: int) -> int:
        """Return how many bars from a place on may be taken at once, if they end by then."""
        by_ns = min(until_ns, self._driver.timer_ns)
        return stretch.shown_before(min(self._until_ns, by_ns + 1), at)

    def _marks(self, stretch: Stretch, at: int, count: int) -> bool:
        """Take the marks of so many bars; False = equity may trip a stop among them."""
        laws, end_ns = stretch.laws, stretch.end_of(at + count - 1)
        closes, touch = stretch.closes(at, count), laws.touch
        last = laws.mark(closes[-1], end_ns - 1)
        low, high = touch(min(closes)), touch(max(closes))
        return self._core.executor.stillness.marks(low, high, last, end_ns)

    def equities_micro(self, stretch: Stretch, at: int, count: int, stride: int) -> list[int]:
        """Return the equity shown at the end of each so many of the bars that were just taken."""
        if self.equity_micro is not None:
            return [self.equity_micro] * len(range(at, at + count, stride))
        mids2 = stretch.mids2(at, count, stride)
        return self._core.executor.stillness.mid_equities_micro(stretch.laws.instrument.id, mids2)

    def _traded(self, made: MadeBar) -> None:
        """Have the cache know the price of the last trade in a bar."""
        view = self._core.cache.views[made.closed.instrument]
        view.last_trade = made.bar.high if made.falls_first else made.bar.low

    def _enters(self, stretch: Stretch, end_ns: int) -> bool:
        until_ns = self._driver.idle_until_ns()
        if until_ns > end_ns:
            until_ns = min(until_ns, self._core.bars_until_ns(stretch, end_ns))
        if until_ns <= end_ns:
            return False
        executor = self._core.executor
        if executor.stillness.stopped and self._says:
            return False  # each decision states what is wanted
        self._until_ns, self._alone = until_ns, stretch
        self._holds = bool(executor.ledger.held)
        self.equity_micro = None if self._holds else executor.equity_mid_micro(end_ns)
        return True

    def leave(self, *, closes: bool = False) -> None:
        """Have caches and venue see the last moment of the bar that was taken last.

        `closes` = that it closed is still to be played.
        """
        self._until_ns = 0
        last, self._last = self._last, None
        if last is None:
            return
        made = last[0].made(last[1])
        self._traded(made)
        self._core.bars_over(made.bar.end_ns, closes=closes)
        self._driver.went_on(made.book(), made.bar.end_ns)


CountRepeated = Callable[[BotId, InstrumentId, int, int, int], None]
"""Counts decisions alike the last one of a bot in an instrument: the number and time of the last,
and how many. See `DecisionLog.repeat`."""


class CountingLane(BarLane):
    """Gives on the first of decisions that repeat themselves, and counts the others behind it.

    What is kept of them is their first, their number, and the time of the last.
    """

    def __init__(self, driver: Driver, core: BarsAhead, repeat: CountRepeated) -> None:
        super().__init__(driver, core, says=True)
        self._repeat = repeat

    def _take_one(self, stretch: Stretch, at: int) -> Sequence[tuple[int, Event]]:
        self._says = True
        left = super()._take_one(stretch, at)
        self._says = bool(left)  # the lane is closed: what comes next is the first of others
        return left

    def _take_alike(self, stretch: Stretch, at: int, until_ns: int) -> TakenBars | None:
        asked = self._core.asked_bots()
        taken = super()._take_alike(stretch, at, until_ns)
        count = 0 if taken is None else taken.bars - bool(taken.left)
        if count:
            end_ns = stretch.end_of(at + count - 1)
            for bot, instrument, number in asked:
                self._repeat(bot, instrument, number + count * len(asked), end_ns, count)
        return taken

    def leave(self, *, closes: bool = False) -> None:
        """Leave as any lane; what is decided next is given on."""
        self._says = True
        super().leave(closes=closes)
