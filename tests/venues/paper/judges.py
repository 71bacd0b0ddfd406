"""Judges of the paper venue: they see feed events, requests and outputs, and nothing inside."""

from __future__ import annotations

from engine.domain.events import (
    BookChanged,
    BookReplaced,
    Event,
    OrderAccepted,
    OrderCancelled,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    TradePrinted,
)
from engine.domain.fills import Liquidity, SizeSource
from engine.domain.instruments import Instrument, Leg, Side
from engine.domain.orders import Order

ENDS = (OrderCancelled, OrderExpired, OrderRejected)


def in_yes(order: Order, instrument: Instrument, price: int) -> tuple[bool, int]:
    """Return (is a bid, price) of an order in YES-space."""
    if order.leg is Leg.NO:
        return order.side is Side.SELL, instrument.one - price
    return order.side is Side.BUY, price


class Judge:
    """Watches one instrument and raises where a law is broken."""

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.shown: dict[tuple[Side, int], int] = {}
        self.taken: dict[tuple[Side, int], int] = {}
        self.live: set[int] = set()
        self.over: set[int] = set()
        self.filled: dict[int, int] = {}
        self.seen: set[str] = set()

    def received(self, event: Event) -> None:
        """Take a feed event before the venue does."""
        if isinstance(event, BookChanged):
            for side, price, size in event.changes:
                self._refresh(side, price, size)
        elif isinstance(event, BookReplaced):
            self.shown.clear()
            self.taken.clear()
            for side, levels in ((Side.BUY, event.bids), (Side.SELL, event.asks)):
                for price, size in levels:
                    self._refresh(side, price, size)

    def _refresh(self, side: Side, price: int, size: int) -> None:
        self.shown[side, price] = size
        self.taken.pop((side, price), None)

    def watch(self, events: list[Event], orders: dict[int, Order], cause: Event | None) -> None:
        """Take what the venue handed out because of `cause` (None = a request or time)."""
        budget: int | None = 0
        if isinstance(cause, TradePrinted):
            budget = cause.size if cause.source is not SizeSource.UNKNOWN else None
        for event in events:
            if isinstance(event, OrderAccepted):
                assert event.order not in self.live | self.over
                self.live.add(event.order)
            elif isinstance(event, ENDS):
                assert event.order not in self.over, "ended twice"
                self.over.add(event.order)
                self.live.discard(event.order)
            elif isinstance(event, OrderFilled):
                budget = self._fill(event, orders[event.order], cause, budget)

    def _fill(
        self, fill: OrderFilled, order: Order, cause: Event | None, budget: int | None
    ) -> int | None:
        assert fill.order in self.live, "a fill of an order that does not live"
        assert fill.fill not in self.seen
        assert fill.size > 0
        self.seen.add(fill.fill)
        self.filled[order.id] = self.filled.get(order.id, 0) + fill.size
        assert self.filled[order.id] <= order.size
        if self.filled[order.id] == order.size:
            self.live.discard(order.id)
            self.over.add(order.id)
        bid, price = in_yes(order, self.instrument, fill.price)
        if fill.liquidity is Liquidity.TAKER:
            self._taker(order, bid=bid, price=price, size=fill.size)
            return budget
        assert fill.price == order.price
        return self._maker(fill, bid=bid, price=price, cause=cause, budget=budget)

    def _taker(self, order: Order, *, bid: bool, price: int, size: int) -> None:
        """Law 2: at most what is displayed less what we took since the level was refreshed."""
        _, limit = in_yes(order, self.instrument, order.price)
        assert price <= limit if bid else price >= limit
        level = (Side.SELL if bid else Side.BUY, price)
        self.taken[level] = self.taken.get(level, 0) + size
        assert self.taken[level] <= self.shown.get(level, 0)

    def _maker(
        self,
        fill: OrderFilled,
        *,
        bid: bool,
        price: int,
        cause: Event | None,
        budget: int | None,
    ) -> int | None:
        """Law 1: only a print at or through the price, and never beyond it.

        One that hit the other side says so only of a level displayed there, at or beyond our price.
        """
        assert isinstance(cause, TradePrinted), "a maker fill without a print"
        assert cause.price <= price if bid else cause.price >= price
        if cause.aggressor is (Side.BUY if bid else Side.SELL):
            assert self.shown.get((Side.SELL if bid else Side.BUY, cause.price)), "nothing was hit"
        if budget is None:
            assert fill.source is SizeSource.UNKNOWN
            return None
        assert fill.source is cause.source
        budget -= fill.size
        assert budget >= 0, "more filled than taped"
        return budget
