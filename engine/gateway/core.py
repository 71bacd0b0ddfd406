"""The gateway's core: decides when a request leaves, cancels first. It never decides what.

Two lanes (law C). Safety: CANCEL_ALL goes first, drops every queued place of its scope, is not
rate limited and waits for nothing; a place of the scope that was in flight then gets a second
CANCEL_ALL when it answers or times out. Places: a number in flight, a bucket, and one veto: while
the KILL latch is set, or the venue's mode forbids it, no place leaves.

Sans I/O: call `receive` with each effect, reply or engine event and send the requests it returns,
in order; call `advance` when `due_ns` has come. After either, drain `take_reports` (what the
executor must hear) and `take_alerts` (what a person must hear).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from engine.domain.effects import (
    AnyEffect,
    CancelAll,
    CancelOrders,
    KeepBudget,
    KeepStart,
    OrderChanged,
    PlaceOrder,
    QueryBalances,
    QueryFills,
    QueryOpenOrders,
    QueryOperation,
    QueryOrder,
    QueryRedemptions,
    RaiseAlert,
)
from engine.domain.events import (
    BalancesListed,
    FillsListed,
    LatchReleased,
    LatchSet,
    ModeChanged,
    OpenOrdersListed,
    OperationNotFound,
    OrderNotFound,
    PositionsListed,
    QueryFailed,
    RedemptionsListed,
    VenueEvent,
)
from engine.domain.instruments import AccountId
from engine.domain.settings import GatewaySettings
from engine.errors import BrokenInvariant
from engine.gateway.door import Reply, Request
from engine.gateway.lanes import RequestOutbox
from engine.gateway.places import PlacesLane
from engine.gateway.safety import EVERYTHING, WALLET, Query, SafetyLane

__all__ = ["ACCEPTED", "GatewayCore", "GatewaySettings"]

ACCEPTED = frozenset(
    {
        PlaceOrder,
        CancelOrders,
        CancelAll,
        QueryOrder,
        QueryOpenOrders,
        QueryFills,
        QueryBalances,
        QueryRedemptions,
        QueryOperation,
        *WALLET,
    }
)
"""Effects that are requests to a venue."""

ANSWERS = frozenset(
    {
        OpenOrdersListed,
        OrderNotFound,
        OperationNotFound,
        FillsListed,
        BalancesListed,
        PositionsListed,
        RedemptionsListed,
        QueryFailed,
    }
)
"""Events that carry the number of the question they answer."""

GatewayMessage = AnyEffect | Reply | LatchSet | LatchReleased | ModeChanged


class GatewayCore:
    """Both lanes of one account. Deterministic in its inputs."""

    def __init__(
        self, *, account: AccountId, settings: GatewaySettings, latched: bool = False
    ) -> None:
        self.account = account
        self.outbox = RequestOutbox(account)
        """Its `news` says where reports or alerts wait to be drained."""
        self._places = PlacesLane(account, settings, self.outbox, latched=latched)
        self._safety = SafetyLane(account, settings, self.outbox)
        self._stale_due = False
        self._due_ns: int | None = None
        self._handlers: dict[type, Callable[[Any, int], list[Request]]] = {
            PlaceOrder: self._places.place,
            Reply: self.over,
            CancelOrders: self._cancel,
            CancelAll: self._cancel_all,
            QueryOrder: self._query,
            QueryOpenOrders: self._query,
            QueryFills: self._query,
            QueryBalances: self._query,
            QueryRedemptions: self._query,
            QueryOperation: self._query,
            **dict.fromkeys(WALLET, self._query),
            LatchSet: self._latch,
            LatchReleased: self._latch,
            ModeChanged: self._mode,
            KeepBudget: lambda _, __: [],  # it has reached its end: the journal has it
            KeepStart: lambda _, __: [],  # likewise
            OrderChanged: lambda _, __: [],  # likewise
        }

    def receive(self, message: GatewayMessage, now_ns: int) -> list[Request]:
        """Take an effect, a reply, the latch or the venue's mode; return what to send, in order.

        Raises BrokenInvariant on an effect that is no request (see `accepts`), on one of another
        account, and on an order that is placed twice.
        """
        try:
            handler = self._handlers[type(message)]
        except KeyError:
            text = f"{type(message).__name__} is not a request to a venue"
            raise BrokenInvariant(text) from None
        self._stale_due = True
        return handler(message, now_ns)

    def answers(self, reply: Reply) -> tuple[VenueEvent, ...]:
        """Return what a reply proved, for the executor; call it before `over`.

        An answer carries the number of its question. One whose question was given up carries none:
        it proves what it contains, and nothing of what it lacks.
        """
        if not self._safety.asking or not (number := self._safety.number_of(reply.number)):
            return reply.events
        return tuple(
            msgspec.structs.replace(event, answers=number) if type(event) in ANSWERS else event
            for event in reply.events
        )

    def over(self, reply: Reply, now_ns: int) -> list[Request]:
        """Take the end of a request, as `receive` does; return what may be sent because of it."""
        number, places = reply.number, self._places
        self._stale_due = True
        if not (
            places.answer(reply, now_ns)
            or self._safety.answer(reply, now_ns)
            or 0 < number <= self.outbox.number  # it timed out long ago
        ):
            raise BrokenInvariant(f"a reply to request {number}, which was never made")
        if ModeChanged in map(type, reply.events):
            for event in reply.events:
                if type(event) is ModeChanged:
                    places.mode(event, now_ns)
        return self._flow(now_ns)

    def veto(self, request: Request, now_ns: int) -> str:
        """Return why a request handed out earlier must not leave any more; empty = it may.

        For senders that wait between `receive` and the first byte (a journal's commit): latch,
        CANCEL_ALL or the timeout may have come in between.
        """
        if isinstance(request.effect, PlaceOrder):
            return self._places.veto_in_flight(request.number, request.effect.order, now_ns)
        return ""

    @property
    def due_ns(self) -> int | None:
        """When `advance` has something to do; None = nothing waits for time."""
        if self._stale_due:
            self._stale_due = False
            due = self._places.due_ns
            other = self._safety.due_ns
            self._due_ns = other if due is None or (other is not None and other < due) else due
        return self._due_ns

    def advance(self, now_ns: int) -> list[Request]:
        """Let time pass: timeouts, refilled buckets, ended waits. Return what to send."""
        self._stale_due = True
        self._safety.expire(now_ns)
        self._places.expire(now_ns)
        return self._flow(now_ns)

    @property
    def places_in_flight(self) -> int:
        """How many places were sent and have neither answered nor timed out."""
        return self._places.in_flight

    def take_reports(self) -> list[VenueEvent]:
        """Hand out, once, what the executor must hear: not sent, unanswered, failed."""
        return self.outbox.take_reports()

    def take_alerts(self) -> list[RaiseAlert]:
        """Hand out, once, what the operator must hear."""
        return self.outbox.take_alerts()

    # -- handlers ----------------------------------------------------------------------------------

    def _flow(self, now_ns: int) -> list[Request]:
        """Send all that may leave now: second CANCEL_ALLs, safety, places."""
        requests: list[Request] = []
        places, safety = self._places, self._safety
        if places.followups:
            scopes = dict.fromkeys(places.followups)
            places.followups.clear()
            requests += [safety.cancel_all(scope, now_ns) for scope in scopes]
        if safety.again or safety.cancels or safety.queries:
            requests += safety.pump(now_ns)
        if places.queue or places.halt:
            requests += places.pump(now_ns)
        return requests

    def _cancel(self, effect: CancelOrders, now_ns: int) -> list[Request]:
        if effect.account != self.account:
            self._check(effect.account)
        places, safety = self._places, self._safety
        orders = effect.orders
        if places.queue or places.flying:
            orders = tuple(order for order in orders if not places.drop(order))
        if len(orders) == len(effect.orders):
            request = safety.cancel_now(effect, now_ns)
            if request is not None:
                return [request]
        requests: list[Request] = []
        for order in orders:
            if not safety.cancel(order):
                places.drop_scope(EVERYTHING)
                requests.append(safety.cancel_all(EVERYTHING, now_ns))
        return requests + self._flow(now_ns)

    def _cancel_all(self, effect: CancelAll, now_ns: int) -> list[Request]:
        self._check(effect.account)
        self._places.drop_scope(effect.scope)
        return [self._safety.cancel_all(effect.scope, now_ns), *self._flow(now_ns)]

    def _query(self, effect: Query, now_ns: int) -> list[Request]:
        self._check(effect.account)
        self._safety.query(effect)
        return self._flow(now_ns)

    def _latch(self, event: LatchSet | LatchReleased, now_ns: int) -> list[Request]:
        self._places.latch(latched=type(event) is LatchSet)
        return self._flow(now_ns)

    def _mode(self, event: ModeChanged, now_ns: int) -> list[Request]:
        self._check(event.account)
        self._places.mode(event, now_ns)
        return self._flow(now_ns)

    def _check(self, account: AccountId) -> None:
        if account != self.account:
            raise BrokenInvariant(f"a request of {account} reached the gateway of {self.account}")
