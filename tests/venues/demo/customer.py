"""One account of the demo exchange behind the venues' door, in this process, with latency.

A request arrives at the exchange `latency_ns` after it was made, its reply returns as much later,
and what the exchange reports by itself arrives `latency_ns` after it happened. The customer lets
the exchange's time pass: whoever drives several must drive all to the same moment. There may be
only one per account, because each report is taken once.

The identity is `demo-<account>-<order>`, the same for the same order, so that no memory is needed
to tell an own order from one placed with another key of the account.
"""

from __future__ import annotations

from heapq import heappop, heappush

from engine.domain.effects import (
    AnyEffect,
    CancelAll,
    CancelOrders,
    PlaceOrder,
    QueryBalances,
    QueryFills,
    QueryOpenOrders,
    QueryOrder,
)
from engine.domain.events import BookChanged, Event, VenueEvent, VenueMode
from engine.domain.instruments import AccountId
from engine.domain.orders import Identity, Order, OrderId
from engine.errors import BrokenInvariant, ConfigError, VenueClosed
from engine.gateway.door import Prepared, Reply, Request, VenueOutput
from engine.venues.demo.answers import Answers
from engine.venues.demo.exchange import DemoExchange

REQUESTS_MAX = 10_000
OUTPUTS_MAX = 200_000
MS = 1_000_000
RETRY_AFTER_NS = 1_000 * MS
"""What a closed venue asks to wait before the same request is made again."""

Arrival = tuple[int, int, Request | None]
"""(when, sequence, request); None = a heartbeat."""
Departure = tuple[int, int, VenueOutput]


class DemoCustomer:
    """A `VenueCore` for one account of a `DemoExchange`."""

    def __init__(
        self,
        exchange: DemoExchange,
        account: AccountId,
        *,
        latency_ns: int = 25 * MS,
        key: str = "engine",
        currency: str = "pUSD",
    ) -> None:
        if not exchange.account(account).listening:
            raise ConfigError(f"{account} does not listen to the demo exchange's reports")
        self._exchange = exchange
        self._account = account
        self._latency_ns = latency_ns
        self._key = key
        self._answers = Answers(exchange, account, key=key, currency=currency)
        self._heartbeat_token = ""
        self._sequence = 0
        self._arrivals: list[Arrival] = []
        self._departures: list[Departure] = []

    def account(self) -> AccountId:
        """Return the account this core serves."""
        return self._account

    def prepare(self, order: Order) -> Prepared:
        """Name and serialise: the same order always gives the same identity and bytes."""
        return self._answers.prepare(order)

    def identity(self, order: OrderId) -> Identity:
        """Return the exchange's name for one of our orders."""
        return self._answers.identity(order)

    def request(self, request: Request, now_ns: int) -> list[VenueOutput]:
        """Send a request on its way; give what has become due meanwhile."""
        self._send(request, now_ns)
        return self.advance(now_ns)

    def send_heartbeat(self, now_ns: int) -> None:
        """Send a heartbeat on its way. The first one arms the exchange's dead-man switch."""
        self._send(None, now_ns)

    def receive(self, event: Event, now_ns: int) -> list[VenueOutput]:
        """Ignore the event: this venue has a market of its own. Give what has become due."""
        del event
        return self.advance(now_ns)

    def changed(self, event: BookChanged, now_ns: int) -> None:
        """Ignore level changes, too."""

    @property
    def due_ns(self) -> int | None:
        """Return when something may happen: an arrival, a departure, or the exchange's own next."""
        dues = [queue[0][0] for queue in (self._arrivals, self._departures) if queue]
        if self._exchange.due_ns is not None:
            dues.append(self._exchange.due_ns)
        return min(dues) if dues else None

    def advance(self, now_ns: int) -> list[VenueOutput]:
        """Let time pass up to `now_ns`; give what has arrived here by then, in order."""
        while self._arrivals and self._arrivals[0][0] <= now_ns:
            at_ns, _, request = heappop(self._arrivals)
            # Another customer may have moved the shared exchange beyond the moment of arrival.
            at_ns = max(at_ns, self._exchange.now_ns)
            self._exchange.advance(at_ns)
            self._listen()
            if request is None:
                self._heartbeat(at_ns)
            else:
                self._reply(self._answer(request, at_ns), at_ns)
            self._listen()
        if now_ns > self._exchange.now_ns:
            self._exchange.advance(now_ns)
        self._listen()
        return self._delivered(now_ns)

    def _send(self, request: Request | None, now_ns: int) -> None:
        if len(self._arrivals) >= REQUESTS_MAX:
            raise BrokenInvariant(f"more than {REQUESTS_MAX} requests on their way to the demo")
        self._sequence += 1
        heappush(self._arrivals, (now_ns + self._latency_ns, self._sequence, request))

    def _heartbeat(self, now_ns: int) -> None:
        answer = self._exchange.heartbeat(self._account, self._key, self._heartbeat_token, now_ns)
        self._heartbeat_token = answer.token
        if not answer.valid:
            # Another holder of the key beat meanwhile: go on with the token it was told of.
            answer = self._exchange.heartbeat(self._account, self._key, answer.token, now_ns)
            self._heartbeat_token = answer.token

    def _reply(self, output: VenueOutput, at_ns: int) -> None:
        if len(self._departures) >= OUTPUTS_MAX:
            raise BrokenInvariant(f"more than {OUTPUTS_MAX} answers on their way from the demo")
        self._sequence += 1
        heappush(self._departures, (at_ns + self._latency_ns, self._sequence, output))

    def _listen(self) -> None:
        for at_ns, report in self._exchange.take(self._account):
            event = self._answers.received(report)
            if event is not None:
                self._reply(event, at_ns)

    def _delivered(self, now_ns: int) -> list[VenueOutput]:
        delivered: list[VenueOutput] = []
        while self._departures and self._departures[0][0] <= now_ns:
            delivered.append(heappop(self._departures)[2])
        return delivered

    def _answer(self, request: Request, now_ns: int) -> Reply:
        try:
            events = tuple(self._do(request.effect, now_ns))
        except VenueClosed as closed:
            # Refused untouched, as HTTP 425 and 503 with Retry-After are (polymarket.md §5.8).
            mode = self._answers.mode(VenueMode(closed.mode))
            return Reply(number=request.number, events=(mode,), retry_after_ns=RETRY_AFTER_NS)
        return Reply(number=request.number, events=events)

    def _do(self, effect: AnyEffect, now_ns: int) -> list[VenueEvent]:
        """Do what is asked and return what it proved."""
        answers = self._answers
        match effect:
            case PlaceOrder():
                self._check(effect.order.account)
                return answers.place(effect.order, now_ns)
            case CancelOrders(account=account):
                self._check(account)
                return answers.cancel(effect.orders, now_ns)
            case CancelAll(account=account):
                self._check(account)
                return answers.cancel_all(effect.scope, now_ns)
            case QueryOrder(account=account):
                self._check(account)
                return answers.order(effect.order)
            case QueryOpenOrders(account=account):
                self._check(account)
                return answers.open_orders()
            case QueryFills(account=account):
                self._check(account)
                return answers.fills(effect.since_ns)
            case QueryBalances(account=account):
                self._check(account)
                return answers.balances()
            case _:
                raise BrokenInvariant(f"{type(effect).__name__} is not a venue's business")

    def _check(self, account: AccountId) -> None:
        if account != self._account:
            raise BrokenInvariant(
                f"a request of {account} reached the demo door of {self._account}"
            )
