"""The line between one life of an engine and the exchange, with everything that goes wrong on it.

To the gateway's sender it is a `Venue`, to the demo exchange's user stream its client: requests
leave, answers and reports come back. Each way has latencies of its own, so that they race.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from enum import StrEnum
from random import Random
from typing import Any

from engine.domain import effects as fx
from engine.domain import events as ev
from engine.domain.orders import Order, OrderId
from engine.errors import NotSent, OutcomeUnknown, PitbossError, Throttled, VenueClosed
from engine.gateway.door import OnNamed, Prepared
from engine.lab.simulate.faults import Fault, Faults
from engine.lab.simulate.process import EngineDied, Process
from engine.lab.simulate.venue_side import VenueSide
from engine.runtime.effect_door import EffectDoor
from engine.venues.demo import wire

MS = 1_000_000
S = 1_000 * MS
OPEN_S = 0.05
"""How long it takes to connect."""

GIVEN_UP_NS = 30 * S
"""After how long a connection without an answer is cut."""

SLOW_MS = (50, 800)
"""How much longer an order is on its way whose engine ends meanwhile; listings are 1 s apart."""

IMPATIENT = (Fault.CLOCK_JUMP, Fault.CRASH, Fault.CRASH_SENDING, Fault.SECOND_ENGINE)
DOES = fx.PlaceOrder | fx.CancelOrders | fx.CancelAll

Later = Callable[[int, Callable[[], None]], None]
Said = tuple[ev.VenueEvent, ...] | PitbossError


class Redeeming(StrEnum):
    """Steps of an operation of the wallet with which an engine may die."""

    ASKED = "asked"
    """Its name is durable, no byte has left."""
    SUBMITTED = "submitted"
    MINED = "mined"
    PAID = "paid"


class Network(EffectDoor):
    """One life's connections."""

    def __init__(
        self,
        side: VenueSide,
        process: Process,
        *,
        faults: Faults,
        random: Random,
        later: Later,
        leaves: Callable[[Order | fx.AnyWalletEffect], None],
    ) -> None:
        super().__init__(side.account)
        self.sending_dies = False
        """The next place dies between the journal's commit and the first byte."""
        self._sending_fails: Callable[[], None] | None = None
        self.redeeming_dies: Redeeming | None = None
        """The engine dies with this step of a redemption; None = with none."""
        self.heartbeats_on = True
        """False while heartbeats are lost."""
        self.prepare = side.prepare
        self._side = side
        self._process = process
        self._faults = faults
        self._random = random
        self._later = later
        self._leaves = leaves
        self._frames: deque[ev.VenueEvent] = deque()
        self._received: asyncio.Future[None] | None = None
        self._epoch = 0
        """Counts user streams: what an earlier one had on its way is gone."""
        self._listens = False
        self._away_until_ns = 0
        self._acked: set[OrderId] = set()
        self._ended: set[OrderId] = set()

    # -- a venue -----------------------------------------------------------------------------------

    async def send(self, prepared: Prepared) -> Sequence[ev.VenueEvent]:
        """Send an order. Raises EngineDied where the engine ends before the first byte."""
        if self.sending_dies:
            self.sending_dies = False
            raise EngineDied
        self._leaves(prepared.order)
        slow_ns = 0
        if self._sending_fails is not None:
            fails, self._sending_fails = self._sending_fails, None
            fails()
            slow_ns = self._random.randint(*SLOW_MS) * MS
        return await self.ask(fx.PlaceOrder(order=prepared.order), slow_ns)

    def fail_sending(self, fails: Callable[[], None] | None) -> None:
        """Call this as the next place leaves, which is longer on its way; None = do not."""
        self._sending_fails = fails

    async def operate(self, asked: fx.AnyWalletEffect, named: OnNamed) -> Sequence[ev.VenueEvent]:
        """Submit an operation. Raises EngineDied where the engine ends before the first byte."""
        self._die_with(Redeeming.ASKED)
        self._leaves(asked)
        return await super().operate(asked, named)

    async def close(self) -> None:
        """Nothing is held."""

    # -- what only this venue has ------------------------------------------------------------------

    async def open(self) -> None:
        await asyncio.sleep(OPEN_S)

    async def send_heartbeat(self) -> None:
        """Say that we live; the first time arms the exchange's dead-man switch."""
        if not self.heartbeats_on:
            raise OutcomeUnknown("the beat was lost")
        self._side.heartbeat(self._now())

    async def listen(self, path: str) -> AsyncIterator[bytes]:
        """Give what the exchange tells the account, until the stream is lost. Raises NotSent."""
        del path
        if self._now() < self._away_until_ns:
            raise NotSent("connection refused")
        self._listens = True
        self._frames.append(
            ev.ModeChanged(account=self._side.account, mode=self._side.exchange.guard.mode)
        )
        epoch = self._epoch
        while True:
            while self._frames:
                event: Any = self._frames.popleft()
                self._observe(event)
                self._die_with(_step_of(event))
                yield wire.pack(wire.ExchangeUserFrame(at_ns=self._now(), events=(event,)))
            if epoch != self._epoch and self._now() >= self._silent_until_ns:
                raise NotSent("the stream ended")
            self._received = self._process.create_future()
            await self._received

    # -- there -------------------------------------------------------------------------------------

    def _now(self) -> int:
        return self._side.exchange.now_ns

    async def ask(self, effect: fx.AnyEffect, slow_ns: int = 0) -> tuple[ev.VenueEvent, ...]:
        """Ask the exchange; `slow_ns` = so much longer on its way. Raises as every venue does."""
        faults, random, now_ns = self._faults, self._random, self._now()
        if faults.hit(Fault.REFUSED_LINE):
            raise NotSent("connection refused")
        trip_ns = random.randint(5, 60) * MS + slow_ns
        if faults.hit(Fault.THROTTLED):
            wait_ns = random.choice((200, 1_000, 3_000)) * MS
            await asyncio.sleep(2 * trip_ns / S)
            raise Throttled("HTTP 429", wait_ns)
        if isinstance(effect, fx.PlaceOrder):
            self._side.waiting.pop(effect.order.id, None)
        answer: asyncio.Future[tuple[ev.VenueEvent, ...]] = self._process.create_future()
        if faults.hit(Fault.LOST_BEFORE):
            self._lose(answer)
            return await answer
        if faults.hit(Fault.LATE_REQUEST):
            # After a leap of the clock or a restart an engine's patience is its grace period alone.
            most = 4_500 if any(faults.rate(fault) for fault in IMPATIENT) else 8_000
            trip_ns += random.randint(500, most) * MS
        if isinstance(effect, fx.PlaceOrder):
            self._side.in_flight[effect.order.id] = effect.order
        self._later(now_ns + trip_ns, lambda: self._arrive(effect, answer))
        return await answer

    def _arrive(
        self, effect: fx.AnyEffect, answer: asyncio.Future[tuple[ev.VenueEvent, ...]]
    ) -> None:
        """Do the request at the exchange and send the answer back, if the line lets it."""
        faults, now_ns = self._faults, self._now()
        failed = OutcomeUnknown("HTTP 500")
        if out := self._side.outage.says(effect, now_ns):
            self._lose(answer) if out == "silence" else self._back(answer, failed)
            return
        if isinstance(effect, fx.PlaceOrder):
            self._side.in_flight.pop(effect.order.id, None)
        elif not isinstance(effect, DOES) and faults.hit(Fault.QUESTION_FAILED):
            self._back(answer, failed)
            return
        broken = faults.hit(Fault.BROKEN)
        if broken and self._random.random() < 0.5:
            self._back(answer, failed)
            return
        said: Said
        try:
            said = tuple(self._side.do(effect, now_ns))
        except VenueClosed as closed:
            said = closed
        self._back(answer, failed if broken else said, twice=isinstance(effect, DOES))

    # -- and back ----------------------------------------------------------------------------------

    def _lose(self, answer: asyncio.Future[tuple[ev.VenueEvent, ...]]) -> None:
        late = OutcomeUnknown("no answer")
        self._later(self._now() + GIVEN_UP_NS, lambda: self._answer(answer, late))

    def _back(
        self, answer: asyncio.Future[tuple[ev.VenueEvent, ...]], said: Said, *, twice: bool = False
    ) -> None:
        faults, random = self._faults, self._random
        if self._process.dead:
            return
        if faults.hit(Fault.LOST_AFTER):
            self._lose(answer)
            return
        at_ns = self._now() + random.randint(5, 120) * MS
        if faults.hit(Fault.LATE_ANSWER):
            at_ns += random.randint(5_100, 20_000) * MS
        elif faults.hit(Fault.REORDERED):
            at_ns += random.randint(50, 900) * MS
        self._later(at_ns, lambda: self._answer(answer, said))
        if twice and isinstance(said, tuple) and self._listens and faults.hit(Fault.TWICE):
            for event in said:
                self._deliver_at(event, at_ns + random.randint(1, 2_000) * MS)

    def _answer(self, answer: asyncio.Future[tuple[ev.VenueEvent, ...]], said: Said) -> None:
        if self._process.dead or answer.done():
            return
        if isinstance(said, tuple):
            for event in said:
                self._observe(event)
                if step := _step_of(event):
                    self._process.within(self._die_with, step)
            answer.set_result(said)
        else:
            answer.set_exception(said)

    # -- the user stream ---------------------------------------------------------------------------

    def report(self, event: ev.VenueEvent) -> None:
        """Take what the exchange tells by itself, if the user stream delivers."""
        faults, random = self._faults, self._random
        if self._process.dead or not self._listens:
            return
        if not isinstance(event, ev.ModeChanged) and faults.hit(Fault.REPORT_LOST):
            return
        at_ns = self._now() + random.randint(3, 90) * MS
        if faults.hit(Fault.REPORT_LATE):
            at_ns += random.randint(200, 6_000) * MS
        self._deliver_at(event, at_ns)
        if faults.hit(Fault.REPORT_TWICE):
            self._deliver_at(event, at_ns + random.randint(1, 4_000) * MS)

    def _deliver_at(self, event: ev.VenueEvent, at_ns: int) -> None:
        epoch = self._epoch
        self._later(at_ns, lambda: self._deliver(event, epoch))

    def _deliver(self, event: ev.VenueEvent, epoch: int) -> None:
        if epoch == self._epoch and not self._process.dead:
            self._frames.append(event)
            self._wake()

    def _wake(self) -> None:
        received = self._received
        if received is not None and not received.done() and not self._process.dead:
            received.set_result(None)

    def lose(self, *, silent_ns: int, pause_ns: int) -> None:
        """Lose the user stream; it is noticed after `silent_ns`, and back after a pause."""
        if not self._listens:
            return
        self._listens = False
        self._epoch += 1
        self._silent_until_ns = self._now() + silent_ns
        self._away_until_ns = self._silent_until_ns + pause_ns
        self._later(self._silent_until_ns, self._wake)

    def _die_with(self, step: Redeeming | None) -> None:
        """Die with this step of a redemption, where that was wanted, before it is received."""
        if step is not None and self.redeeming_dies is step:
            self.redeeming_dies = None
            raise EngineDied

    def _observe(self, event: ev.VenueEvent) -> None:
        """Count what no fault injected: the races."""
        if isinstance(event, ev.OrderFilled):
            if event.order not in self._acked:
                self._faults.seen("fill_before_answer")
            if event.order in self._ended:
                self._faults.seen("fill_after_cancel")
            return
        if isinstance(event, ev.OrderCancelled):
            self._ended.add(event.order)
        order = getattr(event, "order", None)
        if order is not None:
            self._acked.add(order)


def _step_of(event: ev.VenueEvent) -> Redeeming | None:
    if isinstance(event, ev.TokensRedeemed | ev.PairsConverted):
        return Redeeming.PAID
    if not isinstance(event, ev.OperationMoved):
        return None
    return Redeeming.MINED if event.state is ev.OperationState.MINED else Redeeming.SUBMITTED
