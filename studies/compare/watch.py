"""What is noted of one maker on one day: its orders, its fills, and where the mid went after them.

It stands where the journal stands, so it receives exactly what would be kept, in order.
"""

from __future__ import annotations

from collections import defaultdict, deque
from typing import NamedTuple

import msgspec

from engine.caches.views import InstrumentViews
from engine.domain.effects import PlaceOrder
from engine.domain.events import OrderAccepted, OrderFilled
from engine.domain.instruments import InstrumentId, Leg, Side
from engine.domain.orders import Order, OrderId
from engine.runtime.journal import DigestRecorder

S = 1_000_000_000
MICRO = 1_000_000
HORIZONS_S = (1, 5, 30)
"""Seconds after a fill at which it is marked."""
JUDGED_S = 5
"""The horizon of `MakerFigures`."""

Marks = dict[int, dict[InstrumentId, tuple[float, int]]]
"""Horizon → per market (markouts summed in cents a share, fills marked)."""


class MakerFigures(msgspec.Struct, kw_only=True):
    """One maker's day in sums, so that days can be pooled. Sizes and money in micro-units."""

    orders: int = 0
    """Accepted by the venue."""
    filled_orders: int = 0
    """Of these, with any fill."""
    placed: int = 0
    filled: int = 0
    wait_s: float = 0.0
    """Seconds from accepted to the first fill, summed over the orders with any."""
    fills: int = 0
    marked: int = 0
    """Size of the fills whose markout is known."""
    marked_gain: float = 0.0
    """Size times what the mid gained on the price in five seconds, in cents."""
    pnl_micro: int = 0
    digest: str = ""
    """Over everything that was journaled: equal digests, equal days."""


class _Waiting(NamedTuple):
    at_ns: int
    instrument: InstrumentId
    bought: bool
    price: int
    size: int


class MakerWatch(DigestRecorder):
    """A recorder that counts. `look` before each market event, `figures` at the end."""

    __slots__ = ("_orders", "_since", "_views", "_waiting", "figures", "marks")

    def __init__(self, views: InstrumentViews) -> None:
        super().__init__()
        self.figures = MakerFigures()
        self._views = views
        self._orders: dict[OrderId, Order] = {}
        self._since: dict[OrderId, int] = {}
        """When an order was accepted, until its first fill."""
        self._waiting: dict[int, deque[_Waiting]] = {s: deque() for s in HORIZONS_S}
        self.marks: Marks = {seconds: defaultdict(lambda: (0.0, 0)) for seconds in HORIZONS_S}

    def append(self, account: str, message: msgspec.Struct, at_ns: int) -> int:
        """Keep a message, and count what it says."""
        kind = type(message)
        if kind is PlaceOrder:
            order: Order = message.order  # type: ignore[attr-defined]
            self._orders[order.id] = order
        elif kind is OrderAccepted:
            self._accepted(message, at_ns)  # type: ignore[arg-type]
        elif kind is OrderFilled:
            self._filled(message, at_ns)  # type: ignore[arg-type]
        return super().append(account, message, at_ns)

    def _accepted(self, event: OrderAccepted, now_ns: int) -> None:
        self.figures.orders += 1
        self.figures.placed += self._orders[event.order].size
        self._since[event.order] = now_ns

    def _filled(self, event: OrderFilled, now_ns: int) -> None:
        figures, order = self.figures, self._orders[event.order]
        figures.fills += 1
        figures.filled += event.size
        since_ns = self._since.pop(event.order, None)
        if since_ns is not None:
            figures.filled_orders += 1
            figures.wait_s += (now_ns - since_ns) / S
        one = self._views[order.instrument].instrument.one
        no = order.leg is Leg.NO
        fill = _Waiting(
            at_ns=now_ns,
            instrument=order.instrument,
            bought=(order.side is Side.BUY) is not no,
            price=one - event.price if no else event.price,
            size=event.size,
        )
        for queue in self._waiting.values():
            queue.append(fill)

    def look(self, now_ns: int) -> None:
        """Mark the fills whose seconds are over, with the book as it stood until now.

        A market that has closed by then, or shows one side alone, marks nothing.
        """
        for seconds, queue in self._waiting.items():
            while queue and queue[0].at_ns + seconds * S <= now_ns:
                self._mark(queue.popleft(), seconds)

    def _mark(self, fill: _Waiting, seconds: int) -> None:
        view = self._views.get(fill.instrument)
        if view is None or view.closed or view.best_bid is None or view.best_ask is None:
            return
        gain = (view.best_bid + view.best_ask) / 2 - fill.price
        cents = (gain if fill.bought else -gain) * 100 / view.instrument.one
        total, count = self.marks[seconds][fill.instrument]
        self.marks[seconds][fill.instrument] = total + cents, count + 1
        if seconds == JUDGED_S:
            self.figures.marked += fill.size
            self.figures.marked_gain += fill.size * cents
