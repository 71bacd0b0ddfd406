"""A simulated venue on a table, used through its door alone; the contract suite sits at it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from engine.domain.effects import (
    AnyEffect,
    CancelOrders,
    PlaceOrder,
    QueryOpenOrders,
)
from engine.domain.events import (
    Event,
    OpenOrdersListed,
)
from engine.domain.instruments import BotId, Instrument, Leg, Side
from engine.domain.orders import Order, OrderId, OrderType
from engine.gateway.door import Reply, Request, VenueCore, VenueOutput

HOUR_NS = 3_600_000_000_000


@dataclass
class Table:
    """A fresh venue with one binary instrument, and what is needed to use it."""

    venue: VenueCore
    instrument: Instrument
    now: int
    bid: int
    """A YES price at which a BUY rests; one tick lower rests too."""
    ask: int
    """A YES price at which a BUY of `size` is taken whole at once."""
    size: int
    fill_resting: Callable[[int], list[VenueOutput]]
    """Let others trade so that resting BUYs of YES at `bid` fill whole; given now."""
    numbers: int = 0
    ids: int = 0
    received: list[VenueOutput] = field(default_factory=list)

    def ask_for(self, effect: AnyEffect) -> int:
        """Send a request; return its number."""
        self.numbers += 1
        request = Request(number=self.numbers, effect=effect)
        self.received += self.venue.request(request, self.now)
        return self.numbers

    def finish(self, number: int) -> list[Event]:
        """Let time pass until the request is answered; return what the reply proved."""
        end = self.now + HOUR_NS
        while not any(isinstance(o, Reply) and o.number == number for o in self.received):
            due = self.venue.due_ns
            assert due is not None, "nothing is under way and the request is not answered"
            assert due <= end, "no answer within an hour"
            self.now = max(self.now, due)
            self.received += self.venue.advance(self.now)
        (reply,) = [o for o in self.received if isinstance(o, Reply) and o.number == number]
        return list(reply.events)

    def do(self, effect: AnyEffect) -> list[Event]:
        return self.finish(self.ask_for(effect))

    def settle(self, span_ns: int = 10_000_000_000) -> None:
        """Let ten seconds pass."""
        end = self.now + span_ns
        while (due := self.venue.due_ns) is not None and due <= end:
            self.now = max(self.now, due)
            self.received += self.venue.advance(self.now)
        self.now = end

    def order(
        self,
        price: int,
        type: OrderType = OrderType.GTC,  # noqa: A002 - the field's own name
        *,
        post_only: bool = True,
        size: int | None = None,
    ) -> Order:
        self.ids += 1
        return Order(
            account=self.venue.account(),
            id=OrderId(self.ids),
            bot=BotId("b"),
            instrument=self.instrument.id,
            leg=Leg.YES,
            side=Side.BUY,
            price=price,
            size=self.size if size is None else size,
            type=type,
            post_only=post_only,
            created_ns=self.now,
        )

    def place(self, *args: object, **kwargs: object) -> tuple[Order, list[Event]]:
        order = self.order(*args, **kwargs)
        self.venue.prepare(order)
        return order, self.do(PlaceOrder(order=order))

    def cancel(self, *orders: Order) -> list[Event]:
        ids = tuple(order.id for order in orders)
        return self.do(CancelOrders(account=self.venue.account(), orders=ids))

    def listing(self) -> list[OrderId | None]:
        (listed,) = self.do(QueryOpenOrders(account=self.venue.account()))
        assert isinstance(listed, OpenOrdersListed)
        return [report.order for report in listed.orders]

    @property
    def events(self) -> list[Event]:
        flat: list[Event] = []
        for output in self.received:
            flat += output.events if isinstance(output, Reply) else [output]
        return flat

    def about(self, order: Order) -> list[Event]:
        return [event for event in self.events if getattr(event, "order", None) == order.id]
