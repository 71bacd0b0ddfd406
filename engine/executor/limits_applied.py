"""Cut: what rests and is over limits that have just been lowered goes; only less is placed again.

A limit is asked when an order is placed. An order that rests was placed under the old ones and may
still fill, so it counts as exposure that the new ones do not allow.
"""

from __future__ import annotations

from engine.domain.instruments import InstrumentId
from engine.domain.orders import OrderId
from engine.executor.records import InstrumentState
from engine.executor.table import OrderTable
from engine.risk.gate import RiskGate


class Cut:
    """Looks, once after each change of the limits, at the instruments in which orders work."""

    __slots__ = ("_gate", "_table", "due")

    def __init__(self, table: OrderTable, gate: RiskGate) -> None:
        self._table = table
        self._gate = gate
        self.due: tuple[InstrumentId, ...] = ()
        """Instruments that have not been looked at under the limits in force."""
        gate.applied = self._look

    def _look(self) -> None:
        table = self._table
        self.due = tuple(key for key, post in table.posts.items() if post.working)
        for key in self.due:
            table.dirty[key] = True

    def orders(self) -> tuple[OrderId, ...]:
        """Return, once, what must be cancelled; what is wished is then planned under the limits."""
        due, self.due = self.due, ()
        posts = self._table.posts
        return tuple(
            number
            for post in (posts[key] for key in due if key in posts)
            if self._exceeds(post)
            for number, known in post.working.items()
            if not known.cancel_asked
        )

    def _exceeds(self, post: InstrumentState) -> bool:
        gate, count = self._gate, self._table.live_count
        return gate.exceeded(post.instrument.id, count) or any(
            gate.too_large(known.order.price * known.remaining, post.instrument)
            for known in post.working.values()
        )
