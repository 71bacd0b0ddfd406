"""The desk: one account's caches, bots and executor, turned by whichever driver holds the clock.

No I/O: market and venue events in, effects out. Call `market` or `venue` for each event, then
`turn` once, and again when `due_ns` has come. Effects must be journaled before they are done.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable

from engine.bots.bot import Bot, Cell
from engine.caches.markets import MarketCache
from engine.caches.views import BookView, InventoryView
from engine.domain.bots import BotState
from engine.domain.decisions import Decision
from engine.domain.effects import Effect
from engine.domain.events import (
    BookChanged,
    BookDistrusted,
    BookMarked,
    BookReplaced,
    Event,
    FeedLost,
    FeedRestored,
    InstrumentClosed,
    InstrumentListed,
    InstrumentResolved,
    OrderFilled,
    ReferencePriced,
    StrikeProven,
    TimerFired,
    TradePrinted,
)
from engine.domain.instruments import Instrument, InstrumentId
from engine.domain.intents import Basket, Intent
from engine.executor.executor import Executor
from engine.strategies.door import Context

# -- The agenda of a desk: which cell is evaluated when, without a further event -------------------
# Most evaluations are put off again and again before their time comes. A cell that is put off
# keeps the entry it has; only when that comes up is it entered anew. So an evaluation costs no
# entry, and the agenda grows with the cells, not with what happens in an hour.

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


# --------------------------------------------------------------------------------------------------

SECOND_NS = 1_000_000_000
_RUNNING = BotState.RUNNING
IDLE_NS = 10 * SECOND_NS
"""The tick while nothing is held, working or unwell: a recording may be silent for days."""

PASSED_ON = (
    InstrumentListed,
    InstrumentClosed,
    InstrumentResolved,
    BookDistrusted,
    FeedLost,
    FeedRestored,
)
"""Market events the executor acts on itself; books reach it as `BookMarked`."""


class AccountCore:
    """Caches, bots and the executor of one account, in the order of the flow."""

    def __init__(
        self,
        *,
        cache: MarketCache,
        executor: Executor,
        bots: tuple[Bot, ...],
        decide: Callable[[Decision], None],
    ) -> None:
        self.cache = cache
        self.executor = executor
        self.bots = bots
        self._decide = decide
        self._cells: dict[InstrumentId, tuple[Cell, ...]] = {}
        self._listeners: dict[str, tuple[Bot, ...]] = {
            key: tuple(bot for bot in bots if key in bot.strategy.references)
            for bot in bots
            for key in bot.strategy.references
        }
        for bot in bots:
            self._fund(bot)
        self._ready: list[Cell] = []
        self._agenda = Agenda()
        self._decisions = 0
        self._second_ns = 0
        self._effects: list[Effect] = []

    def _fund(self, bot: Bot) -> None:
        """Have the gate bind a bot to its capital, whatever its strategy makes of it."""
        if bot.capital_micro > 0:
            self.executor.gate.exposure.capital_micro[bot.name] = bot.capital_micro

    # -- events ------------------------------------------------------------------------------------

    def market(self, event: Event, now_ns: int) -> bool:
        """Take a market event. True = call `turn` now; False = it woke nobody."""
        kind = type(event)
        if kind is BookChanged:
            view = self.cache.changed(event, now_ns)  # type: ignore[arg-type]
            return view is not None and self._book(view, event, now_ns)
        self.cache.receive(event, now_ns)
        if kind is TradePrinted or kind is BookReplaced:
            view = self.cache.views.get(event.instrument)  # type: ignore[attr-defined]
            return view is not None and self._book(view, event, now_ns)
        if isinstance(event, ReferencePriced):
            self._reference(event, now_ns)
        else:
            self._listing(event, now_ns)
        return True

    def _book(self, view: BookView, event: Event, now_ns: int) -> bool:
        """Wake whom the book or the trade concerns."""
        woke = False
        mid2 = view.mid2
        for cell in self._cells.get(view.instrument.id, ()):
            least = cell.mid2_moved_min
            if least:
                last = cell.mid2
                if mid2 is None or (last is not None and -least < mid2 - last < least):
                    continue
                cell.mid2 = mid2
            elif not self._hears(cell.bot, event, now_ns):
                continue
            self._wake(cell, now_ns)
            woke = True
        return woke or bool(self._effects)

    def venue(self, event: Event, now_ns: int) -> None:
        """Take an event of venue, timer or engine, of this account. Call `turn` afterwards."""
        if type(event) is OrderFilled:
            self._filled(event, now_ns)
        asked = self.executor.receive(event, now_ns)
        if asked:
            self._effects += asked

    def _hears(self, bot: Bot, event: Event, now_ns: int) -> bool:
        """Let a bot take an event; say whether it wants to be evaluated."""
        try:
            return bot.strategy.hear(event, now_ns)
        except Exception as error:  # noqa: BLE001 a bot that raises stops alone (architecture §9)
            self._fail(bot, error, now_ns)
            return False

    def _reference(self, event: ReferencePriced, now_ns: int) -> None:
        for bot in self._listeners.get(event.key, ()):
            if self._hears(bot, event, now_ns):
                for cell in bot.cells.values():
                    self._wake(cell, now_ns)

    def _listing(self, event: Event, now_ns: int) -> None:
        if isinstance(event, PASSED_ON):
            self._effects += self.executor.receive(event, now_ns)
        if isinstance(event, InstrumentListed):
            if self.cache.views[event.instrument.id].closed:
                return  # new terms of what is over: nobody may watch it again
            fit = (bot for bot in self.bots if bot.state is not BotState.ERROR)
            cells = (bot.take(event.instrument) for bot in fit)
            self._cells[event.instrument.id] = tuple(cell for cell in cells if cell)
        elif isinstance(event, InstrumentClosed):
            self._close(event.instrument, now_ns)
            return
        instrument = getattr(event, "instrument", None)
        if isinstance(event, InstrumentListed | StrikeProven | BookDistrusted | FeedLost):
            identifier = event.instrument.id if isinstance(event, InstrumentListed) else instrument
            for known in [identifier] if identifier else list(self._cells):
                for cell in self._cells.get(known, ()):
                    self._hears(cell.bot, event, now_ns)
                    self._wake(cell, now_ns)

    def _filled(self, event: OrderFilled, now_ns: int) -> None:
        order = self.executor.order(event.order)
        if order is None:
            return
        for cell in self._cells.get(order.instrument, ()):
            if cell.bot.name == order.bot:
                try:
                    cell.bot.strategy.filled(order.instrument, event, now_ns)
                except Exception as error:  # noqa: BLE001 it stops alone; the fill is booked all the same
                    self._fail(cell.bot, error, now_ns)
                self._wake(cell, now_ns)

    def _close(self, instrument: InstrumentId, now_ns: int) -> None:
        """Stop watching an instrument; a wish for what cannot be traded any more is over, too."""
        for cell in self._cells.pop(instrument, ()):
            cell.due_ns = None
            cell.bot.drop(instrument)
            self._effects += self.executor.withdraw(cell.bot.name, instrument, now_ns)

    def _wake(self, cell: Cell, now_ns: int) -> None:
        """Have the cell evaluated as soon as its strategy's debounce allows."""
        due_ns = cell.free_ns
        if due_ns <= now_ns:
            if cell.due_ns != now_ns:
                cell.due_ns = now_ns
                self._ready.append(cell)
        elif cell.due_ns is None or cell.due_ns > due_ns:
            self._agenda.put(cell, due_ns)

    # -- the turn ----------------------------------------------------------------------------------

    @property
    def due_ns(self) -> int:
        """When `turn` has something to do without a further event; 0 = it has already."""
        if self._ready or self._effects:
            return 0
        return min(self._agenda.next_ns(), self._second_ns)

    def turn(self, now_ns: int) -> list[Effect]:
        """Evaluate what is due, plan once, and return what must be journaled and done."""
        if now_ns >= self._second_ns:
            self._second(now_ns)
        for due in self._agenda.take(now_ns):
            if due.instrument in due.bot.cells:
                self._ready.append(due)
        if self._ready:
            ready, self._ready = self._ready, []
            for cell in ready:
                # One that is in the list twice has its next time by then.
                if cell.due_ns is not None and cell.due_ns <= now_ns:
                    self._evaluate(cell, now_ns)
        planned, effects = self.executor.plan(now_ns), self._effects
        if not effects:
            return planned
        self._effects = []
        effects += planned
        return effects

    def _evaluate(self, cell: Cell, now_ns: int, *, fit: bool = True) -> None:
        """Ask a bot about one instrument; not `fit` = it must believe that nothing may rest."""
        bot = cell.bot
        view = self.cache.views.get(cell.instrument)
        cell.due_ns = None
        if bot.state is not _RUNNING or view is None:
            return
        strategy, executor = bot.strategy, self.executor
        cell.free_ns = now_ns + strategy.replan_ns_min
        self._decisions += 1
        context = Context(
            bot=bot.name,
            decision=self._decisions,
            view=view,
            inventory=inventory_of(executor, view.instrument),
            references=self.cache.references,
            capital_micro=bot.capital_micro,
            healthy=fit and executor.healthy,
        )
        try:
            evaluation = strategy.evaluate(context, now_ns)
        except Exception as error:  # noqa: BLE001 a bot that raises stops alone (architecture §9)
            self._fail(bot, error, now_ns)
            return
        bot.evaluations += 1
        self._decide(evaluation.decision)
        if view.trusted:  # an untrusted book waits for its snapshot, which wakes
            self._agenda.put(cell, now_ns + strategy.timer_ns)
        if evaluation.intents:
            self._wished(view, evaluation.intents, now_ns)

    def _wished(self, view: BookView, intents: tuple[Intent, ...], now_ns: int) -> None:
        """Hand wishes on, each after the marks of what it is about."""
        second_ns = now_ns - now_ns % SECOND_NS + SECOND_NS
        self._second_ns = min(self._second_ns, second_ns)
        receive = self.executor.receive
        self._effects += receive(mark_of(view), now_ns)
        for intent in intents:
            if type(intent) is Basket:
                for target in intent.targets:
                    self._mark(target.instrument, now_ns)
            self._effects += receive(intent, now_ns)

    def _mark(self, instrument: InstrumentId, now_ns: int) -> None:
        view = self.cache.views.get(instrument)
        if view is not None:
            self._effects += self.executor.receive(mark_of(view), now_ns)

    def _fail(self, bot: Bot, error: Exception, now_ns: int) -> None:
        """Stop a bot that raised: it hears nothing more, its wishes are withdrawn."""
        if bot.state is BotState.ERROR:
            return
        self._effects.append(bot.fail(error))
        for key, cells in self._cells.items():
            self._cells[key] = tuple(cell for cell in cells if cell.bot is not bot)
        for name, bots in self._listeners.items():
            self._listeners[name] = tuple(other for other in bots if other is not bot)
        self._effects += self.executor.withdraw(bot.name, None, now_ns)

    def _second(self, now_ns: int) -> None:
        """Once a second: mark what is held or working, and let the executor look at the clock."""
        executor = self.executor
        busy = executor.open_and_unknown[0] or executor.ledger.held or not executor.healthy
        self._second_ns = now_ns - now_ns % SECOND_NS + (SECOND_NS if busy else IDLE_NS)
        for instrument in executor.concerned():
            self._mark(instrument, now_ns)
        self._effects += executor.receive(TimerFired(name="second"), now_ns)

    def start(self, now_ns: int) -> None:
        """Let all idle bots run; the second's tick starts here."""
        self._second_ns = now_ns
        for bot in self.bots:
            if bot.state is BotState.IDLE:
                bot.state = BotState.RUNNING


# -- What crosses between books and orders: marks for the executor, inventory for strategies -------


def mark_of(view: BookView) -> BookMarked:
    """Return what executor and risk need to know of a book."""
    bids, asks = view.book.bid_prices, view.book.ask_prices
    return BookMarked(
        instrument=view.instrument.id,
        best_bid=bids[-1] if bids else None,
        best_ask=asks[0] if asks else None,
        mid2=view.mid2,
        two_sided_ns=view.two_sided_ns,
        proof_ns=view.proof_ns,
        trusted=view.trusted,
        closed=view.closed,
    )


def inventory_of(executor: Executor, instrument: Instrument) -> InventoryView:
    """Return what an account holds in an instrument, in YES-space."""
    ledger = executor.ledger
    held = ledger.holding(instrument.id)
    yes, no = held.yes, held.no
    yes_settled, yes_pending = yes.settled, yes.pending
    no_settled, no_pending = no.settled, no.pending
    position = yes_settled + yes_pending - no_settled - no_pending
    bids, asks = executor.working_sizes(instrument.id)
    return InventoryView(
        position=position,
        yes_settled=yes_settled,
        yes_pending=yes_pending,
        no_settled=no_settled,
        no_pending=no_pending,
        average_price=held.average_price(instrument) if position else None,
        realised_micro=held.realised_micro,
        fees_micro=held.fees_micro,
        cash_free_micro=ledger.cash_free_micro,
        working_bid=bids,
        working_ask=asks,
    )
