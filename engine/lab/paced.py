"""The paced pump: a recording on the live loop, with runner, sender, journal and pages as ever.

Time stands still until the moment has come to rest: the journal has committed, what was asked has
reached the venue, nothing asks for another turn. So what is decided does not depend on how fast
the wall clock runs meanwhile. Within a moment things have the order of `lab.pump`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from engine.clock import TapeClock
from engine.domain.events import CashMoved, Event, InstrumentClosed
from engine.domain.inputs import InstrumentForgotten
from engine.domain.instruments import InstrumentId
from engine.errors import BrokenInvariant, StorageError
from engine.gateway.door import Reply, VenueOutput
from engine.lab.pump import AFTER_NS, FORGET_AFTER_NS, LASTING, SILENCE_NS_MAX
from engine.lab.recordings.door import Recording
from engine.runtime.journal import Recorder
from engine.venues.paper.runner import PaperRunner

YIELD_EVERY_NS = 5_000_000
"""How long the paced pump may keep the loop for itself."""

SLACK_NS = 1_000_000
"""How far ahead of the wall clock it may be."""


class PacedRunner(PaperRunner):
    """A paper account's runner that turns when its pump says so, and never by itself."""

    def __init__(self, **wiring: Any) -> None:
        super().__init__(**wiring)
        self.pending = False
        """Something was reported since the last turn."""
        self.own_due_ns = 0
        """When something but the venue is due."""
        self.on_change: Callable[[], object] = lambda: None
        """Called when something waits for the pump."""

    def _turn_soon(self) -> None:
        self._woken = False
        self.pending = True
        self.on_change()

    def _arm(self) -> None:
        self.own_due_ns = self._next_ns()

    def _arm_paper(self) -> None:
        """Do nothing: the pump knows when the venue is due."""

    def _on_request(self) -> None:
        self.on_change()

    def tick(self) -> None:
        """Do nothing: time is the pump's."""

    def forget(self, instrument: InstrumentId, now_ns: int) -> None:
        """Do nothing: the pump forgets when a replay would."""

    def market(self, events: Iterable[Event], now_ns: int) -> None:
        raise BrokenInvariant(f"a feed gave {self.account} {len(tuple(events))} events at {now_ns}")

    @property
    def due_ns(self) -> int:
        venue_ns = self.paper.due_ns
        return self.own_due_ns if venue_ns is None or venue_ns > self.own_due_ns else venue_ns

    @property
    def idle(self) -> bool:
        """True where every request under way waits for the venue's time."""
        return self.sender.under_way == self.door.waiting

    @property
    def has_work(self) -> bool:
        return self.pending or not self.idle or self.door.has_requests

    def fire(self, now_ns: int) -> None:
        """Let the sender's time-outs and the timers happen that are due."""
        self._fire(now_ns)

    def advance_sender(self, now_ns: int) -> None:
        due_ns = self.sender.due_ns
        if due_ns is not None and due_ns <= now_ns:
            self.sender.advance()


class PacedPump:
    """Plays one recording to one runner. `speed` times real time; None = as fast as it goes.

    `keep` journals what every account must know, `ended` says that the engine ends, `received`
    counts events, `wall_ns` is the clock on the wall.
    """

    def __init__(
        self,
        *,
        runner: PacedRunner,
        recorder: Recorder,
        clock: TapeClock,
        keep: Callable[[Event, int], None],
        ended: Callable[[], bool],
        received: Callable[[int], None],
        wall_ns: Callable[[], int],
    ) -> None:
        self._runner = runner
        self._recorder = recorder
        self._clock = clock
        self._keep = keep
        self._ended = ended
        self._received = received
        self._wall_ns = wall_ns
        self._awake = asyncio.Event()
        runner.on_change = self._awake.set
        self._reached_ns = 0
        """Up to when everything that was due has happened."""
        self._closed: deque[tuple[int, InstrumentId]] = deque()
        self._speed: float | None = None
        self._first_ns = 0
        self._started_ns = 0
        self._yield_ns = 0
        self.events = 0
        self.late_ns_max = 0
        """How far the player fell behind its speed at most."""

    # -- the recording -----------------------------------------------------------------------------

    async def play(
        self, recording: Recording, *, cash_micro: int, speed: float | None, stop_after: int = 0
    ) -> None:
        """Play to the end, or `stop_after` events where that is not 0, and a minute of quiet.

        Raises BadInput where the recording is torn, after everything whole before it was played.
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

    async def run_on(self) -> None:
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
                if not runner.has_work:
                    await self._awake.wait()

    async def _begin(self, now_ns: int, cash_micro: int) -> None:
        """Let the bots run and book the cash, as a replay begins."""
        runner, executor = self._runner, self._runner.core.executor
        self._first_ns, self._started_ns = now_ns, self._wall_ns()
        self._clock.follow(now_ns)
        runner.core.start(now_ns)
        self._reached_ns = now_ns
        await self._advance(now_ns)
        runner.deliver(
            CashMoved(account=runner.account, currency=executor.currency, amount_micro=cash_micro),
            now_ns,
        )
        await self._settle(now_ns)

    async def _feed(self, event: Event, now_ns: int) -> None:
        """Let the venue receive an event, then the desk."""
        runner = self._runner
        runner.mark(now_ns)
        lasting = type(event) in LASTING
        if lasting:
            self._keep(event, now_ns)
        outputs = runner.paper.receive(event, now_ns)
        for output in outputs:
            await self._take(output, now_ns)
        if runner.core.received((event,), now_ns) or outputs:
            await self._settle(now_ns)
        self._received(1)
        if lasting and isinstance(event, InstrumentClosed):
            self._forget_closed(event.instrument, now_ns)

    def _forget_closed(self, instrument: InstrumentId, now_ns: int) -> None:
        """Drop markets that are long over; one that is held keeps its last mark."""
        self._closed.append((now_ns + FORGET_AFTER_NS, instrument))
        runner = self._runner
        while self._closed and self._closed[0][0] <= now_ns:
            _, over = self._closed.popleft()
            runner.core.receive(InstrumentForgotten(runner.account, over, marked=True), now_ns)

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
            if self._runner.has_work:
                return False
            try:
                await asyncio.wait_for(self._awake.wait(), ahead_ns / 1e9)
            except TimeoutError:
                self._yield_ns = self._wall_ns() + YIELD_EVERY_NS
                return True
            return False
        if self._wall_ns() >= self._yield_ns:
            await asyncio.sleep(0)
            self._yield_ns = self._wall_ns() + YIELD_EVERY_NS
        return True

    # -- one moment --------------------------------------------------------------------------------

    async def _settle(self, now_ns: int) -> None:
        runner = self._runner
        runner.pending = False
        runner.settle(now_ns)
        await self._rest(now_ns)
        while runner.pending:
            runner.pending = False
            runner.settle(now_ns)
            await self._rest(now_ns)

    async def _rest(self, now_ns: int) -> None:
        """Wait for journal and sender; hand the venue what was asked, in the gateway's order."""
        runner = self._runner
        while True:
            tries = 0
            while not runner.idle:
                tries += 1
                await self._let_work(tries)
            asked = runner.door.take_requests()
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
            await asyncio.sleep(0)  # the sender receives the same and says that nothing was sent

    async def _take(self, output: VenueOutput, now_ns: int) -> None:
        if type(output) is Reply:
            self._runner.door.answer(output)
            await self._rest(now_ns)
        else:
            self._runner.deliver(output, now_ns)  # type: ignore[arg-type]
