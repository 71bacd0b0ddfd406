"""Listings of open orders: what they contain, what they lack, and when they are believed.

A listing is believed when it has everything it should have; an empty one only when it comes twice
(the venue has been seen to show an empty list over resting orders).
"""

from __future__ import annotations

from collections.abc import Callable

from engine.domain.effects import CancelAll, CancelOrders, CancelScope, Severity
from engine.domain.events import OpenOrdersListed, OrderReport
from engine.domain.order_life import Happened
from engine.domain.orders import Identity, OrderState
from engine.executor.outbox import EffectOutbox
from engine.executor.records import LiveOrder
from engine.executor.table import OrderTable

STRANGERS_MAX = 1_000
"""Orders nobody knows that are remembered as already told."""

MISSING_BELIEVED = 2
"""Listings in a row that must lack an order before it is UNKNOWN."""

_LACKED = f"{MISSING_BELIEVED} listings of open orders in a row lack it"

S = OrderState
_ABSENT_MATTERS = frozenset({S.OPEN, S.PARTIAL, S.CANCELLING, S.DELAYED})


class Listings:
    """Compares listings with the table. `believed` since the last `start`."""

    def __init__(
        self, table: OrderTable, outbox: EffectOutbox, *, want_fills: Callable[[int], None]
    ) -> None:
        self._table = table
        self._outbox = outbox
        self._want_fills = want_fills
        self.believed = False
        self._empty = 0
        self._strangers: dict[Identity, None] = {}

    def start(self) -> None:
        """Believe nothing yet."""
        self.believed = False
        self._empty = 0

    def contained(
        self, event: OpenOrdersListed, asked_ns: int | None, now_ns: int
    ) -> tuple[list[OrderReport], list[OrderReport]]:
        """Take what a listing contains; return (ours, foreign)."""
        ours: list[OrderReport] = []
        foreign: list[OrderReport] = []
        for report in event.orders:
            known = None if report.order is None else self._table.orders.get(report.order)
            if known is not None:
                ours.append(report)
                self._found(known, report, asked_ns, now_ns)
            elif report.ours:
                ours.append(report)
                self._stranger(report, now_ns)
            else:
                foreign.append(report)
        return ours, foreign

    def lacked(self, ours: list[OrderReport], asked_ns: int, now_ns: int) -> bool:
        """Note live orders a listing lacks; False where one is missing for the first time."""
        seen = {report.order for report in ours}
        complete = True
        for known in self._table.live():
            if (
                known.order.id in seen
                or known.state not in _ABSENT_MATTERS
                or known.changed_ns >= asked_ns
            ):
                continue
            known.missing += 1
            if known.missing < MISSING_BELIEVED:
                complete = False
            else:
                self._table.happen(known, Happened.NOT_LISTED, now_ns, _LACKED)
        self._empty = 0 if ours else self._empty + 1
        if complete and (ours or self._empty >= MISSING_BELIEVED):
            self.believed = True
        return complete

    def _found(
        self, known: LiveOrder, report: OrderReport, asked_ns: int | None, now_ns: int
    ) -> None:
        known.missing = 0
        state = known.state
        if state.ended:
            if asked_ns is not None and asked_ns > known.changed_ns and state is not S.FILLED:
                self.zombie(known, now_ns)
            return
        older = asked_ns is None or asked_ns < known.changed_ns
        known.reported = max(known.reported, report.filled)
        if known.reported > known.filled:
            self._want_fills(now_ns)
        if (state is S.UNKNOWN and not older) or state is S.SENT or state is S.DELAYED:
            self._table.happen(known, Happened.FOUND_OPEN, now_ns)

    def zombie(self, known: LiveOrder, now_ns: int) -> None:
        """Take back an order that ended here and is open at the venue, and cancel it."""
        number, was = known.order.id, known.state
        self._table.happen(known, Happened.FOUND_OPEN, now_ns, f"open at the venue after {was}")
        self._outbox.alert(
            Severity.CRITICAL,
            "zombie_order",
            f"order {number} was {was} here and is open at the venue; it is being cancelled",
            instrument=known.order.instrument,
        )
        known.cancel_asked = True
        self._outbox.effects.append(CancelOrders(account=self._table.account, orders=(number,)))

    def _stranger(self, report: OrderReport, now_ns: int) -> None:
        """Cancel an order of our key the journal does not have, with its whole instrument.

        It has no number of ours, so it can only be reached by scope (law N).
        """
        table = self._table
        if report.identity not in self._strangers:
            if len(self._strangers) >= STRANGERS_MAX:
                self._strangers.clear()
            self._strangers[report.identity] = None
            self._outbox.alert(
                Severity.CRITICAL,
                "stranger_order",
                f"the venue lists {report.identity} as ours, the journal does not have it "
                f"({report.side} {report.size} {report.leg} at {report.price}): being cancelled",
                instrument=report.instrument,
            )
        self._outbox.effects.append(
            CancelAll(account=table.account, scope=CancelScope(instrument=report.instrument))
        )
        post = table.posts.get(report.instrument)
        for known in list(post.working.values()) if post is not None else ():
            table.ask_cancel(known, now_ns)
