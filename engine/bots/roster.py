"""A desk whose bots come and go while it trades."""

from __future__ import annotations

from collections.abc import Callable

from engine.bots.bot import Bot
from engine.bots.core import AccountCore, mark_of
from engine.bots.explain import idle, planned
from engine.caches.markets import MarketCache
from engine.caches.views import BookView
from engine.domain.commands import PlaceManual
from engine.domain.decisions import Decision, Planned
from engine.domain.effects import Effect
from engine.domain.events import Event, InstrumentListed
from engine.domain.instruments import InstrumentId
from engine.domain.intents import Intent, Target
from engine.domain.orders import OrderId
from engine.domain.settings import RiskLimits
from engine.executor.executor import Executor
from engine.executor.manual import ManualRefused
from engine.executor.orders import LiveOrder
from engine.executor.proof import Scope

STARTS_SHIFT = 32
"""Bits below the start's own number in a decision's: no two starts share a number."""


class RosterCore(AccountCore):
    """An `AccountCore` whose bots come and go between two turns; it tells what became of wishes.

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
        self._stated: list[InstrumentId] = []
        """What the wishes of this turn are about."""
        self._left: dict[InstrumentId, object] = {}
        """Why nothing could be done about a wish, as it was told last."""

    def turn(self, now_ns: int) -> list[Effect]:
        """Do a `AccountCore`'s turn and tell what the executor made of the wishes."""
        effects = super().turn(now_ns)
        told = planned(self.executor, effects, now_ns) if effects else ()
        for one in told:
            self._left.pop(one.instrument, None)
            self._explain(one)
        if self._stated:
            self._tell_left(tuple(one.instrument for one in told), now_ns)
        return effects

    def _wished(self, view: BookView, intents: tuple[Intent, ...], now_ns: int) -> None:
        super()._wished(view, intents, now_ns)
        self._stated.append(view.instrument.id)

    def _tell_left(self, told: tuple[InstrumentId, ...], now_ns: int) -> None:
        """Tell why nothing was done about a wish that is left over, where that is news."""
        stated, self._stated = dict.fromkeys(self._stated), []
        for key in stated:
            if key in told:
                continue
            left, denied = self.executor.explain(key)
            why = ({one.reason for one in left}, denied.reason if denied else None)
            if not left:
                self._left.pop(key, None)
            elif self._left.get(key) != why:
                self._left[key] = why
                self._explain(idle(self.executor, key, now_ns))

    def _close(self, instrument: InstrumentId, now_ns: int) -> None:
        super()._close(instrument, now_ns)
        self._left.pop(instrument, None)

    def begin(self, now_ns: int) -> None:
        """Start the second's tick; no bot is started."""
        self._second_ns = now_ns
        self._decisions = self.executor.fence << STARTS_SHIFT

    def add(self, bot: Bot, now_ns: int) -> None:
        """Add a bot: it takes what is listed and wanted, and hears of it."""
        self.bots = (*self.bots, bot)
        self._fund(bot)
        self.attach(bot, now_ns)

    def attach(self, bot: Bot, now_ns: int) -> None:
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

    def remove(self, bot: Bot, now_ns: int) -> None:
        """Remove a bot, and its wishes with it."""
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
        """Take a wish of the engine itself: a bot that leaves its inventory evaluates no more."""
        self._mark(target.instrument, now_ns)
        self._effects += self.executor.receive(target, now_ns)

    def place(self, asked: PlaceManual, now_ns: int) -> tuple[LiveOrder, int] | ManualRefused:
        """Place one order by hand with the next turn; give it and what risk cut off, or why not.

        Nobody may have looked at its book so far, so it is marked first.
        """
        self._mark(asked.instrument, now_ns)
        effects, made = self.executor.place(asked, now_ns)
        self._effects += effects
        return made

    def reevaluate(self, bot: Bot, now_ns: int) -> None:
        """Evaluate all of a bot's instruments with the next turn.

        Its wishes were withdrawn when it paused, without its knowledge: it would go on to believe
        that they stand, and state them again only much later.
        """
        for cell in tuple(bot.cells.values()):
            self._evaluate(cell, now_ns, fit=False)
            self._wake(cell, now_ns)

    # -- what the engine does
    # -----------------------------------------------------------------------

    def hears(self, events: tuple[Event, ...], now_ns: int) -> None:
        """Learn which market events `market` is about to be called with. Nothing is done."""

    def unkept(self, event: Event, now_ns: int) -> None:
        """Take an event of this account that the journal does not keep, as `venue` does."""
        self.venue(event, now_ns)

    def recover(self, now_ns: int) -> list[Effect]:
        """Ask the venue everything before anything is placed."""
        return self.executor.recover((), now_ns)

    def cancel(self, order: OrderId, now_ns: int) -> list[Effect]:
        """Cancel one order by hand."""
        return self.executor.cancel(order, now_ns)

    def stop_all(self, reason: str, now_ns: int) -> list[Effect]:
        """Cancel everything and place nothing any more; begin the proof."""
        return self.executor.stop_all(reason, now_ns)

    def asked(self, effect: Effect, now_ns: int) -> list[Effect]:
        """Take an effect the engine itself asks for."""
        del now_ns
        return [effect]

    def prove(self, scope: Scope, now_ns: int) -> None:
        """Begin to prove that nothing in scope is open."""
        self.executor.prove(scope, now_ns)

    def limit(self, limits: RiskLimits, now_ns: int) -> None:
        """Take other risk limits."""
        del now_ns
        self.executor.apply(limits)

    def expire_quotes(self, life_ms: int | None, now_ns: int) -> None:
        """Let resting orders end by themselves after so long; None = they do not."""
        del now_ns
        self.executor.expire_quotes(life_ms)

    def forget(self, instrument: InstrumentId, now_ns: int, *, held: bool) -> None:
        """Drop an instrument that is over; `held` True = also one that is held, with a last mark.

        Without it an instrument that an order or a holding still needs stays.
        """
        view = self.cache.views.get(instrument)
        if held and view is not None and not self.executor.ledger.holding(instrument).flat:
            self.executor.receive(mark_of(view), now_ns)
        if self.executor.forget(instrument) or held:
            self.cache.forget(instrument)
