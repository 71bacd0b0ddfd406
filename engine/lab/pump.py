"""The pump of recorded or simulated time that is virtual: by direct calls, without a loop.

It and the paced one (`lab.paced`) keep one order of things within a moment: what was due earlier
happens first; venue, then gateway, then timers; the venue receives an event before the desk does;
every effect and every report is recorded before it is acted on. The third pump, by the wall clock,
is `runtime.account_runner`.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable

from engine.bots.core import AccountCore
from engine.bots.slices import BOOKS
from engine.domain.effects import PlaceOrder, RaiseAlert, SetTimer
from engine.domain.events import (
    BookChanged,
    BookReplaced,
    Event,
    InstrumentClosed,
    InstrumentListed,
    InstrumentResolved,
    LatchReleased,
    LatchSet,
    ModeChanged,
    OrderFilled,
    StrikeProven,
    TimerFired,
    TradePrinted,
)
from engine.domain.instruments import AccountId, InstrumentId
from engine.domain.orders import Order
from engine.domain.perpetual_events import FundingPaid, FundingSettled, PositionLiquidated
from engine.errors import BrokenInvariant
from engine.gateway.core import GatewayCore
from engine.gateway.door import Reply, Request, VenueCore, VenueOutput
from engine.runtime.journal import Recorder

TURNS_MAX = 10_000
"""Most turns within one moment: more means that intent and fact chase each other."""

ALERTS_MAX = 1_000

GATES = frozenset({LatchSet, LatchReleased, ModeChanged})
"""What the gateway must receive, too."""

MOVES = frozenset({FundingPaid, PositionLiquidated})
"""What a venue does to an account by no order of it."""

RARE = GATES | MOVES

SILENCE_NS_MAX = 600 * 1_000_000_000
"""How much of a silence passes timer by timer. What falls due later in it happens once, at its end:
so a leap of a year costs no more than one of ten minutes."""

AFTER_NS = 60 * 1_000_000_000
"""How long time goes on behind the last event."""

FORGET_AFTER_NS = 600 * 1_000_000_000
"""How long a closed instrument stays in the caches: late settlements arrive within seconds."""

NEVER = 1 << 62
"""A time that does not come: 146 years after the epoch."""

JOURNALED = frozenset({InstrumentListed, InstrumentClosed, InstrumentResolved})
"""Market events an account's books rest on: without them the journal could not be read back."""

SEEN = JOURNALED | {FundingSettled}
"""Market events that who drives is given, too."""

LASTING = JOURNALED | {StrikeProven}
"""What a live journal keeps of the market."""


class Driver:
    """Turns one account's desk over a simulated venue. Time only moves forward."""

    def __init__(
        self,
        *,
        core: AccountCore,
        gateway: GatewayCore,
        venue: VenueCore,
        recorder: Recorder,
        placed: Callable[[PlaceOrder], None],
        filled: Callable[[OrderFilled, int], None],
        seen: Callable[[Event, int], None] = lambda *_: None,
        moved: Callable[[Event, int], None] = lambda *_: None,
        at_rest: Callable[[], bool] | None = None,
    ) -> None:
        """`at_rest` = whether the venue has nothing of ours; None = books are never passed over."""
        self._at_rest = at_rest
        self.core = core
        self.gateway = gateway
        self.venue = venue
        self._recorder = recorder
        self._keep = recorder.append
        self._outbox = gateway.outbox
        self._placed = placed
        self._filled = filled
        self._seen = seen
        self._moved = moved
        self._account: AccountId = venue.account()
        self._timers: list[tuple[int, int, str]] = []
        self._timer_at: dict[str, int] = {}
        self._counter = 0
        self._due_ns = NEVER
        """When anything is due next, as far as it is known here: see `_ask_venue`."""
        self._reached_ns = 0
        """Up to when everything that was due has happened."""
        self.alerts: list[tuple[int, RaiseAlert]] = []
        self.alert_counts: Counter[str] = Counter()

    # -- time --------------------------------------------------------------------------------------

    @property
    def due_ns(self) -> int:
        """When anything is due next."""
        self._ask_venue()
        return self._due_ns

    def _ask_venue(self) -> None:
        """Learn when the venue is due: it received something, or somebody else moved it."""
        venue_ns = self.venue.due_ns
        if venue_ns is not None and venue_ns < self._due_ns:
            self._due_ns = venue_ns

    def _next_ns(self) -> int:
        due = self.core.due_ns
        gateway = self.gateway.due_ns
        if gateway is not None and gateway < due:
            due = gateway
        venue = self.venue.due_ns
        if venue is not None and venue < due:
            due = venue
        if self._timers and self._timers[0][0] < due:
            due = self._timers[0][0]
        return due

    def run_until(self, now_ns: int) -> None:
        """Let everything happen that is due at or before `now_ns`, in order; see SILENCE_NS_MAX."""
        due = self.due_ns
        if due > now_ns:
            return
        leaps_ns = self._reached_ns + SILENCE_NS_MAX
        while due <= now_ns:
            self._advance(due if due <= leaps_ns else now_ns)
            after = self.due_ns
            if after < due:
                raise BrokenInvariant(f"time ran backwards: due at {due}, then at {after}")
            due = after
        self._reached_ns = now_ns

    def start(self, now_ns: int, *, bots_run: bool = True) -> None:
        """Begin at this time; `bots_run` = let the bots run. Must come before anything else."""
        if bots_run:
            self.core.start(now_ns)
        else:
            self.core.begin(now_ns)
        self._due_ns = self._reached_ns = now_ns

    def feed(self, event: Event, now_ns: int) -> None:
        """Take one market event at its time."""
        self.play(((now_ns, event),))

    def play(self, events: Iterable[tuple[int, Event]]) -> None:
        """Take market events in order, each at its time.

        The cache has an event first, so that a venue may share its books; then the venue receives
        it, then the desk. Most move neither an order nor a strategy: then there is nothing to turn.
        A snapshot that moves nothing waits until something else happens: the next one replaces it.
        """
        to_cache, to_venue, wake = self.core.cache.changed, self.venue.changed, self.core.wake
        self._ask_venue()
        waits: list[tuple[int, Event]] = []
        for now_ns, event in events:
            if waits:
                if now_ns < self._due_ns and self._joins(waits, event, now_ns):
                    continue
                self._catch_up(waits)
            if self._due_ns <= now_ns:
                self.run_until(now_ns)
            if type(event) is BookChanged:
                view = to_cache(event, now_ns)
                to_venue(event, now_ns)
                if wake(view, event, now_ns):
                    self._woken(now_ns, turns=False)
            elif type(event) is BookReplaced and self._moves_nothing(event):
                waits.append((now_ns, event))
            else:
                self._play_rarer(event, now_ns)
        self._catch_up(waits)

    def idle_until_ns(self) -> int:
        """Return until when venue and gateway have nothing to do; 0 = they have already."""
        if self._at_rest is None or not self._at_rest():
            return 0
        due = self.gateway.due_ns
        return NEVER if due is None else due

    @property
    def timer_ns(self) -> int:
        """When the next timer fires."""
        return self._timers[0][0] if self._timers else NEVER

    def pass_timer(self) -> None:
        """Fire the next timer of an executor that rests: all it does is to set it anew.

        It was set for an intent that another one replaced since; nothing else turns by it.
        """
        now_ns, executor = self.timer_ns, self.core.executor
        self._fire(now_ns, executor.receive)
        for effect in executor.plan(now_ns):
            if type(effect) is not SetTimer:
                raise BrokenInvariant(f"an executor at rest asks for {effect}")
            self._keep(self._account, effect, now_ns)
            self._set_timer(effect)

    def quiet_until(self, instrument: InstrumentId, now_ns: int) -> bool:
        """Say whether its snapshots and trades before a time move nothing, and nothing is due."""
        rests = self._at_rest
        return (
            rests is not None
            and rests()
            and self.due_ns >= now_ns
            and self.core.reads_bars_alone(instrument)
        )

    def went_on(self, book: BookReplaced, now_ns: int) -> None:
        """Take the book of the last moment of a time that passed without this, up to `now_ns`."""
        self._show(book, now_ns - 1)
        self._reached_ns = now_ns
        self._due_ns = self._next_ns()

    def show(self, book: BookReplaced, now_ns: int) -> None:
        """Take a book at its time that wakes no bot: all read bars alone. It may fill orders."""
        self._ask_venue()
        if self._due_ns <= now_ns:
            self.run_until(now_ns)
        self._show(book, now_ns)

    def _show(self, book: BookReplaced, now_ns: int) -> None:
        self.core.cache.receive(book, now_ns)
        outputs = self.venue.receive(book, now_ns)
        if outputs:
            self._receive(outputs, now_ns)
            self._settle(now_ns)
        else:
            self._ask_venue()

    # -- an account at rest that reads bars alone --------------------------------------------------

    def _moves_nothing(self, event: BookReplaced) -> bool:
        """Say whether no order and no strategy is concerned by a snapshot, nor by trades after."""
        rests = self._at_rest
        return rests is not None and rests() and self.core.reads_bars_alone(event.instrument)

    def _joins(self, waits: list[tuple[int, Event]], event: Event, now_ns: int) -> bool:
        """Let an event wait with a snapshot, or in place of it; False = it must be played.

        Of what a whole snapshot replaces the last trade's price alone is seen afterwards.
        """
        first = waits[0][1]
        if type(event) is BookReplaced and type(first) is BookReplaced:
            if event.instrument != first.instrument:
                return False
            if event.bids and event.asks:
                view = self.core.cache.views[event.instrument]
                for _, passed in waits:
                    if type(passed) is TradePrinted:
                        view.last_trade = passed.price
                waits.clear()
        elif type(event) is not TradePrinted or event.instrument != first.instrument:  # type: ignore[attr-defined]
            return False
        waits.append((now_ns, event))
        return True

    def _catch_up(self, waits: list[tuple[int, Event]]) -> None:
        """Play what waited, each at its time."""
        for now_ns, event in waits:
            self._play_rarer(event, now_ns)
        waits.clear()

    def _play_rarer(self, event: Event, now_ns: int) -> None:
        kind = type(event)
        if kind in JOURNALED:
            self._keep(self._account, event, now_ns)
        view = self.core.cache.receive(event, now_ns)
        outputs = self.venue.receive(event, now_ns)
        if outputs:
            self._receive(outputs, now_ns)
        else:
            self._ask_venue()
        if self.core.wake(view, event, now_ns) or outputs:
            self._woken(now_ns, turns=bool(outputs) or kind not in BOOKS)
        if kind in SEEN:
            self._seen(event, now_ns)

    def _woken(self, now_ns: int, *, turns: bool) -> None:
        """Turn, unless all who were woken must wait: a book gives the executor nothing to do."""
        due = self.core.due_ns
        if turns or due <= now_ns:
            self._settle(now_ns)
        elif due < self._due_ns:
            self._due_ns = due

    def deliver(self, event: Event, now_ns: int) -> None:
        """Take an engine event (latch, health, cash) at its time; it is recorded."""
        self.run_until(now_ns)
        self._report(event, now_ns)
        self._settle(now_ns)

    def _advance(self, now_ns: int) -> None:
        venue = self.venue
        due_ns = venue.due_ns
        if due_ns is not None and due_ns <= now_ns:
            self._receive(venue.advance(now_ns), now_ns)
        gateway = self.gateway
        due_ns = gateway.due_ns
        if due_ns is not None and due_ns <= now_ns:
            self._send(gateway.advance(now_ns), now_ns)
        if self._timers:
            self._fire(now_ns, self.core.receive)
        self._settle(now_ns)

    def _fire(self, now_ns: int, receive: Callable[[TimerFired, int], object]) -> None:
        """Give the timers that are due to whom they are for."""
        while self._timers and self._timers[0][0] <= now_ns:
            at_ns, _, name = heapq.heappop(self._timers)
            if self._timer_at.get(name) == at_ns:
                del self._timer_at[name]
                receive(TimerFired(name=name), now_ns)

    # -- one moment --------------------------------------------------------------------------------

    def _settle(self, now_ns: int) -> None:
        """Turn the desk until it asks for nothing more at this moment."""
        turn = self.core.turn
        for _ in range(TURNS_MAX):
            effects = turn(now_ns)
            if not effects:
                break
            for effect in effects:
                kind = type(effect)
                if kind is PlaceOrder:
                    self._place(effect.order, now_ns)  # type: ignore[attr-defined]
                    continue
                self._keep(self._account, effect, now_ns)
                if kind is SetTimer:
                    self._set_timer(effect)  # type: ignore[arg-type]
                elif kind is RaiseAlert:
                    self._alert(effect, now_ns)  # type: ignore[arg-type]
                else:
                    self._send(self.gateway.receive(effect, now_ns), now_ns)  # type: ignore[arg-type]
        else:
            raise BrokenInvariant(f"more than {TURNS_MAX} turns within one moment")
        self._due_ns = self._next_ns()

    def _send(self, requests: list[Request], now_ns: int) -> None:
        """Send requests; what the venue answers at once may free further ones."""
        for request in requests:
            outputs = self.venue.request(request, now_ns)
            if outputs:
                self._receive(outputs, now_ns)
        if not self._outbox.pending:
            return
        gateway = self.gateway
        for report in gateway.take_reports():
            self._report(report, now_ns)
        for alert in gateway.take_alerts():
            self._recorder.append(self._account, alert, now_ns)
            self._alert(alert, now_ns)

    def _place(self, order: Order, now_ns: int) -> None:
        """Keep an order under its identity, tell the desk that it leaves, and send it (law K)."""
        account, identity = self._account, self.venue.prepare(order).identity
        effect = PlaceOrder(order=order, identity=identity)
        self._keep(account, effect, now_ns)
        self.core.executor.named(order.id, identity, now_ns)
        self._placed(effect)
        self._send(self.gateway.receive(effect, now_ns), now_ns)

    def _receive(self, outputs: list[VenueOutput], now_ns: int) -> None:
        for output in outputs:
            if type(output) is Reply:
                for event in self.gateway.answers(output):
                    self._report(event, now_ns)
                freed = self.gateway.over(output, now_ns)
                if freed or self._outbox.pending:
                    self._send(freed, now_ns)
            else:
                self._report(output, now_ns)  # type: ignore[arg-type]

    def _report(self, event: Event, now_ns: int) -> None:
        self._keep(self._account, event, now_ns)
        kind = type(event)
        if kind is OrderFilled:
            self._filled(event, now_ns)  # type: ignore[arg-type]
        self.core.venue(event, now_ns)
        if kind in RARE:
            if kind in MOVES:
                self._moved(event, now_ns)
            else:
                self._send(self.gateway.receive(event, now_ns), now_ns)  # type: ignore[arg-type]

    def _set_timer(self, effect: SetTimer) -> None:
        self._counter += 1
        self._timer_at[effect.name] = effect.at_ns
        heapq.heappush(self._timers, (effect.at_ns, self._counter, effect.name))

    def _alert(self, effect: RaiseAlert, now_ns: int) -> None:
        self.alert_counts[effect.kind] += 1
        if len(self.alerts) < ALERTS_MAX:
            self.alerts.append((now_ns, effect))
