"""Which fills are known and where each stands, so that every fill is booked and reversed once.

A fill's id is remembered as long as its order is: a duplicate of any known order's fill is
recognised without exception, and memory ends with the order. News about a fill that has not been
told yet waits in a small bounded room for it.
"""

from __future__ import annotations

import msgspec

from engine.domain.fills import FillId, FillState
from engine.domain.instruments import InstrumentId, Leg, Side
from engine.domain.orders import OrderId
from engine.errors import BrokenInvariant
from engine.executor.fill_machine import FILL_ENDS, advance

FILLS_KNOWN_MAX = 50_000
"""More remembered fills than this and the executor lets go of its oldest ended orders."""

FILLS_EARLY_MAX = 1_000
"""News that overtook their fill; the oldest is forgotten, the next listing of fills repeats it."""


class Unsettled(msgspec.Struct, kw_only=True, gc=False):
    """A fill that may still become void, with everything needed to reverse it to the unit.

    `cash_micro` is what it moved without fee (cost of a buy, proceeds of a sell); `cost_settled`
    and `cost_pending` are the costs a sell took out of the holding; `payout_micro` is what its
    tokens were turned into when the instrument resolved first (None = it has not).
    """

    fill: FillId
    order: OrderId
    instrument: InstrumentId
    leg: Leg
    side: Side
    size: int
    cash_micro: int
    fee_micro: int
    cost_settled_micro: int = 0
    cost_pending_micro: int = 0
    payout_micro: int | None = None
    at_ns: int = 0
    """When it was booked."""


class FillBook(msgspec.Struct, kw_only=True):
    """All remembered fills: state of each, detail of the unsettled, ids by order."""

    states: dict[FillId, FillState] = {}
    unsettled: dict[FillId, Unsettled] = {}
    by_order: dict[OrderId, list[FillId]] = {}
    early: dict[FillId, FillState] = {}

    def first(self, fill: FillId, order: OrderId, told: FillState) -> FillState:
        """Remember a new fill and return where it stands, news that overtook it included."""
        if fill in self.states:
            raise BrokenInvariant(f"fill {fill} is already known")
        ahead = self.early.get(fill)
        state = told if ahead is None else advance(told, ahead)
        self.early.pop(fill, None)
        self.states[fill] = state
        fills = self.by_order.get(order)
        if fills is None:
            self.by_order[order] = [fill]
        else:
            fills.append(fill)
        return state

    def moved_micro(self, order: OrderId) -> int:
        """Return the cash that an order's unsettled fills moved, without fees."""
        return sum(one.cash_micro for one in self.unsettled.values() if one.order == order)

    def tell(self, fill: FillId, told: FillState) -> tuple[FillState, FillState] | None:
        """Move a known fill; return (before, after), or None where it is not known yet."""
        before = self.states.get(fill)
        if before is None:
            self._early(fill, told)
            return None
        after = advance(before, told)
        self.states[fill] = after
        return before, after

    def _early(self, fill: FillId, told: FillState) -> None:
        ahead = self.early.get(fill)
        if ahead is None and len(self.early) >= FILLS_EARLY_MAX:
            del self.early[next(iter(self.early))]
        self.early[fill] = told if ahead is None else advance(ahead, told)

    def decided(self, order: OrderId) -> bool:
        """Say whether every known fill of an order is settled or void."""
        states = self.states
        return all(states[fill] in FILL_ENDS for fill in self.by_order.get(order, ()))

    def forget(self, order: OrderId) -> None:
        """Let go of a decided order's fills. Raises where one is still undecided."""
        if not self.decided(order):
            raise BrokenInvariant(f"order {order} still has unsettled fills")
        for fill in self.by_order.pop(order, ()):
            del self.states[fill]
