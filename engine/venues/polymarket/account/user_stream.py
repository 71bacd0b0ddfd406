"""A live account's user channel, from frames to the account, for as long as the engine lives.

A broken channel is said at once: nothing is placed while blind. Each new connection starts over:
everything is asked, fills with two minutes of overlap, and what the channel tells meanwhile goes
to the executor as it comes. It merges by ids, so nothing needs to wait, and nothing is placed
before the listings are believed.
"""

from __future__ import annotations

import asyncio
from random import Random
from typing import TYPE_CHECKING

import msgspec

from engine.domain.effects import QueryFills, QueryOpenOrders, RaiseAlert, Severity
from engine.domain.events import FillSettled, FillVoided, HealthChanged, OrderCancelled, VenueEvent
from engine.domain.instruments import InstrumentId
from engine.domain.orders import CancelReason
from engine.errors import NotSent, OutcomeUnknown
from engine.runtime.account_runner import AccountRunner
from engine.runtime.services import USER_FEED, Services

if TYPE_CHECKING:
    from engine.venues.polymarket.account.venue import PolymarketVenue

S = 1_000_000_000
TAPE = "polymarket.user"
RETRY_S_MIN = 0.25
RETRY_S_MAX = 8.0
QUIET_NS = 2 * S
"""Pause between two questions because of unreadable frames."""
ALERT_NS = 60 * S
OVERLAP_NS = 120 * S


class PolymarketUser:
    """What the venue tells one account."""

    def __init__(self, services: Services, runner: AccountRunner) -> None:
        self._services = services
        self._runner = runner
        self.connected = False
        self.heard_ns = 0
        """When the last frame came, a PONG too; 0 = none has."""
        self.settled: dict[InstrumentId, None] = {}
        """Markets of which the venue's cached balances are older than a settlement."""
        self._asked_ns = self._alerted_ns = -ALERT_NS
        # Many engines must not come back at the same moment; the same account always does alike.
        self._chance = Random(str(runner.account))  # noqa: S311 nothing secret is drawn

    def health(self, reason: str) -> HealthChanged:
        """Return the reason not to place; empty = there is none."""
        account = self._runner.account
        return HealthChanged(account=account, source=USER_FEED, healthy=not reason, reason=reason)

    async def run(self, venue: PolymarketVenue) -> None:
        """Listen until cancelled."""
        socket, self._frames = venue.user_channel()
        pause_s = RETRY_S_MIN
        while True:
            began_ns = self._services.clock.now_ns()
            try:
                async for text in socket.listen():
                    self._take(text)
                reason = "the stream ended"
            except (NotSent, OutcomeUnknown) as error:
                reason = str(error)
            if self.connected:
                self.connected = False
                self._runner.report(self.health(reason))
            lived_ns = self._services.clock.now_ns() - began_ns
            pause_s = RETRY_S_MIN if lived_ns > 10 * S else min(2 * pause_s, RETRY_S_MAX)
            await asyncio.sleep(pause_s * (0.5 + self._chance.random()))

    def _take(self, text: str) -> None:
        services, runner = self._services, self._runner
        now_ns = self.heard_ns = services.clock.now_ns()
        if not self.connected:
            self.connected = True
            runner.deliver(self.health(""), now_ns)
            runner.start_over(now_ns)
        heard = self._frames.read(text)
        if heard.events or heard.unread:
            services.tape(TAPE, text.encode(), now_ns)
        for event in heard.events:
            runner.deliver(self._known(event), now_ns)
        if heard.unread:
            self._torn(heard.unread, now_ns)
        if heard.events:
            runner.settle(now_ns)

    def _known(self, event: VenueEvent) -> VenueEvent:
        """Add what only the account knows: whose cancel it was, which balance is old now."""
        executor = self._runner.desk.executor
        if type(event) is OrderCancelled and event.reason is CancelReason.ASKED:
            known = executor.record(event.order)
            if known is not None and not known.cancel_asked and not known.state.ended:
                return msgspec.structs.replace(event, reason=CancelReason.VENUE)
        elif type(event) is FillSettled or type(event) is FillVoided:
            fill = executor.ledger.state.fills.unsettled.get(event.fill)
            if fill is not None:
                self.settled[fill.instrument] = None
        return event

    def _torn(self, what: str, now_ns: int) -> None:
        """Ask about what a frame failed to tell, and tell a person."""
        account = self._runner.account
        if now_ns - self._asked_ns >= QUIET_NS:
            self._asked_ns = now_ns
            self._runner.ask(QueryFills(account=account, since_ns=now_ns - OVERLAP_NS), now_ns)
            self._runner.ask(QueryOpenOrders(account=account), now_ns)
        if now_ns - self._alerted_ns >= ALERT_NS:
            self._alerted_ns = now_ns
            text = f"a frame of the user channel cannot be read: {what}; the venue is asked instead"
            alert = RaiseAlert(
                severity=Severity.WARNING, kind="user_frame", text=text, account=account
            )
            self._services.alert(alert, now_ns)
