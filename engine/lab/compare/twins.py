"""The maker's own orders once more, as paper orders beside the book they really stand in.

An order that rests in the exchange has a twin at each paper venue: placed at the same moment, gone
at the same moment. These venues hear the exchange's public feed less what is ours of it. The
orders, the takers and the cancels of others are the same, so where a twin fills otherwise than its
order the fill model is wrong. What a paper account differs by beyond that is no matter of its fill
model: its world has never seen its quotes, and so it trades otherwise.

A twin of a cancelled order ends with it. One whose order was filled stays until the maker's next
order on that side takes its place; what it would still have got after that is not counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import msgspec

from engine.domain.effects import CancelOrders, PlaceOrder
from engine.domain.events import BookChanged, Event, OrderFilled
from engine.domain.instruments import AccountId, BotId, InstrumentId, Leg, Side
from engine.domain.orders import Order, OrderId, OrderType
from engine.gateway.door import Lane, Reply, Request, VenueOutput
from engine.lab.compare.watch import MakerFigures
from engine.venues.demo.exchange import DemoExchange
from engine.venues.demo.orders import LiveOrder
from engine.venues.demo.outbox import Stamped
from engine.venues.paper.core import PaperVenue
from engine.venues.paper.settings import PaperSettings

CASH_UNITS = 1e8
"""Never the reason why a twin does not fill."""
BOT = BotId("twins")

Place = tuple[InstrumentId, Side, int]
"""Instrument, side of the book and price, in YES-space."""


class Twins:
    """Follows one account of an exchange; `figures` says per model what its orders got as paper."""

    def __init__(
        self, exchange: DemoExchange, account: AccountId, papers: Mapping[str, PaperSettings]
    ) -> None:
        self._markets = exchange.desk.markets
        self._open = exchange.account(account).open
        self._venues = {
            name: PaperVenue(AccountId(f"twins-{name}"), _at_once(settings))
            for name, settings in papers.items()
        }
        self._orders: dict[int, LiveOrder] = {}
        """Those that rested at the last look, by the exchange's number."""
        self._late: dict[tuple[InstrumentId, bool], list[OrderId]] = {}
        """Twins of filled orders, by (instrument, is a bid)."""
        self._count = 0
        self.figures = {name: MakerFigures() for name in papers}

    def hear(self, heard: Iterable[Stamped]) -> None:
        """Take what the exchange said since the last call, while nothing of ours was placed.

        All of it is of one moment: what is ours now was ours when it was said.
        """
        own: Counter[Place] | None = None
        for at_ns, said in heard:
            event: Event = said
            if isinstance(event, BookChanged):
                own = self._ours() if own is None else own
                event = _less(event, own)
            for name, venue in self._venues.items():
                self._note(name, venue.hear(event, at_ns))

    def follow(self, now_ns: int) -> None:
        """End the twins of orders that are gone, place those of orders that are new."""
        live = {order.number: order for order in self._open.values()}
        ended: list[OrderId] = []
        for number, order in list(self._orders.items()):
            if number not in live:
                del self._orders[number]
                late = self._late.setdefault((order.instrument, order.bid), [])
                (ended if order.remaining else late).append(OrderId(number))
        fresh = [order for number, order in live.items() if number not in self._orders]
        for order in fresh:
            ended += self._late.pop((order.instrument, order.bid), [])
        if ended:
            ids = tuple(ended)
            for name, venue in self._venues.items():
                self._ask(name, CancelOrders(account=venue.account(), orders=ids), now_ns)
        for order in fresh:
            self._orders[order.number] = order
            self._place(order, now_ns)

    def _place(self, order: LiveOrder, now_ns: int) -> None:
        """Place an order's twins: always as a purchase, so that none lacks tokens to sell."""
        level = order.level
        for name, venue in self._venues.items():
            figures = self.figures[name]
            figures.orders += 1
            figures.placed += order.remaining
            twin = Order(
                account=venue.account(),
                id=OrderId(order.number),
                bot=BOT,
                instrument=order.instrument,
                leg=Leg.YES if order.bid else Leg.NO,
                side=Side.BUY,
                price=level if order.bid else self._markets[order.instrument].one - level,
                size=order.remaining,
                type=OrderType.GTC,
                post_only=True,
                created_ns=now_ns,
            )
            self._ask(name, PlaceOrder(order=twin), now_ns)

    def _ask(self, name: str, effect: PlaceOrder | CancelOrders, now_ns: int) -> None:
        self._count += 1
        request = Request(number=self._count, lane=Lane.PLACES, effect=effect)
        self._note(name, self._venues[name].request(request, now_ns))

    def _note(self, name: str, outputs: Iterable[VenueOutput]) -> None:
        for output in outputs:
            for event in output.events if isinstance(output, Reply) else (output,):
                if isinstance(event, OrderFilled):
                    self.figures[name].fills += 1
                    self.figures[name].filled += event.size

    def _ours(self) -> Counter[Place]:
        ours: Counter[Place] = Counter()
        for order in self._open.values():
            side = Side.BUY if order.bid else Side.SELL
            ours[order.instrument, side, order.level] += order.remaining
        return ours


def _at_once(settings: PaperSettings) -> PaperSettings:
    """Return a paper account without latencies: what is asked was late once already."""
    return settings.model_copy(
        update={
            "order_latency_ms": 0,
            "cancel_latency_ms": 0,
            "settle_delay_ms": 0,
            "starting_cash": dict.fromkeys(settings.starting_cash, CASH_UNITS),
        }
    )


def _less(event: BookChanged, own: Counter[Place]) -> BookChanged:
    """Return the change as it would read without what is ours."""
    name = event.instrument
    changes = tuple((side, at, size - own[name, side, at]) for side, at, size in event.changes)
    return msgspec.structs.replace(event, changes=changes)
