"""The demo exchange as a `VenueCore` with a latency: the truth a paper venue is compared with."""

from __future__ import annotations

from heapq import heappop, heappush

from engine.domain.events import Event, VenueEvent
from engine.domain.instruments import AccountId
from engine.domain.orders import Order
from engine.gateway.door import Prepared, Reply, Request, VenueOutput
from engine.venues.demo.answers import Answers
from engine.venues.demo.exchange import DemoExchange
from engine.venues.demo.names import KEY


class ExchangeVenue:
    """One account's orders in the exchange itself.

    A request arrives after its latency and is answered at once, as at the paper venue. Whoever
    turns it calls `collect` after the exchange moved.
    """

    def __init__(
        self, exchange: DemoExchange, account: AccountId, *, currency: str, latency_ns: int
    ) -> None:
        self._exchange = exchange
        self._account = account
        self._latency_ns = latency_ns
        self._answers = Answers(exchange, account, key=KEY, currency=currency)
        self._agenda: list[tuple[int, int, Request | VenueEvent]] = []
        self._counter = 0

    def account(self) -> AccountId:
        """Return the account this core serves."""
        return self._account

    def prepare(self, order: Order) -> Prepared:
        """Name and serialise."""
        return self._answers.prepare(order)

    def hear(self, event: Event, now_ns: int) -> list[VenueOutput]:
        """Ignore market events: the exchange has made them."""
        del event, now_ns
        return []

    def request(self, request: Request, now_ns: int) -> list[VenueOutput]:
        """Take a request; it arrives after the latency."""
        self._push(now_ns + self._latency_ns, request)
        return []

    @property
    def due_ns(self) -> int | None:
        """Return when something arrives, there or here."""
        return self._agenda[0][0] if self._agenda else None

    def advance(self, now_ns: int) -> list[VenueOutput]:
        """Let arrive what is due."""
        outputs: list[VenueOutput] = []
        while self._agenda and self._agenda[0][0] <= now_ns:
            at_ns, _, what = heappop(self._agenda)
            if isinstance(what, Request):
                # The exchange of a comparison is always open: VenueClosed is a bug.
                events = tuple(self._answers.do(what.effect, at_ns))
                outputs.append(Reply(number=what.number, events=events))
            else:
                outputs.append(what)
        return outputs

    def collect(self) -> None:
        """Take what the exchange has told the account; it is heard at the moment it happened."""
        for at_ns, report in self._exchange.take(self._account):
            event = self._answers.heard(report)
            if event is not None:
                self._push(at_ns, event)

    def _push(self, at_ns: int, what: Request | VenueEvent) -> None:
        self._counter += 1
        heappush(self._agenda, (at_ns, self._counter, what))
