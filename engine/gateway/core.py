"""The gateway's core: decides when a request leaves, cancels first. It never decides what.

Two lanes (law C). Safety: CANCEL_ALL goes first, drops every queued place of its scope, is not
rate limited and waits for nothing; a place of the scope that was in flight then gets a second
CANCEL_ALL when it answers or times out. Places: a number in flight, a bucket, and one veto: while
the KILL latch is set, or the venue's mode forbids it, no place leaves.

Sans I/O: call `receive` with each effect, reply or engine event and send the requests it returns,
in order; call `advance` when `due_ns` has come. After either, drain `take_reports` (what the
executor must receive) and `take_alerts` (what a person must receive).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from engine.domain.alerts.waits import VENUE_WAITS
from engine.domain.effects import (
    AnyEffect,
    CancelAll,
    CancelOrders,
    CancelScope,
    KeepBudget,
    KeepDifferences,
    KeepStart,
    OrderChanged,
    PlaceOrder,
    RaiseAlert,
    Severity,
    WalletEffect,
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
    OrderNotSent,
    OrderUnanswered,
    PositionsListed,
    QueryFailed,
    RedemptionsListed,
    VenueEvent,
    VenueMode,
)
from engine.domain.instruments import AccountId
from engine.domain.modes import ModeBelief
from engine.domain.orders import Order, OrderId
from engine.domain.settings import GatewaySettings
from engine.errors import BrokenInvariant
from engine.gateway.door import Reply, Request
from engine.gateway.lanes import (
    AGE_NS_MAX,
    EVERYTHING,
    QUERIES,
    TOO_LATE,
    Query,
    RequestOutbox,
    SafetyLane,
    TokenBucket,
)

__all__ = ["GatewayCore", "GatewaySettings", "PlacesLane"]

# -- The lane of places: waits for a slot, a token and the veto's consent; never sends twice -------

PLACE_WAIT_NS_MAX = 5_000_000_000
"""How long a place that was refused for its rate waits to leave again. What is to wait longer ends:
its price would be of another time."""

LATE_MAX = 1_000
"""How many timed-out places are remembered, in case their answer comes after all."""


class PlacesLane:
    """Places queued and in flight. A place leaves once; afterwards it is only asked about.

    `followups` fills with scopes whose CANCEL_ALL went out while a place of the scope was in
    flight: when that place answers or times out, a second CANCEL_ALL must follow.
    """

    def __init__(
        self, account: AccountId, settings: GatewaySettings, outbox: RequestOutbox, *, latched: bool
    ) -> None:
        self._account = account
        self._outbox = outbox
        self._in_flight_max = self._slots = settings.places_in_flight_max
        """`_slots` is 1 while one place knocks at a venue whose closure has become old news."""
        self._queue_max = settings.queue_max
        self._timeout_ns = settings.place_timeout_ms * 1_000_000
        self._bucket = TokenBucket(rate_per_s=settings.places_per_s, burst=settings.places_burst)
        self.queue: dict[OrderId, PlaceOrder] = {}
        """What waits to leave: `pump` sends it."""
        self._flights: dict[int, tuple[PlaceOrder, int]] = {}
        self.flying: dict[OrderId, int] = {}
        """Order → the request that carries it."""
        self._late: dict[int, PlaceOrder] = {}
        self._after: dict[int, list[CancelScope]] = {}
        self._unwanted: set[OrderId] = set()
        self._wait_ns = 0
        self._latched = latched
        self._belief = ModeBelief()
        self._said = False
        """True where a person has heard why the venue takes nothing at present."""
        self.halt = ""
        """Why nothing new is taken at present, however the venue stands; empty = it is."""
        self._clear = not latched
        self.followups: list[CancelScope] = []

    # -- asked -------------------------------------------------------------------------------------

    def place(self, effect: PlaceOrder, now_ns: int) -> list[Request]:
        """Send the order now, queue it, or report it as not sent."""
        order = effect.order
        number = order.id
        queue = self.queue
        if order.account != self._account or number in queue or number in self.flying:
            raise BrokenInvariant(f"order {number} of {order.account} was placed twice or astray")
        if not self._clear:
            if self._belief.age(now_ns):
                self._slots = 1
                self._settle_veto()
            reason = self.veto(order) or self.halt
            if reason:
                self._not_sent(number, reason)
                return []
        if (
            not queue
            and len(self._flights) < self._slots
            and now_ns >= self._wait_ns
            and self._bucket.take(1, now_ns)
        ):
            return [self._send(effect, now_ns)]
        if len(queue) >= self._queue_max:
            self._overflow(number)
        else:
            queue[number] = effect
        return []

    def drop(self, order: OrderId) -> bool:
        """Drop a queued place that is to be cancelled; False = it is not here, or in flight."""
        if self.queue.pop(order, None) is None:
            if order in self.flying:
                self._unwanted.add(order)
            return False
        self._not_sent(order, "cancelled before it was sent")
        return True

    def drop_scope(self, scope: CancelScope) -> None:
        """Drop every queued place in scope; note which in flight need a second CANCEL_ALL."""
        for order, effect in list(self.queue.items()):
            if _covers(scope, effect.order):
                del self.queue[order]
                self._not_sent(order, "dropped by CANCEL_ALL")
        flying = [(number, place) for number, (place, _) in self._flights.items()]
        for number, place in [*flying, *self._late.items()]:
            if _covers(scope, place.order):
                scopes = self._after.setdefault(number, [])
                if scope not in scopes:
                    scopes.append(scope)

    def latch(self, *, latched: bool) -> None:
        """Set or release the veto. While it is set no place leaves; queued ones are dropped."""
        self._latched = latched
        self._judge_queue()

    def mode(self, event: ModeChanged, now_ns: int) -> None:
        """Obey what the venue takes, until that is old news.

        What it does not take is dropped, not held: a held place would leave minutes later at a
        price from before the closure, while the executor plans anew from a fresh book.
        """
        self._belief.take(event, now_ns)
        self._slots = self._in_flight_max
        self._judge_queue()
        if event.reason and self._belief.mode is not VenueMode.OPEN and not self._said:
            self._said = True
            self._outbox.alert(Severity.WARNING, VENUE_WAITS.name, f"the {self._belief.words}")

    def veto(self, order: Order) -> str:
        """Return why this order must not leave now; empty = it may."""
        if self._latched:
            return "the KILL latch is set"
        mode = self._belief.mode
        if mode is VenueMode.POST_ONLY:
            return "" if order.post_only else "the venue takes only post-only orders"
        return "" if mode is VenueMode.OPEN else f"the {self._belief.words}"

    def veto_in_flight(self, number: int, order: Order, now_ns: int) -> str:
        """Return why a request already handed out must not leave any more; empty = it may.

        One that was held up past its time-out must not: the process may have stood still, and
        another engine may have taken the account over since the journal was written.
        """
        flight = self._flights.get(number)
        if flight is None:
            return "it was given up before it left"
        if now_ns >= flight[1]:
            return "its time was over before it left"
        if number in self._after or order.id in self._unwanted:
            return "cancelled before it left"
        return self.veto(order)

    # -- answered ----------------------------------------------------------------------------------

    def answer(self, reply: Reply, now_ns: int) -> bool:
        """Take the end of a request; False = the number is not one of this lane's."""
        number = reply.number
        flight = self._flights.pop(number, None)
        if flight is None:
            if self._late.pop(number, None) is None:
                return False
            self._follow(number)
            return True
        order = flight[0].order.id
        del self.flying[order]
        self._slots = self._in_flight_max
        if reply.retry_after_ns > 0:
            wait_ns = min(reply.retry_after_ns, PLACE_WAIT_NS_MAX)
            self._throttled(number, flight[0], now_ns + wait_ns)
        if self._unwanted:
            self._unwanted.discard(order)
        if self._after:
            self._follow(number)
        return True

    def _throttled(self, number: int, effect: PlaceOrder, until_ns: int) -> None:
        """Put a place the venue refused untouched back to the head, unless no intent wants it."""
        order = effect.order
        self._wait_ns = max(self._wait_ns, until_ns)
        reason = self.veto(order)
        if number in self._after or order.id in self._unwanted:
            reason = "throttled, and cancelled meanwhile"
        if reason:
            self._not_sent(order.id, reason)
        else:
            # Numbers of orders count up, so the order it had among its like is kept at the head.
            self.queue = dict(sorted({**self.queue, order.id: effect}.items()))

    def _follow(self, number: int) -> None:
        self.followups += self._after.pop(number, ())

    # -- time --------------------------------------------------------------------------------------

    def pump(self, now_ns: int) -> list[Request]:
        """Send what waited and may leave now."""
        requests: list[Request] = []
        queue = self.queue
        self._drop_old(now_ns)
        while (
            queue
            and len(self._flights) < self._slots
            and now_ns >= self._wait_ns
            and self._bucket.take(1, now_ns)
        ):
            requests.append(self._send(queue.pop(next(iter(queue))), now_ns))
        if self.halt and not queue:
            self.halt = ""
            self._settle_veto()
            self._outbox.alert(Severity.INFO, "place_queue_over", "places are taken again")
        return requests

    def _drop_old(self, now_ns: int) -> None:
        """Drop what has waited too long; the oldest is first."""
        while self.queue:
            order = next(iter(self.queue.values())).order
            if now_ns - order.created_ns <= AGE_NS_MAX:
                return
            del self.queue[order.id]
            self._not_sent(order.id, TOO_LATE)

    def expire(self, now_ns: int) -> None:
        """Give up waiting for places past their timeout: they may be live, which is not known."""
        while self._flights:
            number, (effect, deadline_ns) = next(iter(self._flights.items()))
            if deadline_ns > now_ns:
                return
            del self._flights[number]
            order = effect.order.id
            del self.flying[order]
            self._unwanted.discard(order)
            self._outbox.report(
                OrderUnanswered(account=self._account, order=order, reason="no answer in time")
            )
            after = self._after.get(number)
            if after:
                self.followups += after  # kept: should it answer late, one more must follow
            self._late[number] = effect
            if len(self._late) > LATE_MAX:
                oldest = next(iter(self._late))
                del self._late[oldest]
                self._after.pop(oldest, None)

    @property
    def in_flight(self) -> int:
        """How many were sent and have neither answered nor timed out."""
        return len(self._flights)

    @property
    def due_ns(self) -> int | None:
        """When `expire` or `pump` has something to do; None = only an answer can help."""
        due: int | None = None
        if self._flights:
            due = next(iter(self._flights.values()))[1]
        if self.queue and len(self._flights) < self._slots:
            ready_ns = max(self._wait_ns, self._bucket.ready_ns())
            if due is None or ready_ns < due:
                due = ready_ns
        return due

    # -- inside ------------------------------------------------------------------------------------

    def _send(self, effect: PlaceOrder, now_ns: int) -> Request:
        outbox = self._outbox
        outbox.number = number = outbox.number + 1
        self._flights[number] = (effect, now_ns + self._timeout_ns)
        self.flying[effect.order.id] = number
        return Request(number=number, effect=effect)

    def _not_sent(self, order: OrderId, reason: str) -> None:
        self._outbox.report(OrderNotSent(account=self._account, order=order, reason=reason))

    def _overflow(self, order: OrderId) -> None:
        self.halt = "the queue of places was full: halted until it is empty"
        self._settle_veto()
        text = f"{self._queue_max} places wait: no more are taken until the queue is empty"
        numbers = {"waiting orders": f"{self._queue_max:,}"}
        self._outbox.alert(Severity.CRITICAL, "place_queue", text, numbers)
        self._not_sent(order, "the queue of places is full")

    def _judge_queue(self) -> None:
        """Drop what the latch or the venue's mode no longer lets through."""
        self._settle_veto()
        for order, effect in list(self.queue.items()):
            reason = self.veto(effect.order)
            if reason:
                del self.queue[order]
                self._not_sent(order, reason)

    def _settle_veto(self) -> None:
        taken = self._belief.mode is VenueMode.OPEN
        self._clear = taken and not self._latched and not self.halt
        self._said = self._said and not taken


def _covers(scope: CancelScope, order: Order) -> bool:
    return (scope.instrument is None or scope.instrument == order.instrument) and (
        scope.bot is None or scope.bot == order.bot
    )


# -- Both lanes of one account ---------------------------------------------------------------------

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
        """Its `pending` says where reports or alerts wait to be drained."""
        self._places = PlacesLane(account, settings, self.outbox, latched=latched)
        self._safety = SafetyLane(account, settings, self.outbox)
        self._stale_due = False
        self._due_ns: int | None = None
        self._handlers: dict[type, Callable[[Any, int], list[Request]]] = {
            PlaceOrder: self._places.place,
            Reply: self.over,
            CancelOrders: self._cancel,
            CancelAll: self._cancel_all,
            LatchSet: self._latch,
            LatchReleased: self._latch,
            ModeChanged: self._mode,
            **dict.fromkeys(QUERIES, self._query),
            # These have reached their end: the journal has them.
            **dict.fromkeys(
                (KeepBudget, KeepDifferences, KeepStart, OrderChanged), lambda _, __: []
            ),
        }

    def receive(self, message: GatewayMessage, now_ns: int) -> list[Request]:
        """Take an effect, a reply, the latch or the venue's mode; return what to send, in order.

        Raises BrokenInvariant on an effect that is no request, on one of another account,
        and on an order that is placed twice.
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
        effect = request.effect
        if isinstance(effect, PlaceOrder):
            return self._places.veto_in_flight(request.number, effect.order, now_ns)
        return self._safety.veto(effect, now_ns) if isinstance(effect, WalletEffect) else ""

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
        """Hand out, once, what the executor must receive: not sent, unanswered, failed."""
        return self.outbox.take_reports()

    def take_alerts(self) -> list[RaiseAlert]:
        """Hand out, once, what the operator must receive."""
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
        if safety.retries or safety.cancels or safety.queries:
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
        self._safety.query(effect, now_ns)
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
