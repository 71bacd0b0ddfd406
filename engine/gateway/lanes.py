"""What both lanes share, and the lane of safety, which never waits for the other.

Request numbers, what a lane has to report and how fast it may be; then CANCEL_ALL at once, cancels
and questions.
"""

from __future__ import annotations

from engine.domain.effects import (
    AnyQuery,
    AnyWalletEffect,
    CancelAll,
    CancelOrders,
    CancelScope,
    QueryOrder,
    RaiseAlert,
    Severity,
    WalletEffect,
)
from engine.domain.events import (
    CancelUnanswered,
    OperationMoved,
    OperationState,
    OperationUnanswered,
    QueryFailed,
    VenueEvent,
)
from engine.domain.instruments import AccountId
from engine.domain.money import ceil_div
from engine.domain.orders import OrderId
from engine.domain.settings import GatewaySettings
from engine.errors import BrokenInvariant
from engine.gateway.door import Reply, Request

ALERTS_MAX = 100
"""Most alerts between two drains; one of a kind at a time, so reaching it is a bug's noise."""


class RequestOutbox:
    """Reports and alerts of one gateway, each handed out once; and the count of its requests."""

    __slots__ = ("_account", "_alerts", "_reports", "number", "pending")

    def __init__(self, account: AccountId) -> None:
        self.number = 0
        """The last request's number."""
        self.pending = False
        """True where something waits to be handed out."""
        self._account = account
        self._reports: list[VenueEvent] = []
        self._alerts: dict[str, RaiseAlert] = {}

    def report(self, event: VenueEvent) -> None:
        """Tell the executor something certain (or certainly unknown)."""
        self._reports.append(event)
        self.pending = True

    def alert(
        self, severity: Severity, kind: str, text: str, numbers: dict[str, str] | None = None
    ) -> None:
        """Tell the operator. Until drained, the latest of a kind stands for all."""
        if kind in self._alerts or len(self._alerts) < ALERTS_MAX:
            self._alerts[kind] = RaiseAlert(
                severity=severity,
                kind=kind,
                text=text,
                account=self._account,
                numbers=numbers or {},
            )
            self.pending = True

    def take_reports(self) -> list[VenueEvent]:
        """Hand out what was reported since the last call, in order."""
        if not self._reports:
            return []
        reports, self._reports = self._reports, []
        self.pending = bool(self._alerts)
        return reports

    def take_alerts(self) -> list[RaiseAlert]:
        """Hand out what was alerted since the last call, in order of kind's first appearance."""
        if not self._alerts:
            return []
        alerts = list(self._alerts.values())
        self._alerts.clear()
        self.pending = bool(self._reports)
        return alerts


# -- Token buckets in whole numbers, exact for ever ------------------------------------------------

_TOKEN = 1_000_000_000
"""Parts per token: at `rate` tokens per second each nanosecond brings exactly `rate` parts."""


class TokenBucket:
    """At most `burst` at once and `rate_per_s` per second: ≤ rate · t + burst in any window t.

    Starts full. Kept as one number, the moment at which the bucket was (or will be) empty, times
    the rate: the generic cell rate algorithm of ITU-T I.371. So time that goes backwards, or comes
    back from there, never adds tokens.
    """

    __slots__ = ("_capacity", "_empty", "_rate")

    def __init__(self, *, rate_per_s: int, burst: int) -> None:
        if rate_per_s < 1 or burst < 1:
            raise BrokenInvariant(f"a bucket of {burst} with {rate_per_s}/s would never pass one")
        self._rate = rate_per_s
        self._capacity = burst * _TOKEN
        self._empty = -self._capacity

    def take(self, count: int, now_ns: int) -> bool:
        """Take `count` tokens if they are all there; say whether they were."""
        at, empty = now_ns * self._rate, self._empty
        full = at - self._capacity
        empty = (empty if empty > full else full) + count * _TOKEN
        if empty > at:
            return False
        self._empty = empty
        return True

    def available(self, now_ns: int) -> int:
        """Return how many whole tokens are there."""
        level = min(now_ns * self._rate - self._empty, self._capacity)
        return max(level, 0) // _TOKEN

    def ready_ns(self, count: int = 1) -> int:
        """Return when `count` tokens will be there if none is taken; never too early."""
        need = count * _TOKEN
        if need > self._capacity:
            raise BrokenInvariant(f"{count} tokens can never be in a bucket of this size")
        return ceil_div(self._empty + need, self._rate)


# -- The lane of safety: CANCEL_ALL at once, then cancels, then questions --------------------------

CANCEL_ALL_TRIES_PATIENT = 120
"""How often one CANCEL_ALL is sent in haste (two minutes of a restart) before a person is asked."""

CANCEL_ALL_SLOW_NS = 10_000_000_000
"""How often it is sent from then on, never given up: the venue may be back any minute. It is the
longest, too, that a venue's hint keeps safety waiting: that may be an hour, or a date by its clock.
"""

CANCEL_ALL_WAITING_MAX = 1_000
"""Throttled scopes that wait; beyond it they collapse into one that covers the account."""

AGE_NS_MAX = 30_000_000_000
"""How long after it was decided a place or an operation of the wallet may still leave. The machine
may have slept for hours meanwhile, and what a person asked for has no intent behind it that is
taken back then. As long as an executor waits for news of an order before it is UNKNOWN."""

TOO_LATE = f"it could not be sent within {AGE_NS_MAX // 1_000_000_000} s of its decision"
OPERATIONS_MAX = 1_000
"""Operations of the wallet whose times of decision are remembered; there is one at a time."""

Query = AnyQuery | AnyWalletEffect
"""Whatever waits its turn behind cancels: questions, and what the wallet is asked for."""

QUERIES: frozenset[type] = frozenset(Query.__args__)
_Flight = tuple[CancelAll | CancelOrders | Query, int, int]
"""(effect, deadline_ns, how often it was sent)."""

EVERYTHING = CancelScope()


class SafetyLane:
    """Cancels and questions, queued and in flight. Cancels are idempotent, so they may be resent.

    A CANCEL_ALL is sent again until it is answered; a cancel or a question without an answer is
    reported and left to the executor.
    """

    def __init__(
        self, account: AccountId, settings: GatewaySettings, outbox: RequestOutbox
    ) -> None:
        self._account = account
        self._outbox = outbox
        self._in_flight_max = settings.safety_in_flight_max
        self._asking_max = settings.safety_in_flight_max // 2
        """Questions without an answer must leave cancels half of the slots."""
        self._queue_max = settings.queue_max
        self._timeout_ns = settings.safety_timeout_ms * 1_000_000
        # A request larger than the bucket could never pass.
        self._batch_max = min(settings.cancel_batch_max, settings.cancels_burst)
        self._cancel_bucket = TokenBucket(
            rate_per_s=settings.cancels_per_s, burst=settings.cancels_burst
        )
        self._query_bucket = TokenBucket(
            rate_per_s=settings.queries_per_s, burst=settings.queries_burst
        )
        self.retries: dict[CancelScope, tuple[int, int]] = {}
        """CANCEL_ALLs the venue could not take: scope → (when to try, how often it was sent)."""
        self.cancels: dict[OrderId, None] = {}
        self.queries: dict[Query, None] = {}
        self._flights: dict[int, _Flight] = {}
        self._decided_ns: dict[int, int] = {}
        """Operation of the wallet → when it was decided."""
        self.asking = 0
        """Questions in flight."""
        self._wait_ns = self._ask_ns = 0

    # -- asked -------------------------------------------------------------------------------------

    def cancel_all(self, scope: CancelScope, now_ns: int) -> Request:
        """Send a CANCEL_ALL at once: no bucket, no slot, no queue and no wait holds it."""
        if scope == EVERYTHING:
            self.cancels.clear()  # it covers them all
            self.retries.clear()
        self.retries.pop(scope, None)
        return self._send(CancelAll(account=self._account, scope=scope), now_ns, 1)

    def cancel_now(self, effect: CancelOrders, now_ns: int) -> Request | None:
        """Send these cancels as they are, if nothing is before them and nothing holds them."""
        count = len(effect.orders)
        if (
            not 0 < count <= self._batch_max
            or self.cancels
            or now_ns < self._wait_ns
            or len(self._flights) >= self._in_flight_max
            or not self._cancel_bucket.take(count, now_ns)
        ):
            return None
        return self._send(effect, now_ns, 1)

    def cancel(self, order: OrderId) -> bool:
        """Queue the cancel of an order; False = the queue is full, cancel everything instead."""
        if len(self.cancels) >= self._queue_max and order not in self.cancels:
            text = f"{self._queue_max} cancels wait: everything of the account is cancelled at once"
            numbers = {"waiting cancels": f"{self._queue_max:,}"}
            self._outbox.alert(Severity.CRITICAL, "cancel_queue", text, numbers)
            return False
        self.cancels[order] = None
        return True

    def query(self, effect: Query, now_ns: int) -> None:
        """Queue a question; the same one twice is asked once. A full queue fails it, loudly.

        One that is asked anew under another number takes the place of the older one.
        """
        if isinstance(effect, WalletEffect):
            decided = self._decided_ns
            decided[effect.operation] = now_ns
            if len(decided) > OPERATIONS_MAX:
                del decided[next(iter(decided))]
        if effect.number:
            older = next((one for one in self.queries if _same(one, effect)), None)
            if older is not None:
                del self.queries[older]
        if len(self.queries) >= self._queue_max and effect not in self.queries:
            text = f"{self._queue_max} questions wait: no more are taken"
            numbers = {"waiting questions": f"{self._queue_max:,}"}
            self._outbox.alert(Severity.CRITICAL, "query_queue", text, numbers)
            self._failed(effect, "the queue of questions is full", sent=False)
        else:
            self.queries[effect] = None

    def number_of(self, number: int) -> int:
        """Return the number of the question behind a request in flight; 0 = there is none."""
        flight = self._flights.get(number)
        if flight is None:
            return 0
        effect = flight[0]
        return 0 if isinstance(effect, CancelAll | CancelOrders) else effect.number

    def veto(self, asked: WalletEffect, now_ns: int) -> str:
        """Return why an operation of the wallet must not leave any more; empty = it may."""
        decided_ns = self._decided_ns.get(asked.operation, now_ns)
        return TOO_LATE if now_ns - decided_ns > AGE_NS_MAX else ""

    # -- answered ----------------------------------------------------------------------------------

    def answer(self, reply: Reply, now_ns: int) -> bool:
        """Take the end of a request; False = it is not in flight here (any more)."""
        if reply.number not in self._flights:
            return False
        effect, _, tries = self._land(reply.number)
        if reply.retry_after_ns > 0:
            self._throttled(effect, now_ns + min(reply.retry_after_ns, CANCEL_ALL_SLOW_NS), tries)
        return True

    def _throttled(
        self, effect: CancelAll | CancelOrders | Query, until_ns: int, tries: int
    ) -> None:
        """Queue a request the venue refused untouched, before all others of its kind."""
        if isinstance(effect, CancelAll):
            self._retry_later(effect.scope, until_ns, tries)
            return
        if isinstance(effect, CancelOrders):
            self._wait_ns = max(self._wait_ns, until_ns)
            self.cancels = {**dict.fromkeys(effect.orders), **self.cancels}
        else:  # no cancel waits for a question
            self._ask_ns = max(self._ask_ns, until_ns)
            self.queries = {effect: None, **self.queries}

    def _retry_later(self, scope: CancelScope, until_ns: int, tries: int) -> None:
        if tries >= CANCEL_ALL_TRIES_PATIENT:
            until_ns += CANCEL_ALL_SLOW_NS
            text = (
                f"CANCEL_ALL was sent {tries} times without an answer: look at the venue by hand."
                f" It is sent again every {CANCEL_ALL_SLOW_NS // 1_000_000_000} s"
            )
            numbers = {"times sent": f"{tries:,}"}
            self._outbox.alert(Severity.CRITICAL, "cancel_all_stuck", text, numbers)
        else:
            text = "CANCEL_ALL had no effect yet; it is sent again"
            self._outbox.alert(Severity.CRITICAL, "cancel_all_unanswered", text)
        if len(self.retries) >= CANCEL_ALL_WAITING_MAX:
            self.retries.clear()
            scope = EVERYTHING
        self.retries[scope] = (until_ns, tries)

    # -- time --------------------------------------------------------------------------------------

    def pump(self, now_ns: int) -> list[Request]:
        """Send what waited and may leave now: CANCEL_ALL, then cancels, then questions."""
        requests: list[Request] = []
        if self.retries:
            for scope, (until_ns, tries) in list(self.retries.items()):
                if until_ns <= now_ns:
                    del self.retries[scope]
                    effect = CancelAll(account=self._account, scope=scope)
                    requests.append(self._send(effect, now_ns, tries + 1))
        if now_ns < self._wait_ns:
            return requests
        while self.cancels and len(self._flights) < self._in_flight_max:
            count = min(len(self.cancels), self._batch_max, self._cancel_bucket.available(now_ns))
            if count == 0:
                break
            self._cancel_bucket.take(count, now_ns)
            requests.append(self._send(self._batch(count), now_ns, 1))
        if self._decided_ns and self.queries:
            self._drop_old(now_ns)
        while (
            self.queries
            and self.asking < self._asking_max
            and len(self._flights) < self._in_flight_max
            and now_ns >= self._ask_ns
            and self._query_bucket.take(1, now_ns)
        ):
            query = next(iter(self.queries))
            del self.queries[query]
            requests.append(self._send(query, now_ns, 1))
        return requests

    def _drop_old(self, now_ns: int) -> None:
        """Drop the operations of the wallet that have waited too long."""
        for effect in [one for one in self.queries if isinstance(one, WalletEffect)]:
            if reason := self.veto(effect, now_ns):
                del self.queries[effect]
                self._failed(effect, reason, sent=False)

    def expire(self, now_ns: int) -> None:
        """Give up waiting for what is past its timeout: report it, or send CANCEL_ALL again."""
        while self._flights:
            number, (effect, deadline_ns, tries) = next(iter(self._flights.items()))
            if deadline_ns > now_ns:
                return
            self._land(number)
            if isinstance(effect, CancelAll):
                self._retry_later(effect.scope, now_ns, tries)
            elif isinstance(effect, CancelOrders):
                for order in effect.orders:
                    self._outbox.report(CancelUnanswered(account=self._account, order=order))
            else:
                self._failed(effect, "no answer in time", sent=True)

    @property
    def due_ns(self) -> int | None:
        """When `expire` or `pump` has something to do; None = nothing waits."""
        due = next(iter(self._flights.values()))[1] if self._flights else None
        if not (self.cancels or self.queries or self.retries):
            return due
        times = [until_ns for until_ns, _ in self.retries.values()]
        if due is not None:
            times.append(due)
        if len(self._flights) < self._in_flight_max:
            if self.cancels:
                times.append(max(self._wait_ns, self._cancel_bucket.ready_ns()))
            if self.queries and self.asking < self._asking_max:
                times.append(max(self._wait_ns, self._ask_ns, self._query_bucket.ready_ns()))
        return min(times) if times else None

    # -- inside ------------------------------------------------------------------------------------

    def _batch(self, count: int) -> CancelOrders:
        cancels = self.cancels
        if count == len(cancels):
            orders = tuple(cancels)
            cancels.clear()
        else:
            orders = tuple(cancels)[:count]
            for order in orders:
                del cancels[order]
        return CancelOrders(account=self._account, orders=orders)

    def _send(self, effect: CancelAll | CancelOrders | Query, now_ns: int, tries: int) -> Request:
        outbox = self._outbox
        outbox.number = number = outbox.number + 1
        self._flights[number] = (effect, now_ns + self._timeout_ns, tries)
        if type(effect) in QUERIES:
            self.asking += 1
        return Request(number=number, effect=effect)

    def _land(self, number: int) -> _Flight:
        flight = self._flights.pop(number)
        if type(flight[0]) in QUERIES:
            self.asking -= 1
        return flight

    def _failed(self, effect: Query, reason: str, *, sent: bool) -> None:
        if isinstance(effect, WalletEffect):
            account, number = self._account, effect.operation
            self._outbox.report(
                OperationUnanswered(account=account, operation=number, reason=reason)
                if sent
                else OperationMoved(
                    account=account, operation=number, state=OperationState.FAILED, reason=reason
                )
            )
            return
        order = effect.order if isinstance(effect, QueryOrder) else None
        self._outbox.report(
            QueryFailed(
                account=self._account,
                question=type(effect).__name__,
                order=order,
                reason=reason,
                answers=effect.number,
            )
        )


def _same(one: Query, other: Query) -> bool:
    """Say whether two numbered questions ask for the same thing."""
    about = all(
        getattr(one, name, None) == getattr(other, name, None) for name in ("order", "operation")
    )
    return type(one) is type(other) and about and one.number > 0
