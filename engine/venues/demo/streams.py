"""The demo exchange's two streams, from frames to the shells, for as long as the engine lives.

The market's is public: it names no account, and a paper account receives nothing else. A broken
stream is said at once (nothing is placed while blind), then tried again. After the stream of an
account was away, its executor starts over: everything is asked before anything is placed. A frame
holds our own events, which tape and journal have as what each account was given: it is not taped
itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any

from engine.domain import events as ev
from engine.domain.instruments import InstrumentId
from engine.errors import AuthRefused, BadInput, NotSent, OutcomeUnknown, PitbossError
from engine.runtime.account_runner import AccountRunner, Meter
from engine.runtime.services import HEARTBEAT, USER_FEED, Services
from engine.venues.demo import wire
from engine.venues.demo.client import DemoMarket, DemoVenue

FEED = "demo"
RETRY_S = 0.25
HEARTBEAT_EVERY_S = 2.0
LASTING = (ev.InstrumentListed, ev.InstrumentClosed, ev.InstrumentResolved, ev.StrikeProven)
"""Market events the journal keeps: without them what is held could not be valued."""

GIVEN_AT_ONCE = 50
"""Events times accounts that one step of the loop gives out, some 20 µs each: a frame holds
what happened in all markets, and a new connection's first one the markets themselves."""

BREAKS = (NotSent, OutcomeUnknown, AuthRefused, BadInput)


async def _listen(
    frames: Callable[[], AsyncIterator[bytes]],
    take: Callable[[bytes], Awaitable[None]],
    lost: Callable[[str], None],
) -> None:
    """Hand over frames until cancelled; where the stream breaks, say why and try again."""
    while True:
        try:
            async for raw in frames():
                await take(raw)
            reason = "the stream ended"
        except BREAKS as error:
            reason = str(error)
        lost(reason)
        await asyncio.sleep(RETRY_S)


class MarketStream:
    """The market of one exchange, for every account that trades there.

    `journaled` False = somebody else's stream puts the same into the journal and among the ticks.
    """

    def __init__(
        self, services: Services, runners: Callable[[], list[Any]], *, journaled: bool = True
    ) -> None:
        self._services = services
        self._meter = services.meter if journaled else Meter()  # what is received twice counts once
        self._runners = runners
        self._journaled = journaled
        self._open: dict[InstrumentId, None] = {}
        self._lasting: dict[tuple[str, str], ev.Event] = {}
        self.connected = False
        self.received_ns = 0

    async def run(self, market: DemoMarket) -> None:
        """Listen until cancelled."""
        await _listen(market.listen, self._take, self._lost)

    def _lost(self, reason: str) -> None:
        if self.connected:
            self.connected = False
            self._publish((ev.FeedLost(feed=FEED, instrument=None, reason=reason),))

    async def _take(self, raw: bytes) -> None:
        now_ns = self._services.clock.now_ns()
        events: tuple[ev.Event, ...] = wire.unpack_market(raw).events
        self.received_ns = now_ns
        if not self.connected:
            self.connected = True
            events = (ev.FeedRestored(feed=FEED, instrument=None), *events)
        if not events:
            # The stream is ordered and whole: a keepalive proves every book as it was last sent.
            events = tuple(ev.BookProven(instrument=key) for key in self._open)
        self._meter.events(len(events))
        accounts = len(self._runners())
        at_once = max(1, GIVEN_AT_ONCE // max(1, accounts))
        for end in range(at_once, len(events) + at_once, at_once):
            self._give(events[end - at_once : end])
            if accounts > 1 or end < len(events):
                await asyncio.sleep(0)  # the next frame may be here already, and more of them

    def _give(self, events: tuple[ev.Event, ...]) -> None:
        """Journal what lasts, and give all to every account."""
        now_ns = self._services.clock.now_ns()
        for event in events:
            if isinstance(event, LASTING):
                self._journal(event, now_ns)
            elif isinstance(event, ev.BookReplaced):
                self._open[event.instrument] = None
        self._publish(events)

    def _journal(self, event: ev.Event, now_ns: int) -> None:
        """Journal what lasts, once: a new connection tells everything again."""
        listed = isinstance(event, ev.InstrumentListed)
        key = event.instrument.id if listed else event.instrument  # type: ignore[attr-defined]
        if not listed and not isinstance(event, ev.StrikeProven):
            self._open.pop(key, None)
        place = (type(event).__name__, str(key))
        if self._lasting.get(place) == event:
            return
        if len(self._lasting) > 20_000:
            self._lasting.clear()
        self._lasting[place] = event
        if self._journaled:
            self._services.journal(event, now_ns)

    def _publish(self, events: tuple[ev.Event, ...]) -> None:
        now_ns = self._services.clock.now_ns()
        for runner in self._runners():
            runner.market(events, now_ns)
        if self._journaled and self._services.ticks is not None:
            self._services.ticks.market(events, now_ns)


class UserStream:
    """What the exchange tells one account, and the account's heartbeat."""

    def __init__(self, services: Services, runner: AccountRunner, venue: DemoVenue) -> None:
        self._services = services
        self._runner = runner
        self._venue = venue
        self.connected = False
        self._heartbeat_healthy = False

    def health(self, source: str, reason: str) -> ev.HealthChanged:
        account = self._runner.account
        return ev.HealthChanged(account=account, source=source, healthy=not reason, reason=reason)

    async def run(self) -> None:
        """Listen until cancelled."""
        await _listen(partial(self._venue.listen, wire.USER), self._take, self._lost)

    def _lost(self, reason: str) -> None:
        if self.connected:
            self.connected = False
            self._runner.report(self.health(USER_FEED, reason))

    async def _take(self, raw: bytes) -> None:
        runner = self._runner
        now_ns = self._services.clock.now_ns()
        if not self.connected:
            self.connected = True
            runner.deliver(self.health(USER_FEED, ""), now_ns)
            runner.start_over(now_ns)
        events = wire.unpack_user(raw).events
        for event in events:
            runner.deliver(event, now_ns)
        if events:
            runner.settle(now_ns)

    async def heartbeat(self) -> None:
        """Beat until cancelled; a missed beat forbids placing (law M)."""
        missed = 0
        while True:
            try:
                await self._venue.send_heartbeat()
                missed = 0
            except PitbossError as error:
                missed += 1
                reason = str(error)
            if not missed and not self._heartbeat_healthy:
                self._heartbeat_healthy = True
                self._runner.report(self.health(HEARTBEAT, ""))
            elif missed > 1 and self._heartbeat_healthy:
                self._heartbeat_healthy = False
                self._runner.report(self.health(HEARTBEAT, f"missed: {reason}"))
            await asyncio.sleep(HEARTBEAT_EVERY_S)
