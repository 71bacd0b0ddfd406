"""The core of one account: its caches, bots and executor, turned by whichever pump holds the clock.

No I/O: inputs in, effects out. `receive` takes whatever happens, `received` the market; then call
`turn` until it asks for nothing more, and again when `due_ns` has come. Effects must be journaled
before they are done. With `tape` every input stands on the tape before it is acted on, so that its
moments can be lived again; a turn that cannot do anything is not worth an entry.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from engine.bots.bars_ahead import BarsAhead
from engine.bots.bot import Agenda, Bot, Cell, InputBatch, inventory_of, mark_of
from engine.bots.explain import Explanations
from engine.bots.failing import fail, failed_then, wait_to_be_raised
from engine.bots.signals import Reader, Signals, state_of
from engine.bots.slices import BOOKS, IDLE_NS, PASSED_ON, SECOND_NS, STARTS_SHIFT, Put, Slices
from engine.caches.markets import MarketCache
from engine.caches.views import BookView
from engine.domain.bots import BotState
from engine.domain.commands import PlaceManual
from engine.domain.decisions import Decision, Planned
from engine.domain.effects import Effect
from engine.domain.events import (
    BarClosed,
    BookDistrusted,
    CashMoved,
    Event,
    FeedLost,
    InstrumentClosed,
    InstrumentListed,
    InstrumentResolved,
    KeyedEvent,
    OrderFilled,
    StrikeProven,
    TimerFired,
    TradePrinted,
)
from engine.domain.inputs import (
    AnyInput,
    Automated,
    Began,
    BotAdded,
    BotFailed,
    BotMoved,
    BotReattached,
    BotReevaluated,
    BotRemoved,
    CancelledByHand,
    EffectRequested,
    Expiring,
    Following,
    Halted,
    Input,
    InstrumentForgotten,
    Limited,
    OrdersStated,
    PlacedByHand,
    ProofBegun,
    Received,
    StartedOver,
    TargetSet,
    Transient,
    Turned,
    WalletOperated,
    Withdrawn,
)
from engine.domain.instruments import AccountId, BotId, InstrumentId
from engine.domain.intents import Basket, Intent
from engine.domain.observed_events import Observed
from engine.domain.settings import RiskLimits
from engine.errors import BrokenInvariant
from engine.executor.executor import Executor
from engine.executor.manual import ManualMade
from engine.executor.proof import Scope
from engine.in_time import TurnOverdue
from engine.strategies.door import NO_READINGS, NOTHING, Context

_RUNNING, _MONEY = BotState.RUNNING, frozenset({OrderFilled, CashMoved})


class AccountCore(BarsAhead):
    """Caches, bots and the executor of one account, in the order of the flow.

    `decide` receives every decision; `explain` a `Planned` for every instrument whose orders a turn
    touched, and for every intent nothing could be done about; `tape` every input. Cores of an
    engine share a `batch`. `tick_ns` = how often it looks at the clock while anything is held or
    works: a second, but of bars a bar. With `sliced` a turn does what `Slices` gives it.
    """

    def __init__(
        self,
        *,
        cache: MarketCache,
        executor: Executor,
        bots: tuple[Bot, ...],
        decide: Callable[[Decision], None],
        explain: Callable[[Planned], None] | None = None,
        tape: Put | None = None,
        batch: InputBatch | None = None,
        tick_ns: int = SECOND_NS,
        sliced: bool = False,
    ) -> None:
        self.cache, self.executor, self.bots = cache, executor, bots
        self._account: AccountId = executor.account
        self._decide = decide
        self._explanations = None if explain is None else Explanations(executor, explain)
        self._tape, self._tick_ns = tape, tick_ns
        self._batch = batch or InputBatch()
        self._turned = Turned(self._account)
        self._states: dict[BotId, str] = {}  # as the tape knows them
        self._cells: dict[InstrumentId, tuple[Cell, ...]] = {}
        self._listeners: dict[str, tuple[Bot, ...]] = {}
        self.signals = Signals()
        for bot in bots:
            for key in bot.listens:
                self._listeners[key] = (*self._listeners.get(key, ()), bot)
            self._fund(bot)
        self._slices = Slices() if sliced else None
        self._ready: list[Cell] = []
        self._agenda = Agenda()
        self._decisions = self._second_ns = 0
        self._effects: list[Effect] = []
        self.busy: tuple[Bot, object] | None = None  # the call of a strategy that runs now
        self.overdue: list[tuple[Bot, object]] = []  # the call that is about to be raised into

    def _fund(self, bot: Bot) -> None:
        """Have the gate bind a bot to its capital, and the planner know its priority."""
        self.executor.prefer(bot.name, bot.priority)
        bot.joins(self.cache.views, self.executor, self.signals)
        if bot.capital_micro > 0:
            self.executor.gate.exposure.capital_micro[bot.name] = bot.capital_micro

    # -- the one door ------------------------------------------------------------------------------

    def receive(self, given: AnyInput | Event, now_ns: int) -> list[Effect]:
        """Take an input or a report of the journal; return the effects it asks for at once.

        Bots and orders by hand are made outside: see `add` and `place`.
        """
        if not isinstance(given, Input):
            self.venue(given, now_ns)
            return []
        if type(given) is Turned:
            return self.turn(now_ns)
        self._note(given, now_ns)
        match given:
            case Received(events=events):
                if events is not None:
                    self._batch.events = events
                for event in self._batch.events:
                    self.market(event, now_ns)
            case Transient(event=event):
                self.venue(event, now_ns)
            case EffectRequested(effect=effect):
                return [effect]
            case StartedOver():
                return self.executor.recover((), now_ns)
            case CancelledByHand(order=order):
                return self.executor.cancel(order, now_ns)
            case Halted(reason=reason):
                return self.executor.stop_all(reason, now_ns)
            case OrdersStated():
                effects, self._effects = self._effects + self.executor.take_changes(), []
                return effects
            case _:
                self._change(given, now_ns)
        return []

    def _change(self, given: AnyInput, now_ns: int) -> None:
        """Take what the engine changes: bots, intents of its own, what is forgotten, limits."""
        executor = self.executor
        match given:
            case Began(bots_run=bots_run):
                self._begin(now_ns, bots_run=bots_run)
            case BotFailed(bot=name, error=error):
                self._effects += failed_then(self, name, error, now_ns)
            case BotReattached(bot=name):
                self._attach(self._detach(self._bot(name)), now_ns)
            case BotRemoved(bot=name):
                self._remove(self._bot(name), now_ns)
            case Withdrawn(bot=name, instrument=instrument):
                self._effects += executor.withdraw(name, instrument, now_ns)
            case BotMoved(bot=name, state=state):
                self._bot(name).state = BotState(state)
            case Following(bot=name, instruments=instruments):
                self._follow(self._bot(name), instruments, now_ns)
            case BotReevaluated(bot=name):
                self._reevaluate(self._bot(name), now_ns)
            case TargetSet(target=target):
                self._mark(target.instrument, now_ns)
                self._effects += executor.receive(target, now_ns)
            case PlacedByHand(asked=asked):
                self._place(asked, now_ns)
            case InstrumentForgotten(instrument=instrument, marked=marked):
                self._forget(instrument, now_ns, held=marked)
            case ProofBegun(scope=scope):
                executor.prove(scope, now_ns)  # type: ignore[arg-type]
            case Limited(limits=limits):
                executor.apply(RiskLimits.model_validate_json(limits))
            case Expiring(life_ms=life_ms):
                executor.expire_quotes(life_ms)
            case WalletOperated(asked=asked_for):
                self._effects += executor.operate(asked_for, now_ns)
            case Automated(redeem_above_micro=redeem, merge_above_micro=merge):
                executor.wallet.automate(redeem, merge)
            case _:
                raise BrokenInvariant(f"{type(given).__name__} is not for the core of an account")

    def _note(self, given: AnyInput, now_ns: int) -> None:
        """Put an input, and before it which bot stands in another state by now."""
        tape, states = self._tape, self._states
        if tape is None:
            return
        for bot in self.bots:
            if states.get(bot.name) != bot.state:
                states[bot.name] = bot.state
                tape(BotMoved(self._account, bot.name, bot.state), now_ns)
        tape(given, now_ns)

    # -- the market and reports --------------------------------------------------------------------

    def received(self, events: tuple[Event, ...], now_ns: int) -> bool:
        """Take market events of one moment; True = somebody woke: see `market`."""
        if events and self._tape is not None:
            repeated = events is self._batch.events
            self._batch.events = events
            self._note(Received(self._account, None if repeated else events), now_ns)  # type: ignore[arg-type]
        return True in [self.market(event, now_ns) for event in events]

    def market(self, event: Event, now_ns: int) -> bool:
        """Take a market event. True = call `turn` now; False = it woke no bot."""
        return self.wake(self.cache.receive(event, now_ns), event, now_ns)

    def wake(self, view: BookView | None, event: Event, now_ns: int) -> bool:
        """Wake whom an event concerns that the cache gave this view for; as `market`."""
        woke = False
        if self.signals.active:
            woke = self._bars(self.signals.on_event(event, view, now_ns), now_ns)
        if view is None:
            if isinstance(event, KeyedEvent):
                self._keyed(event, now_ns)
            else:
                self._listing(event, now_ns)
            return woke or type(event) not in BOOKS
        for cell in self._cells.get(event.instrument, ()):  # type: ignore[attr-defined]
            least = cell.mid2_moved_min
            if least:
                mid2 = view.mid2
                if mid2 is None or cell.mid2_above < mid2 < cell.mid2_below:
                    continue
                cell.mid2_above, cell.mid2_below = mid2 - least, mid2 + least
            elif cell.touch_alone and type(event) is not TradePrinted:
                if not cell.touched(view.book.touch, event):
                    continue
            elif not self._receives(cell.bot, event, now_ns):
                continue
            if not cell.quiet:
                self._wake(cell, now_ns)
                woke = True
        return woke or bool(self._effects)

    def _bars(self, closed: list[BarClosed], now_ns: int) -> bool:
        """Give bars that closed to the bots that read them; True = one of them woke."""
        woke = False
        for event in closed:
            for cell in self._cells.get(event.instrument, ()):
                if event.bars in cell.bot.reads.bars and self._receives(cell.bot, event, now_ns):
                    self._wake(cell, now_ns)
                    woke = True
        return woke

    def venue(self, event: Event, now_ns: int) -> None:
        """Take a report of venue, timer or engine, of this account. Call `turn` afterwards."""
        if type(event) in _MONEY:
            if isinstance(event, OrderFilled):
                self._filled(event, now_ns)
            elif isinstance(event, CashMoved) and event.instrument is not None:
                self._mark(event.instrument, now_ns)  # tokens that come are not worthless
        self._effects += self.executor.receive(event, now_ns)

    def _receives(self, bot: Bot, event: Event, now_ns: int) -> bool:
        """Let a bot take an event; say whether it wants to be evaluated."""
        self.busy = bot, event
        try:
            asks = bot.strategy.receive(event, now_ns)
            self._over()
            return asks
        except BaseException as error:  # noqa: BLE001 a bot that raises stops alone (architecture §9)
            self.fail(bot, error, now_ns)
            return False

    def _over(self, *, raised: bool = False) -> None:
        """Note that a call of a strategy is over, and wait where it is about to be raised into."""
        self.busy = None
        if self.overdue and not raised:
            wait_to_be_raised(self.overdue)

    def _keyed(self, event: KeyedEvent, now_ns: int) -> None:
        outside = type(event) is Observed
        for bot in self._listeners.get(event.key, ()):
            if self._receives(bot, event, now_ns):
                for cell in [one for one in bot.cells.values() if not one.quiet or outside]:
                    self._wake(cell, now_ns)

    def _listing(self, event: Event, now_ns: int) -> None:
        if isinstance(event, PASSED_ON):
            self._effects += self.executor.receive(event, now_ns)
        if isinstance(event, InstrumentListed):
            if self.cache.views[event.instrument.id].closed:
                return  # new terms of what is over: no bot may watch it again
            fit = (bot for bot in self.bots if bot.state is not BotState.ERROR)
            cells = (bot.take(event.instrument) for bot in fit)
            self._cells[event.instrument.id] = tuple(cell for cell in cells if cell)
            for cell in self._cells[event.instrument.id]:
                cell.bot.read(self.signals, event.instrument)
        elif isinstance(event, InstrumentClosed | InstrumentResolved):
            # What is paid is over, also where its close fell into a gap of the feed.
            self._close(event.instrument, now_ns)
            return
        if isinstance(event, InstrumentListed | StrikeProven | BookDistrusted | FeedLost):
            key = event.instrument.id if isinstance(event, InstrumentListed) else event.instrument
            for known in [key] if key else list(self._cells):
                for cell in self._cells.get(known, ()):
                    self._receives(cell.bot, event, now_ns)
                    self._wake(cell, now_ns)

    def _filled(self, event: OrderFilled, now_ns: int) -> None:
        if (order := self.executor.order(event.order)) is None:
            return
        for cell in self._cells.get(order.instrument, ()):
            if cell.bot.name == order.bot:
                self.busy = cell.bot, event
                try:
                    cell.bot.strategy.filled(order.instrument, event, now_ns)
                    self._over()
                except BaseException as error:  # noqa: BLE001 it stops alone; the fill is booked all the same
                    self.fail(cell.bot, error, now_ns)
                cell.note_fill(filled=True)
                self._wake(cell, now_ns)

    def _close(self, instrument: InstrumentId, now_ns: int) -> None:
        """Stop watching an instrument; an intent for what can be traded no more is over, too."""
        if self._explanations is not None:
            self._explanations.forget(instrument)
        for cell in self._cells.pop(instrument, ()):
            cell.due_ns = None
            self._drop(cell.bot, instrument, now_ns)
            self._effects += self.executor.withdraw(cell.bot.name, instrument, now_ns)

    def _wake(self, cell: Cell, now_ns: int) -> None:
        """Have the cell evaluated as soon as its strategy's debounce allows."""
        due_ns = cell.free_ns
        if due_ns <= now_ns:
            if cell.due_ns != now_ns and not cell.waits:
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
        agenda = self._agenda.heap
        due_ns = min(agenda[0][0], self._second_ns) if agenda else self._second_ns
        return min(due_ns, self.signals.due_ns) if self.signals.active else due_ns

    def turn(self, now_ns: int) -> list[Effect]:
        """Evaluate what is due, plan once, and return what must be journaled and done."""
        if self._tape is not None:
            if self.due_ns > now_ns and self.executor.at_rest(now_ns):
                return []
            self._note(self._turned, now_ns)
        if now_ns >= self._second_ns:
            self._second(now_ns)
        if self.signals.active and self.signals.due_ns <= now_ns:
            self._bars(self.signals.on_clock(now_ns), now_ns)
        agenda = self._agenda.heap
        if agenda and agenda[0][0] <= now_ns:
            for due in self._agenda.take(now_ns):
                if due.instrument in due.bot.cells:
                    self._ready.append(due)
        if self._ready:
            ready, self._ready = self._ready, []
            if self._slices is not None:
                self._ready = self._slices.left_over(ready)
            for cell in ready:
                if cell.due_ns is not None and cell.due_ns <= now_ns:
                    self._evaluate(cell, now_ns)
        effects = self.executor.plan(now_ns)
        if self._effects:
            effects, self._effects = self._effects + effects, []
        if self._explanations is not None:
            self._explanations.show(effects, now_ns)
        return effects

    @property
    def crowded(self) -> bool:
        """Say whether the last turn left something over for the next ones."""
        return self._slices is not None and bool(self._ready or self._slices.second_waits)

    def _evaluate(self, cell: Cell, now_ns: int, *, fit: bool = True) -> None:
        """Ask a bot about one instrument; not `fit` = it must believe that nothing may rest."""
        bot = cell.bot
        view = self.cache.views.get(cell.instrument)
        cell.due_ns = None
        if bot.state is not _RUNNING or view is None:
            return
        if cell.filled and self._repeats(cell, view, now_ns):
            return
        cell.free_ns = now_ns + bot.replan_ns_min
        self._decisions += 1
        context = Context(
            bot=bot.name,
            decision=self._decisions,
            view=view,
            inventory=inventory_of(self.executor, view.instrument, bot.name),
            references=self.cache.references,
            capital_micro=bot.capital_micro,
            healthy=fit and self.executor.healthy,
            readings=NO_READINGS
            if bot.reads is NOTHING
            else Reader(self.signals, cell.instrument, bot.reads, now_ns),
            others=bot.others,
            observed=self.cache.observed,
        )
        self.busy = bot, context
        try:
            decision = (
                evaluation := bot.evaluate(context, now_ns)
            ).decision  # it may give anything
            self.busy = None
            if self.overdue:
                self._over()
        except BaseException as error:  # noqa: BLE001 a bot that raises stops alone (architecture §9)
            self.fail(bot, error, now_ns)
            return
        bot.evaluations += 1
        self._decide(decision)
        if evaluation.rest is not cell.rest:
            cell.pause(evaluation.rest)
        cell.quiet = evaluation.quiet and view.trusted
        if view.trusted:  # an untrusted book waits for its snapshot, which wakes
            self._agenda.put(cell, now_ns + bot.timer_ns)
        if evaluation.alert:
            self._effects.append(bot.warn(evaluation.alert))
        if evaluation.intents:
            self._submit(view, bot.name, evaluation.intents, now_ns)
        elif self._tick_ns >= IDLE_NS:
            self._put_off(cell, decision, now_ns)

    def _submit(self, view: BookView, bot: BotId, intents: tuple[Intent, ...], now_ns: int) -> None:
        """Hand intents on, each after the marks of what it is about."""
        if self._explanations is not None:
            self._explanations.stated.append((view.instrument.id, bot))
        self._second_ns = min(self._second_ns, now_ns - now_ns % self._tick_ns + self._tick_ns)
        self._effects += self.executor.receive(mark_of(view), now_ns)
        for intent in intents:
            for target in intent.targets if type(intent) is Basket else ():
                self._mark(target.instrument, now_ns)
            self._effects += self.executor.receive(intent, now_ns)

    def _mark(self, instrument: InstrumentId, now_ns: int) -> None:
        if (view := self.cache.views.get(instrument)) is not None:
            self._effects += self.executor.receive(mark_of(view), now_ns)

    def fail(self, bot: Bot, error: BaseException, now_ns: int) -> None:
        """Stop a bot that raised: it receives nothing more, its intents are withdrawn."""
        call = next(iter(self.overdue), self.busy)
        with suppress(TurnOverdue):
            self._over(raised=type(error) is TurnOverdue)
        self.overdue.clear()
        if bot.state is BotState.ERROR:
            return
        self._effects.append(fail(bot, error, call, self._tape, now_ns))
        self._detach(bot)
        self._effects += self.executor.withdraw(bot.name, None, now_ns)

    def _drop(self, bot: Bot, instrument: InstrumentId, now_ns: int) -> None:
        """Have a bot forget an instrument."""
        self.busy = bot, instrument
        try:
            bot.drop(instrument, self.signals)
            self._over()
        except BaseException as error:  # noqa: BLE001 a bot that raises stops alone (architecture §9)
            self.fail(bot, error, now_ns)

    def _second(self, now_ns: int) -> None:
        """At each tick: mark what is held or working, and let the executor look at the clock."""
        executor = self.executor
        busy = executor.open_and_unknown[0] or executor.ledger.held or not executor.healthy
        slices, take, tick_ns = self._slices, executor.concerned, self._tick_ns
        for instrument in take() if slices is None else slices.take_marks(take):
            self._mark(instrument, now_ns)
        if slices is None or not slices.second_waits:
            wait_ns = tick_ns if busy else max(tick_ns, IDLE_NS)
            self._second_ns = now_ns - now_ns % tick_ns + wait_ns
            self._effects += executor.receive(TimerFired(name="second"), now_ns)

    # -- bots --------------------------------------------------------------------------------------

    def _begin(self, now_ns: int, *, bots_run: bool) -> None:
        """Start the second's tick; `bots_run` = let idle bots run."""
        self._second_ns = now_ns
        if not bots_run:
            self._decisions = self.executor.fence << STARTS_SHIFT
            return
        for bot in self.bots:
            if bot.state is BotState.IDLE:
                bot.state = BotState.RUNNING

    def add(self, bot: Bot, now_ns: int) -> None:
        """Add a bot: it takes what is listed and wanted, and hears of it."""
        if self._tape is not None:
            learned, signals = self.kept_state(bot, now_ns), state_of(bot.learned)
            self._states[bot.name] = bot.state
            kept = learned, signals, bot.code
            self._note(BotAdded(self._account, bot.given, bot.everything, bot.state, *kept), now_ns)
        self.bots = (*self.bots, bot)
        self._fund(bot)
        self._attach(bot, now_ns)

    def _attach(self, bot: Bot, now_ns: int) -> None:
        """Let a bot receive, again after an error; what it receives already it gets only once."""
        for key in bot.listens:
            others = tuple(other for other in self._listeners.get(key, ()) if other is not bot)
            self._listeners[key] = (*others, bot)
        for view in self.cache.views.values():
            instrument = view.instrument
            cell = None if view.closed else bot.take(instrument)
            cells = self._cells.get(instrument.id, ())
            if cell is not None and cell not in cells:
                self._cells[instrument.id] = (*cells, cell)
                bot.read(self.signals, instrument)
                self._receives(bot, InstrumentListed(instrument=instrument), now_ns)

    def _follow(self, bot: Bot, followed: tuple[InstrumentId, ...], now_ns: int) -> None:
        """Have a bot trade these besides what is its own; its quotes leave all others."""
        bot.followed = frozenset(followed)
        for key in [key for key in bot.cells if not bot.wants(self.cache.views[key].instrument)]:
            self._cells[key] = tuple(cell for cell in self._cells[key] if cell.bot is not bot)
            bot.cells[key].due_ns = None
            self._drop(bot, key, now_ns)
            self._effects += self.executor.withdraw(bot.name, key, now_ns)
        self._attach(bot, now_ns)

    def _remove(self, bot: Bot, now_ns: int) -> None:
        self.bots = tuple(other for other in self.bots if other is not bot)
        self._detach(bot)
        for cell in bot.cells.values():
            cell.due_ns = None
        bot.cells.clear()
        self._effects += self.executor.withdraw(bot.name, None, now_ns)

    def _detach(self, bot: Bot) -> Bot:
        self.signals.leave(bot.name)
        for key, cells in self._cells.items():
            self._cells[key] = tuple(cell for cell in cells if cell.bot is not bot)
        for name, bots in self._listeners.items():
            self._listeners[name] = tuple(other for other in bots if other is not bot)
        return bot

    def _reevaluate(self, bot: Bot, now_ns: int) -> None:
        """Evaluate all of a bot's instruments with the next turn: a pause withdrew its intents."""
        for cell in tuple(bot.cells.values()):
            self._evaluate(cell, now_ns, fit=False)
            self._wake(cell, now_ns)

    def place(self, asked: PlaceManual, now_ns: int) -> ManualMade:
        """Place one order by hand with the next turn; give it and what risk cut off, or why not."""
        self._note(PlacedByHand(self._account, asked), now_ns)
        return self._place(asked, now_ns)

    def _place(self, asked: PlaceManual, now_ns: int) -> ManualMade:
        self._mark(asked.instrument, now_ns)  # no bot may have looked at its book so far
        effects, made = self.executor.place(asked, now_ns)
        self._effects += effects
        return made

    def _forget(self, instrument: InstrumentId, now_ns: int, *, held: bool) -> None:
        """Drop an instrument that is over; `held` True = even if still needed, with a last mark."""
        view = self.cache.views.get(instrument)
        if held and view is not None and not self.executor.ledger.holding(instrument).flat:
            self.executor.receive(mark_of(view), now_ns)
        if self.executor.forget(instrument) or held:
            self.cache.forget(instrument)

    def withdraw(self, bot: Bot, now_ns: int) -> None:
        """Forget a bot's intents and begin to prove that nothing of it is open."""
        self.receive(Withdrawn(self._account, bot.name), now_ns)

    def prove(self, scope: Scope, now_ns: int) -> None:
        self.receive(ProofBegun(self._account, scope), now_ns)
