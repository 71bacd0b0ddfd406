"""The runner of one account: the asyncio sibling of the driver of simulated time.

Turns the same cores, of the account and of its gateway, by the wall clock. It owns the order of
things within one turn: every effect and every report is journaled before it is acted on, what is
asked of the venue leaves through the sender. Nothing here waits: a turn is a call of the loop.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Mapping

from engine.bots.core import AccountCore
from engine.clock import Clock
from engine.domain.effects import Effect, PlaceOrder, RaiseAlert, SetTimer
from engine.domain.events import (
    AnyEvent,
    Event,
    HealthChanged,
    LatchReleased,
    LatchSet,
    ModeChanged,
    OrderNamed,
    OrderNotSent,
    TimerFired,
)
from engine.domain.inputs import (
    AnyInput,
    CancelledByHand,
    EffectRequested,
    Halted,
    InstrumentForgotten,
    OrdersStated,
    StartedOver,
    Transient,
)
from engine.domain.instruments import AccountId, InstrumentId
from engine.domain.orders import Identity, Order, OrderId
from engine.domain.plain import PlainDict
from engine.errors import BrokenInvariant, StorageError
from engine.gateway.core import GatewayCore
from engine.gateway.door import Venue
from engine.gateway.sender import Sender
from engine.runtime.journal import Recorder
from engine.runtime.markouts import Markouts

TURNS_MAX = 10_000
"""Most turns within one moment: more means that intent and fact chase each other."""

TIMERS_MAX = 10_000
JOURNAL = "journal"
"""Health source: the journal takes no more records."""


ANSWERS_NS = 60 * 1_000_000_000
"""Answers to new orders of so long are measured together: a second often has none."""

SAMPLES_MAX = 20_000
"""Most samples of one second; beyond it every further one is only counted."""


class Meter:
    """Samples of the present second, and of all before. `take` ends the second and begins anew."""

    def __init__(self) -> None:
        self._turns: list[int] = []
        self._events = 0
        self._count = 0
        self._pool = Counter[int]()
        """Turns of every second that was taken, by their ns cut to five bits, which is right within
        6 %: a turn costs nothing for it."""
        self._longest_ns = 0
        self._answers = deque[tuple[int, int]](maxlen=SAMPLES_MAX)
        """When a new order was answered, and how long after it left; of the last minute."""

    def turn(self, took_ns: int) -> None:
        """Note how long one turn took."""
        self._count += 1
        if len(self._turns) < SAMPLES_MAX:
            self._turns.append(took_ns)

    def events(self, count: int) -> None:
        """Count market events."""
        self._events += count

    def answer(self, took_ns: int, now_ns: int) -> None:
        """Note how long after it left a new order was answered."""
        self._answers.append((now_ns, took_ns))

    def answered(self, now_ns: int) -> PlainDict:
        """Return the figures of the answers of the last minute. Times in ms."""
        # Later than now = of before the clock went back.
        while self._answers and not now_ns - ANSWERS_NS < self._answers[0][0] <= now_ns:
            self._answers.popleft()
        took = sorted(took_ns for _, took_ns in self._answers)
        return {
            "answers": len(took),
            "answer_ms_median": took[len(took) // 2] / 1e6 if took else None,
            "answer_ms_max": took[-1] / 1e6 if took else None,
        }

    def take(self) -> PlainDict:
        """Return the figures of the second, which ends, and those of all so far. Times in µs."""
        took = sorted(self._turns)
        self._pool.update(map(_coarse, took))
        self._longest_ns = max([self._longest_ns, *took[-1:]])
        p99 = took[min(len(took) - 1, int(0.99 * len(took)))] / 1_000 if took else None
        figures = {
            "turns": self._count,
            "events": self._events,
            "turn_p99_us": p99,
            "turns_measured": self._pool.total(),
            "turn_p99_us_all": self._pooled_us(0.99),
            "turn_us_max": self._longest_ns / 1_000 if self._pool else None,
        }
        self._turns, self._events, self._count = [], 0, 0
        return figures

    def _pooled_us(self, share: float) -> float | None:
        """Return a quantile of all turns so far in µs; None = there was none."""
        left = share * self._pool.total()
        for ns, count in sorted(self._pool.items()):
            left -= count
            if left <= 0:
                return min(ns, self._longest_ns) / 1_000
        return None


def _coarse(ns: int) -> int:
    """Return the largest number of the same length whose first five bits are the same."""
    cut = max(0, ns.bit_length() - 5)
    return ns | ((1 << cut) - 1)


class Turns:
    """Gives the accounts of an engine their turns, one at a time: a market batch wakes them all.

    Between two of them the loop receives whatever else waits, a KILL first. A desk of one account
    turns at once: there is no other to wait for. On the loop's thread alone.
    """

    def __init__(self) -> None:
        self._accounts = 0
        self._waiting: dict[Callable[[], None], None] = {}
        """Who waits for a turn, each once; who came first is first."""
        self._taken = False
        """This step of the loop has had its turn."""

    def join(self) -> None:
        """Count one account more."""
        self._accounts += 1

    def leave(self, turn: Callable[[], None]) -> None:
        """Forget an account: it turns no more."""
        self._accounts -= 1
        self._waiting.pop(turn, None)

    def now(self, turn: Callable[[], None]) -> bool:
        """Say whether an account may turn at once; otherwise `turn` is called in a later step.

        What it receives until then is in that one turn.
        """
        if self._accounts <= 1:
            return True
        if not self._taken:
            self._taken = True
            asyncio.get_running_loop().call_soon(self._next)
            return True
        self._waiting[turn] = None
        return False

    def _next(self) -> None:
        if not self._waiting:
            self._taken = False
            return
        turn = next(iter(self._waiting))
        del self._waiting[turn]
        asyncio.get_running_loop().call_soon(self._next)
        turn()


class AccountRunner:
    """One account: its core, its gateway, sender, timers. Everything happens on the loop's thread.

    `alert` receives what a person must receive; `crash` what must not be survived.
    """

    markouts: Markouts | None = None
    """Follows fills to their horizons; nothing that trades depends on it."""
    scoring: tuple[Mapping[int, bool], int | None] = ({}, None)
    """Which orders earn rewards, as the venue said it last, and when; people read it alone."""

    def on_scoring(self, scoring: Mapping[int, bool], now_ns: int) -> None:
        """Keep which orders earn rewards, as the venue said it now."""
        self.scoring = scoring, now_ns

    def __init__(
        self,
        *,
        core: AccountCore,
        gateway: GatewayCore,
        venue: Venue,
        recorder: Recorder,
        clock: Clock,
        meter: Meter,
        alert: Callable[[RaiseAlert, int], None],
        crash: Callable[[BaseException], None],
        turns: Turns | None = None,
        waits: Callable[[], str] = lambda: "",
    ) -> None:
        self.core = core
        self._turns = turns or Turns()
        self._turns.join()
        self.unaskable = waits
        """Why nothing can be asked at the venue before a person acts; empty = it can."""
        self.account: AccountId = gateway.account
        self._recorder = recorder
        self._clock = clock
        self._meter = meter
        self._alert = alert
        self.gateway = gateway
        self.on_report: dict[str, Callable[[Event], None]] = {}
        """Who receives every report for a while, by a name of his own: a proof, a request."""
        self._settling = False
        self._woken = False
        self._closed = False
        self._refused = False
        self._timers: list[tuple[int, int, str]] = []
        self._timer_at: dict[str, int] = {}
        self._counter = 0
        self._handle: asyncio.TimerHandle | None = None
        self._handle_ns = 0
        self.sender = Sender(
            core=gateway,
            venue=venue,
            clock=clock,
            report=self.report,
            durable=self._durable,
            alert=lambda alert: self._alert(alert, clock.now_ns()),
            identity=self._identity,
            crash=crash,
            answered=meter.answer,
        )

    def _identity(self, order: OrderId) -> Identity | None:
        known = self.core.executor.record(order)
        return None if known is None else known.identity

    # -- what comes in -----------------------------------------------------------------------------

    def market(self, events: Iterable[Event], now_ns: int) -> None:
        """Take market events of one moment, and turn where they woke somebody."""
        self.mark(now_ns)
        if not self.core.received(tuple(events), now_ns):
            return
        if self.core.due_ns <= now_ns or not self.core.executor.at_rest(now_ns):
            self._settle_in_turn(now_ns)
        else:
            self._arm()  # whoever woke looks again later: a turn now would find nothing to do

    def follow(self, markouts: Markouts) -> None:
        """Have fills followed to their horizons from now on."""
        self.markouts = markouts

    def mark(self, now_ns: int) -> None:
        """Answer the markouts that came due, before the market of this moment is taken."""
        if self.markouts is not None and self.markouts.due_ns < now_ns:
            self.markouts.advance(now_ns)

    def report(self, event: Event) -> None:
        """Journal and deliver a report of the venue or the engine; the turn follows at once."""
        now_ns = self._clock.now_ns()
        self.deliver(event, now_ns)
        if self._closed:
            self.settle(now_ns)
        elif not self._settling and not self._woken:
            self._woken = True
            self._turn_soon()

    def _turn_soon(self) -> None:
        asyncio.get_running_loop().call_soon(self._wake)

    def deliver(self, event: Event, now_ns: int) -> None:
        """Journal and deliver an event; call `settle` afterwards."""
        self._journal(event, now_ns)
        if self.markouts is not None:
            self.markouts.received(event, now_ns)
        self.core.receive(event, now_ns)
        if type(event) is ModeChanged:
            self.sender.take(event)  # the lane of places obeys it, too, and receives when it lifts
        if self.on_report:
            for receive in tuple(self.on_report.values()):
                receive(event)

    def receive(self, given: AnyInput, now_ns: int) -> None:
        """Give the core an input, do what it asks for at once, and turn."""
        for effect in self.core.receive(given, now_ns):
            self._do(effect, now_ns)
        self.settle(now_ns)

    def start_over(self, now_ns: int) -> None:
        """Ask the venue everything before anything is placed: at the start, after a blindness."""
        self.receive(StartedOver(self.account), now_ns)

    def cancel(self, order: OrderId, now_ns: int) -> None:
        """Cancel one order by hand."""
        self.receive(CancelledByHand(self.account, order), now_ns)

    def ask(self, effect: Effect, now_ns: int) -> None:
        """Journal and do an effect of the engine itself."""
        self.receive(EffectRequested(self.account, effect), now_ns)  # type: ignore[arg-type]

    def halt(self, reason: str, now_ns: int) -> None:
        """Cancel everything and place nothing any more; begin the proof."""
        self.receive(Halted(self.account, reason), now_ns)

    def forget(self, instrument: InstrumentId, now_ns: int) -> None:
        """Drop a market that is long over; one that is held or worked on stays."""
        self.core.receive(InstrumentForgotten(self.account, instrument, marked=False), now_ns)

    def latch(self, event: LatchSet | LatchReleased, now_ns: int) -> None:
        """Set or release the latch: the gateway first, it is the one veto."""
        self.sender.take(event)
        self.deliver(event, now_ns)
        self.settle(now_ns)

    def _wake(self) -> None:
        self._woken = False
        self.settle(self._clock.now_ns())

    def tick(self) -> None:
        """Let time pass: due timers, the sender's time-outs, evaluations that are due."""
        now_ns = self._pass_time()
        self.settle(now_ns)

    def _pass_time(self) -> int:
        """Answer timers and time-outs that came due; return the time. Call `settle` afterwards."""
        now_ns = self._clock.now_ns()
        self.mark(now_ns)
        due_ns = self.sender.due_ns
        if due_ns is not None and due_ns <= now_ns:
            self.sender.advance()
        self._fire(now_ns)
        return now_ns

    def _fire(self, now_ns: int) -> None:
        """Tell the desk of every timer that is due."""
        while self._timers and self._timers[0][0] <= now_ns:
            at_ns, _, name = heapq.heappop(self._timers)
            if self._timer_at.get(name) == at_ns:
                del self._timer_at[name]
                self._transient(TimerFired(name=name), now_ns)

    # -- one turn ----------------------------------------------------------------------------------

    def _settle_in_turn(self, now_ns: int) -> None:
        """Turn now, or in a later step of the loop where another account turns in this one."""
        if self._turns.now(self._turn):
            self.settle(now_ns)

    def _turn(self) -> None:
        self.settle(self._clock.now_ns())

    def settle(self, now_ns: int) -> None:
        """Turn the desk until it asks for nothing more at this moment.

        One that is closed turns no more: it journals what the last reports made of its orders.
        """
        if self._settling:
            return
        if self._closed:
            for effect in self.core.receive(OrdersStated(self.account), now_ns):
                self._do(effect, now_ns)
            return
        self._settling = True
        started = time.perf_counter_ns()
        try:
            turn = self.core.turn
            effects = turn(now_ns)
            turns = 0
            while effects:
                turns += 1
                if turns > TURNS_MAX:
                    raise BrokenInvariant(f"more than {TURNS_MAX} turns within one moment")
                for effect in effects:
                    self._do(effect, now_ns)
                if self.core.crowded:
                    break  # the rest follows at once, after whatever else the loop has to do
                effects = turn(now_ns)
        finally:
            self._settling = False
        self._meter.turn(time.perf_counter_ns() - started)
        self._arm()

    def _do(self, effect: Effect, now_ns: int) -> None:
        if isinstance(effect, PlaceOrder):
            self._place(effect.order, now_ns)
            return
        self._journal(effect, now_ns)
        kind = type(effect)
        if kind is SetTimer:
            self._set_timer(effect)  # type: ignore[arg-type]
        elif kind is RaiseAlert:
            self._alert(effect, now_ns)  # type: ignore[arg-type]
        else:
            # Cancels and questions leave even where the journal refuses.
            self.sender.take(effect)  # type: ignore[arg-type]

    def _place(self, order: Order, now_ns: int) -> None:
        """Name an order, journal both as one record, and let it leave once that is durable."""
        identity = self.sender.name(order)
        effect = PlaceOrder(order=order, identity=identity)
        if not self._journal(effect, now_ns):
            self.sender.forget(order.id)
            reason = "the journal takes no more records"
            never = OrderNotSent(account=self.account, order=order.id, reason=reason)
            self._transient(never, now_ns)
            return
        if identity is not None:
            named = OrderNamed(account=self.account, order=order.id, identity=identity)
            self._transient(named, now_ns)
        self.sender.take(effect)

    def _journal(self, message: Event | Effect, now_ns: int) -> bool:
        """Journal a message; False = the journal is full, and nothing is placed until it is not."""
        try:
            self._recorder.append(self.account, message, now_ns)
        except StorageError as error:
            if not self._refused:
                self._refused = True
                self._transient(self._health(healthy=False, reason=str(error)), now_ns)
            return False
        if self._refused:
            self._refused = False
            self._transient(self._health(healthy=True, reason=""), now_ns)
        return True

    def _transient(self, event: AnyEvent, now_ns: int) -> None:
        """Tell the core what the journal does not keep."""
        self.core.receive(Transient(self.account, event), now_ns)

    def _health(self, *, healthy: bool, reason: str) -> HealthChanged:
        return HealthChanged(account=self.account, source=JOURNAL, healthy=healthy, reason=reason)

    def _durable(self) -> Awaitable[object]:
        return asyncio.wrap_future(self._recorder.commit())

    # -- time --------------------------------------------------------------------------------------

    def _set_timer(self, effect: SetTimer) -> None:
        if len(self._timers) >= TIMERS_MAX:
            raise BrokenInvariant(f"{self.account}: more than {TIMERS_MAX} timers")
        self._counter += 1
        self._timer_at[effect.name] = effect.at_ns
        heapq.heappush(self._timers, (effect.at_ns, self._counter, effect.name))

    def _next_ns(self) -> int:
        """Return when something is due without a further event."""
        due_ns = self.core.due_ns
        sender_ns = self.sender.due_ns
        if sender_ns is not None and sender_ns < due_ns:
            due_ns = sender_ns
        if self._timers and self._timers[0][0] < due_ns:
            due_ns = self._timers[0][0]
        return due_ns

    def _arm(self) -> None:
        """Wake the loop when the next thing is due."""
        due_ns = self._next_ns()
        if self._handle is not None:
            if self._handle_ns == due_ns and not self._handle.cancelled():
                return
            self._handle.cancel()
        wait_s = max(0, due_ns - self._clock.now_ns()) / 1e9
        self._handle_ns = due_ns
        self._handle = asyncio.get_running_loop().call_later(wait_s, self._due)

    def _due(self) -> None:
        self._handle = None
        self._settle_in_turn(self._pass_time())

    async def close(self) -> None:
        """Let nothing turn any more, and cut what is under way. Raises what the cut raises."""
        if not self._closed:
            self._turns.leave(self._turn)
        self._closed = True
        if self._handle is not None:
            self._handle.cancel()
        try:
            await self.sender.close()
        finally:
            self.settle(self._clock.now_ns())
