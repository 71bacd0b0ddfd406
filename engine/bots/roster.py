"""A desk whose bots come and go while it trades."""

from __future__ import annotations

from collections.abc import Callable

from engine.bots.bot import Bot
from engine.bots.desk import Desk
from engine.bots.planned import planned
from engine.caches.markets import MarketCache
from engine.domain.commands import PlaceManual
from engine.domain.decisions import Decision, Planned
from engine.domain.effects import Effect
from engine.domain.events import InstrumentListed
from engine.domain.intents import Target
from engine.executor.by_hand import Refused
from engine.executor.executor import Executor
from engine.executor.records import Working

STARTS_SHIFT = 32
"""Bits below the start's own number in a decision's: no two starts share a number."""


class RosterDesk(Desk):
    """A `Desk` that admits and dismisses bots between two turns, and tells what became of wishes.

    `decide` also hears a `Planned` for every instrument whose orders a turn touched.
    """

    def __init__(
        self,
        *,
        cache: MarketCache,
        executor: Executor,
        bots: tuple[Bot, ...],
        decide: Callable[[Decision | Planned], None],
    ) -> None:
        super().__init__(cache=cache, executor=executor, bots=bots, decide=decide)
        self._explain = decide

    def turn(self, now_ns: int) -> list[Effect]:
        """Do a `Desk`'s turn and tell what the executor made of the wishes."""
        effects = super().turn(now_ns)
        if effects:
            for one in planned(self.executor, effects, now_ns):
                self._explain(one)
        return effects

    def begin(self, now_ns: int) -> None:
        """Start the second's tick; no bot is started."""
        self._second_ns = now_ns
        self._decisions = self.executor.fence << STARTS_SHIFT

    def admit(self, bot: Bot, now_ns: int) -> None:
        """Give a bot a seat: it takes what is listed and wanted, and hears of it."""
        self.bots = (*self.bots, bot)
        self.seat(bot, now_ns)

    def seat(self, bot: Bot, now_ns: int) -> None:
        """Let a bot hear, again after an error; what it hears already it does not hear twice."""
        for key in bot.strategy.references:
            others = tuple(other for other in self._listeners.get(key, ()) if other is not bot)
            self._listeners[key] = (*others, bot)
        for view in self.cache.views.values():
            instrument = view.instrument
            cell = None if view.closed else bot.take(instrument)
            if cell is None:
                continue
            cells = self._cells.get(instrument.id, ())
            if cell not in cells:
                self._cells[instrument.id] = (*cells, cell)
                self._hears(bot, InstrumentListed(instrument=instrument), now_ns)

    def dismiss(self, bot: Bot, now_ns: int) -> None:
        """Take a bot's seat away, and its wishes with it."""
        self.bots = tuple(other for other in self.bots if other is not bot)
        for name, bots in self._listeners.items():
            self._listeners[name] = tuple(other for other in bots if other is not bot)
        for key, cells in self._cells.items():
            self._cells[key] = tuple(cell for cell in cells if cell.bot is not bot)
        for cell in bot.cells.values():
            cell.due_ns = None
        bot.cells.clear()
        self.withdraw(bot, now_ns)

    def withdraw(self, bot: Bot, now_ns: int) -> None:
        """Forget a bot's wishes and begin to prove that nothing of it is open."""
        self._effects += self.executor.withdraw(bot.name, None, now_ns)

    def wish(self, target: Target, now_ns: int) -> None:
        """Take a wish of the house itself: a bot that leaves its inventory evaluates no more."""
        self._mark(target.instrument, now_ns)
        self._effects += self.executor.receive(target, now_ns)

    def place(self, asked: PlaceManual, now_ns: int) -> tuple[Working, int] | Refused:
        """Place one order by hand with the next turn; give it and what risk cut off, or why not.

        Nobody may have looked at its book so far, so it is marked first.
        """
        self._mark(asked.instrument, now_ns)
        effects, made = self.executor.place(asked, now_ns)
        self._effects += effects
        return made

    def rouse(self, bot: Bot, now_ns: int) -> None:
        """Evaluate all of a bot's instruments with the next turn.

        Its wishes were withdrawn when it paused, without its knowledge: it would go on to believe
        that they stand, and state them again only much later.
        """
        for cell in tuple(bot.cells.values()):
            self._evaluate(cell, now_ns, fit=False)
            self._wake(cell, now_ns)
