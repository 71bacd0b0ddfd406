"""Memory: which orders and instruments are remembered, and which may be forgotten.

Ended orders are kept up to a maximum, so that a late fill finds its order; an order with a fill
that is neither settled nor void stays, and an instrument stays as long as an order of it does.
"""

from __future__ import annotations

from collections import OrderedDict

from engine.domain.instruments import InstrumentId
from engine.domain.orders import OrderId
from engine.executor.fill_book import FILLS_KNOWN_MAX
from engine.executor.ledger import Ledger
from engine.executor.records import InstrumentState, LiveOrder

RETIRE_TRIES_MAX = 8
"""Ended orders looked at per retirement; those with unsettled fills queue again."""


class OrderMemory:
    """All orders of an account, and the instruments they belong to."""

    def __init__(self, ledger: Ledger, ended_max: int) -> None:
        self.ledger = ledger
        self._ended_max = ended_max
        self.posts: dict[InstrumentId, InstrumentState] = {}
        self.over: dict[InstrumentId, InstrumentState] = {}
        """Forgotten instruments of which ended orders are still remembered."""
        self.orders: dict[OrderId, LiveOrder] = {}
        self.ended: OrderedDict[OrderId, None] = OrderedDict()
        """Ended orders, the longest ended first. (A plain dict would search its first key among all
        that were deleted before it.)"""

    def remember_ended(self, order: OrderId) -> None:
        """Queue an order that has just ended behind those that ended before it."""
        self.ended[order] = None
        if len(self.ended) > self._ended_max:
            self.retire()

    def retire(self) -> None:
        """Forget the longest ended orders beyond the maximum, unless a fill is undecided."""
        fills = self.ledger.state.fills
        ended = self.ended
        for _ in range(RETIRE_TRIES_MAX):
            over = len(ended) > self._ended_max
            if not ended or not (over or len(fills.states) > FILLS_KNOWN_MAX):
                return
            number, _ = ended.popitem(last=False)
            if number in fills.by_order:  # most orders end without a fill
                if not fills.decided(number):
                    ended[number] = None
                    continue
                fills.forget(number)
            self._drop(self.orders[number])

    def _drop(self, known: LiveOrder) -> None:
        instrument = known.order.instrument
        del self.orders[known.order.id]
        post = self.posts.get(instrument) or self.over[instrument]
        post.remembered -= 1
        if not post.remembered and self.over.pop(instrument, None) is not None:
            del self.ledger.state.instruments[instrument]
