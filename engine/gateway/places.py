"""The lane of places: waits for a slot, a token and the veto's consent. Never sends twice."""

from __future__ import annotations

from engine.domain.effects import CancelScope, PlaceOrder, Severity
from engine.domain.events import ModeChanged, OrderNotSent, OrderUnanswered, VenueMode
from engine.domain.instruments import AccountId
from engine.domain.modes import ModeBelief
from engine.domain.orders import Order, OrderId
from engine.domain.settings import GatewaySettings
from engine.errors import BrokenInvariant
from engine.gateway.door import Lane, Reply, Request
from engine.gateway.lanes import RequestOutbox, TokenBucket

LATE_MAX = 1_000
"""How many timed-out places are remembered, in case their answer comes after all."""

_PLACES = Lane.PLACES


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

    def mode(self, told: ModeChanged, now_ns: int) -> None:
        """Obey what the venue takes, until that is old news.

        What it does not take is dropped, not held: a held place would leave minutes later at a
        price from before the closure, while the executor plans anew from a fresh book.
        """
        self._belief.take(told, now_ns)
        self._slots = self._in_flight_max
        self._judge_queue()

    def veto(self, order: Order) -> str:
        """Return why this order must not leave now; empty = it may."""
        if self._latched:
            return "the KILL latch is set"
        mode = self._belief.mode
        if mode is VenueMode.POST_ONLY:
            return "" if order.post_only else "the venue takes only post-only orders"
        return "" if mode is VenueMode.OPEN else f"the venue is {mode}"

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
            self._throttled(number, flight[0], now_ns + reply.retry_after_ns)
        if self._unwanted:
            self._unwanted.discard(order)
        if self._after:
            self._follow(number)
        return True

    def _throttled(self, number: int, effect: PlaceOrder, until_ns: int) -> None:
        """Put a place the venue refused untouched back to the head, unless nobody wants it."""
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
            self._outbox.alert(Severity.INFO, "place_queue", "places are taken again")
        return requests

    def expire(self, now_ns: int) -> None:
        """Give up waiting for places past their timeout: they may be live, nobody knows."""
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
        return Request(number=number, lane=_PLACES, effect=effect)

    def _not_sent(self, order: OrderId, reason: str) -> None:
        self._outbox.report(OrderNotSent(account=self._account, order=order, reason=reason))

    def _overflow(self, order: OrderId) -> None:
        self.halt = "the queue of places was full: halted until it is empty"
        self._settle_veto()
        text = f"{self._queue_max} places wait: no more are taken until the queue is empty"
        self._outbox.alert(Severity.CRITICAL, "place_queue", text)
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
        self._clear = self._belief.mode is VenueMode.OPEN and not self._latched and not self.halt


def _covers(scope: CancelScope, order: Order) -> bool:
    return (scope.instrument is None or scope.instrument == order.instrument) and (
        scope.bot is None or scope.bot == order.bot
    )
