"""Two pumps of recorded or simulated time: virtual, by direct calls, and paced, on the live loop.

Both keep one order of things within a moment: what was due earlier happens first; venue, then
gateway, then timers; the venue hears an event before the desk does; every effect and every report
is recorded before it is acted on. The third pump, by the wall clock, is `runtime.account_runner`.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import Counter, deque
from collections.abc import Callable, Iterable
from typing import Any

from engine.bots.core import AccountCore
from engine.clock import TapeClock
from engine.domain.effects import PlaceOrder, RaiseAlert, SetTimer
from engine.domain.events import (
    BookChanged,
    BookReplaced,
    CashMoved,
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
from engine.domain.inputs import Forgot
from engine.domain.instruments import AccountId, InstrumentId
from engine.domain.orders import Order
from engine.errors import BrokenInvariant, StorageError
from engine.gateway.core import GatewayCore
from engine.gateway.door import Reply, Request, VenueCore, VenueOutput
from engine.lab.recordings.door import Recording
from engine.runtime.journal import Recorder
from engine.venues.paper.runner import PaperRunner

TURNS_MAX = 10_000
"""Most turns within one moment: more means that wish and fact chase each other."""

ALERTS_MAX = 1_000

GATES = frozenset({LatchSet, LatchReleased, ModeChanged})
"""What the gateway must hear, too."""

BOOKS = frozenset({BookChanged, BookReplaced, TradePrinted})
"""Events the executor never hears itself."""

SILENCE_NS_MAX = 600 * 1_000_000_000
"""How much of a silence passes timer by timer. What falls due later in it happens once, at its end:
so a leap of a year costs no more than one of ten minutes."""

NEVER = 1 << 62
"""A time that does not come: 146 years after the epoch."""

KEPT = frozenset({InstrumentListed, InstrumentClosed, InstrumentResolved})
"""Market events an account's books rest on: without them the journal could not be read back."""

LASTING = KEPT | {StrikeProven}
"""What a live journal keeps of the market."""


class Driver:
    """Turns one account's desk over a simulated venue. Time only moves forward."""

    def __init__(
        self,
        *,
        desk: AccountCore,
        gateway: GatewayCore,
        venue: VenueCore,
        recorder: Recorder,
        placed: Callable[[PlaceOrder], None],
        filled: Callable[[OrderFilled, int], None],
    ) -> None:
        self.desk = desk
        self.gateway = gateway
        self.venue = venue
        self._recorder = recorder
        self._keep = recorder.append
        self._outbox = gateway.outbox
        self._placed = placed
        self._filled = filled
        self._account: AccountId = venue.account()
        self._timers: list[tuple[int, int, str]] = []
        self._timer_at: dict[str, int] = {}
        self._counter = 0
        self._rest_ns = NEVER
        """When something but the venue is due."""
        self._reached_ns = 0
        """Up to when everything that was due has happened."""
        self.alerts: list[tuple[int, RaiseAlert]] = []
        self.alert_counts: Counter[str] = Counter()

    # -- time --------------------------------------------------------------------------------------

    @property
    def due_ns(self) -> int:
        venue, rest = self.venue.due_ns, self._rest_ns
        return rest if venue is None or venue > rest else venue

    def _rest_due(self) -> int:
        """When something but the venue is due; it only changes where time or a turn passed."""
        due = self.desk.due_ns
        gateway = self.gateway.due_ns
        if gateway is not None and gateway < due:
            due = gateway
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

    def start(self, now_ns: int) -> None:
        """Begin at this time: let the bots run. Must come before anything else."""
        self.desk.start(now_ns)
        self._rest_ns = self._reached_ns = now_ns

    def feed(self, event: Event, now_ns: int) -> None:
        venue = self.venue
        due = venue.due_ns
        if self._rest_ns <= now_ns or (due is not None and due <= now_ns):
            self.run_until(now_ns)
        kind = type(event)
        if kind is not BookChanged and kind in KEPT:
            self._recorder.append(self._account, event, now_ns)
        outputs = venue.hear(event, now_ns)
        if outputs:
            self._hear(outputs, now_ns)
        # Most events move neither an order nor a strategy: then there is nothing to turn.
        woke = self.desk.market(event, now_ns)
        if outputs or (woke and kind not in BOOKS):
            self._settle(now_ns)
        elif woke:
            self._woken(now_ns)

    def _woken(self, now_ns: int) -> None:
        """Turn, unless all who were woken must wait: a book gives the executor nothing to do."""
        due = self.desk.due_ns
        if due <= now_ns:
            self._settle(now_ns)
        elif due < self._rest_ns:
            self._rest_ns = due

    def tell(self, event: Event, now_ns: int) -> None:
        """Take an engine event (latch, health, cash) at its time; it is recorded."""
        self.run_until(now_ns)
        self._report(event, now_ns)
        self._settle(now_ns)

    def _advance(self, now_ns: int) -> None:
        venue = self.venue
        if venue.due_ns is not None and venue.due_ns <= now_ns:
            self._hear(venue.advance(now_ns), now_ns)
        gateway = self.gateway
        if gateway.due_ns is not None and gateway.due_ns <= now_ns:
            self._send(gateway.advance(now_ns), now_ns)
        while self._timers and self._timers[0][0] <= now_ns:
            at_ns, _, name = heapq.heappop(self._timers)
            if self._timer_at.get(name) == at_ns:
                del self._timer_at[name]
                self.desk.receive(TimerFired(name=name), now_ns)
        self._settle(now_ns)

    # -- one moment --------------------------------------------------------------------------------

    def _settle(self, now_ns: int) -> None:
        """Turn the desk until it asks for nothing more at this moment."""
        turn = self.desk.turn
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
        self._rest_ns = self._rest_due()

    def _send(self, requests: list[Request], now_ns: int) -> None:
        """Send requests; what the venue answers at once may free further ones."""
        for request in requests:
            outputs = self.venue.request(request, now_ns)
            if outputs:
                self._hear(outputs, now_ns)
        if not self._outbox.news:
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
        self.desk.executor.named(order.id, identity, now_ns)
        self._placed(effect)
        self._send(self.gateway.receive(effect, now_ns), now_ns)

    def _hear(self, outputs: list[VenueOutput], now_ns: int) -> None:
        for output in outputs:
            if type(output) is Reply:
                for event in self.gateway.answers(output):
                    self._report(event, now_ns)
                freed = self.gateway.over(output, now_ns)
                if freed or self._outbox.news:
                    self._send(freed, now_ns)
            else:
                self._report(output, now_ns)  # type: ignore[arg-type]

    def _report(self, event: Event, now_ns: int) -> None:
        self._keep(self._account, event, now_ns)
        kind = type(event)
        if kind is OrderFilled:
            self._filled(event, now_ns)  # type: ignore[arg-type]
        self.desk.venue(event, now_ns)
        if kind in GATES:
            self._send(self.gateway.receive(event, now_ns), now_ns)  # type: ignore[arg-type]

    def _set_timer(self, effect: SetTimer) -> None:
        self._counter += 1
        self._timer_at[effect.name] = effect.at_ns
        heapq.heappush(self._timers, (effect.at_ns, self._counter, effect.name))

    def _alert(self, effect: RaiseAlert, now_ns: int) -> None:
        self.alert_counts[effect.kind] += 1
        if len(self.alerts) < ALERTS_MAX:
            self.alerts.append((now_ns, effect))


# -- Paced: a recording on the live loop, with runner, sender, journal and pages as ever -----------
# Time stands still until the moment has come to rest: the journal has committed, what was asked has
# reached the venue, nobody wishes for another turn. So what is decided does not depend on how fast
# the wall clock runs meanwhile.

AFTER_NS = 60 * 1_000_000_000
"""How long time goes on behind the last event."""

FORGET_AFTER_NS = 600 * 1_000_000_000
"""How long a closed instrument stays in the caches: late settlements arrive within seconds."""

BREATH_NS = 5_000_000
"""How long the paced pump may keep the loop for itself."""

SLACK_NS = 1_000_000
"""How far ahead of the wall clock it may be."""


class PacedRunner(PaperRunner):
    """A paper account's runner that turns when its pump says so, and never by itself."""

    def __init__(self, **wiring: Any) -> None:
        super().__init__(**wiring)
        self.restless = False
        """Something was reported since the last turn."""
        self.rest_ns = 0
        """When something but the venue is due."""
        self.stirred: Callable[[], object] = lambda: None
        """Called when something waits for the pump."""

    def _turn_soon(self) -> None:
        self._woken = False
        self.restless = True
        self.stirred()

    def _arm(self) -> None:
        self.rest_ns = self._next_ns()

    def _arm_paper(self) -> None:
        """Do nothing: the pump knows when the venue is due."""

    def _asked(self) -> None:
        self.stirred()

    def tick(self) -> None:
        """Do nothing: time is the pump's."""

    def forget(self, instrument: InstrumentId, now_ns: int) -> None:
        """Do nothing: the pump forgets when a replay would."""

    def market(self, events: Iterable[Event], now_ns: int) -> None:
        raise BrokenInvariant(f"a feed told {self.account} {len(tuple(events))} events at {now_ns}")

    @property
    def due_ns(self) -> int:
        venue_ns = self.paper.due_ns
        return self.rest_ns if venue_ns is None or venue_ns > self.rest_ns else venue_ns

    @property
    def still(self) -> bool:
        """True where every request under way waits for the venue's time."""
        return self.sender.under_way == self.door.waiting

    @property
    def asks(self) -> bool:
        return self.restless or not self.still or self.door.asks

    def fire(self, now_ns: int) -> None:
        """Let the sender's time-outs and the timers happen that are due."""
        self._fire(now_ns)

    def advance_sender(self, now_ns: int) -> None:
        due_ns = self.sender.due_ns
        if due_ns is not None and due_ns <= now_ns:
            self.sender.advance()


class PacedPump:
    """Plays one recording to one runner. `speed` times real time; None = as fast as it goes.

    `keep` journals what every account must know, `ended` says that the engine ends, `heard` counts
    events, `wall_ns` is the clock on the wall.
    """

    def __init__(
        self,
        *,
        runner: PacedRunner,
        recorder: Recorder,
        clock: TapeClock,
        keep: Callable[[Event, int], None],
        ended: Callable[[], bool],
        heard: Callable[[int], None],
        wall_ns: Callable[[], int],
    ) -> None:
        self._runner = runner
        self._recorder = recorder
        self._clock = clock
        self._keep = keep
        self._ended = ended
        self._heard = heard
        self._wall_ns = wall_ns
        self._awake = asyncio.Event()
        runner.stirred = self._awake.set
        self._reached_ns = 0
        """Up to when everything that was due has happened."""
        self._closed: deque[tuple[int, InstrumentId]] = deque()
        self._speed: float | None = None
        self._first_ns = 0
        self._started_ns = 0
        self._breath_ns = 0
        self.events = 0
        self.late_ns_max = 0
        """How far the player fell behind its speed at most."""

    # -- the recording -----------------------------------------------------------------------------

    async def play(
        self, recording: Recording, *, cash_micro: int, speed: float | None, stop_after: int = 0
    ) -> None:
        """Play to the end, or `stop_after` events where that is not 0, and a minute of quiet.

        Raises BadInput where the recording is torn, after everything whole before it was told.
        """
        self._speed = speed
        now_ns = 0
        for at_ns, event in recording.events():
            if self._ended():
                return
            now_ns = at_ns
            if not self.events:
                await self._begin(at_ns, cash_micro)
            self.events += 1
            if self._runner.due_ns <= at_ns or self._ahead_ns(at_ns) > SLACK_NS:
                await self._run_until(at_ns)
            self._clock.follow(at_ns)
            await self._feed(event, at_ns)
            if self.events == stop_after:
                break
        if self.events:
            await self._run_until(now_ns + AFTER_NS)

    async def linger(self) -> None:
        """Let time go on without a market for as long as something is asked for: never returns."""
        self._speed = None
        runner = self._runner
        while True:
            await self._settle(self._clock.now_ns())
            if self._ended():
                due_ns = runner.due_ns
                await self._reach(due_ns)
                await self._advance(max(due_ns, self._clock.now_ns()))
                await asyncio.sleep(0)
            else:
                self._awake.clear()
                if not runner.asks:
                    await self._awake.wait()

    async def _begin(self, now_ns: int, cash_micro: int) -> None:
        """Let the bots run and book the cash, as a replay begins."""
        runner, executor = self._runner, self._runner.desk.executor
        self._first_ns, self._started_ns = now_ns, self._wall_ns()
        self._clock.follow(now_ns)
        runner.desk.start(now_ns)
        self._reached_ns = now_ns
        await self._advance(now_ns)
        runner.deliver(
            CashMoved(account=runner.account, currency=executor.currency, amount_micro=cash_micro),
            now_ns,
        )
        await self._settle(now_ns)

    async def _feed(self, event: Event, now_ns: int) -> None:
        """Let the venue hear an event, then the desk."""
        runner = self._runner
        runner.mark(now_ns)
        lasting = type(event) in LASTING
        if lasting:
            self._keep(event, now_ns)
        outputs = runner.paper.hear(event, now_ns)
        for output in outputs:
            await self._take(output, now_ns)
        if runner.desk.heard((event,), now_ns) or outputs:
            await self._settle(now_ns)
        self._heard(1)
        if lasting and isinstance(event, InstrumentClosed):
            self._forget_closed(event.instrument, now_ns)

    def _forget_closed(self, instrument: InstrumentId, now_ns: int) -> None:
        """Drop markets that are long over; one that is held keeps its last mark."""
        self._closed.append((now_ns + FORGET_AFTER_NS, instrument))
        runner = self._runner
        while self._closed and self._closed[0][0] <= now_ns:
            _, over = self._closed.popleft()
            runner.desk.receive(Forgot(runner.account, over, marked=True), now_ns)

    # -- time --------------------------------------------------------------------------------------

    async def _run_until(self, now_ns: int) -> None:
        """Let everything happen that is due at or before `now_ns`, in order and in time."""
        runner = self._runner
        leaps_ns = self._reached_ns + SILENCE_NS_MAX
        while not self._ended():
            due_ns = runner.due_ns
            at_ns = due_ns if due_ns <= leaps_ns else now_ns
            if not await self._reach(min(at_ns, now_ns)):
                await self._settle(self._clock.now_ns())
                continue
            if due_ns > now_ns:
                return
            await self._advance(at_ns)
            self._reached_ns = now_ns

    async def _advance(self, now_ns: int) -> None:
        runner, paper = self._runner, self._runner.paper
        self._clock.follow(now_ns)
        if paper.due_ns is not None and paper.due_ns <= now_ns:
            for output in paper.advance(now_ns):
                await self._take(output, now_ns)
        runner.advance_sender(now_ns)
        await self._rest(now_ns)
        runner.fire(now_ns)
        await self._settle(now_ns)

    def _ahead_ns(self, at_ns: int) -> int:
        """Return how long the wall clock still needs until a moment of the recording."""
        if self._speed is None:
            return 0
        wall_ns = self._wall_ns() - self._started_ns
        ahead_ns = int((at_ns - self._first_ns) / self._speed) - wall_ns
        self.late_ns_max = max(self.late_ns_max, -ahead_ns)
        return ahead_ns

    async def _reach(self, at_ns: int) -> bool:
        """Wait for the wall clock; False = something was asked in the meantime."""
        ahead_ns = self._ahead_ns(at_ns)
        if ahead_ns > SLACK_NS:
            self._awake.clear()
            if self._runner.asks:
                return False
            try:
                await asyncio.wait_for(self._awake.wait(), ahead_ns / 1e9)
            except TimeoutError:
                self._breath_ns = self._wall_ns() + BREATH_NS
                return True
            return False
        if self._wall_ns() >= self._breath_ns:
            await asyncio.sleep(0)
            self._breath_ns = self._wall_ns() + BREATH_NS
        return True

    # -- one moment --------------------------------------------------------------------------------

    async def _settle(self, now_ns: int) -> None:
        runner = self._runner
        runner.restless = False
        runner.settle(now_ns)
        await self._rest(now_ns)
        while runner.restless:
            runner.restless = False
            runner.settle(now_ns)
            await self._rest(now_ns)

    async def _rest(self, now_ns: int) -> None:
        """Wait for journal and sender; hand the venue what was asked, in the gateway's order."""
        runner = self._runner
        while True:
            tries = 0
            while not runner.still:
                tries += 1
                await self._let_work(tries)
            asked = runner.door.take_asked()
            if not asked:
                return
            for request in asked:
                for output in runner.paper.request(request, now_ns):
                    await self._take(output, now_ns)

    async def _let_work(self, tries: int) -> None:
        if tries % 4:
            await asyncio.sleep(0)
            return
        try:
            await asyncio.wrap_future(self._recorder.commit())
        except StorageError:
            await asyncio.sleep(0)  # the sender hears the same and says that nothing was sent

    async def _take(self, output: VenueOutput, now_ns: int) -> None:
        if type(output) is Reply:
            self._runner.door.answer(output)
            await self._rest(now_ns)
        else:
            self._runner.deliver(output, now_ns)  # type: ignore[arg-type]
