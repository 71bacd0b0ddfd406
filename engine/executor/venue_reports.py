"""Venue reports: what the venue says about orders and fills, turned into moves of the table.

Books every fill, pauses an instrument after a refusal, and speaks up where the venue says something
that cannot be: a contradiction stops the account until a person releases it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.domain.effects import CancelOrders, Severity
from engine.domain.events import (
    CancelRefused,
    CancelUnanswered,
    FillAdvanced,
    FillSettled,
    FillVoided,
    OrderAccepted,
    OrderCancelled,
    OrderDelayed,
    OrderExpired,
    OrderFilled,
    OrderNamed,
    OrderNotSent,
    OrderRejected,
    OrderSent,
    OrderUnanswered,
)
from engine.domain.fills import FillId, FillState
from engine.domain.instruments import InstrumentId, Side
from engine.domain.legs import traded
from engine.domain.order_life import Happened
from engine.domain.orders import (
    AT_ONCE,
    MISSES,
    CancelReason,
    Identity,
    Order,
    OrderId,
    OrderState,
    RejectReason,
)
from engine.executor.fills import FillContradiction
from engine.executor.halts import LACKS, ORDER_AUTH, ExecutorParts
from engine.executor.orders import LiveOrder
from engine.executor.proof import AccountQuestion
from engine.executor.reconcile import Reconciler
from engine.executor.settings import MS
from engine.executor.settlement import Anomaly

H = Happened
# Members of enums are looked up once: an attribute of an Enum class costs ten of a module.
_NAMED, _ACCEPTED, _CANCELLED = H.NAMED, H.ACCEPTED, H.CANCELLED
_CANCELLING, _OPEN = OrderState.CANCELLING, OrderState.OPEN
_ASKED, _KILLED_REST = CancelReason.ASKED, CancelReason.KILLED_REST
_NO_FUNDS = CancelReason.NO_FUNDS
_UNANSWERED = frozenset({OrderState.PENDING, OrderState.SENT, OrderState.UNKNOWN})

UNMADE_MAX = 1_000
"""Orders of others that are remembered; beyond it the oldest are forgotten."""

BEHIND = (
    f"and {LACKS}, as after a copy of the home was put back. "
    "Stop the engine and run `python -m engine recover`, which asks the venue what is lacking"
)

EventHandler = Callable[[Any, int], None]


class VenueReports:
    """The venue's events of one account."""

    def __init__(self, parts: ExecutorParts) -> None:
        self._table, self._blocks, self._outbox, settings = parts
        self._cross_ns = settings.cooldown_cross_ms * MS
        self._reject_ns = settings.cooldown_reject_ms * MS
        self._cooldown_ns_max = settings.cooldown_ms_max * MS
        self.reconciler = Reconciler(
            parts, book=self.book, contradiction=self.contradiction, behind=self.behind
        )

    def handlers(self) -> dict[type, EventHandler]:
        """Return who takes which event."""
        return {
            OrderNamed: self._named,
            OrderSent: self._plain(H.SENT),
            OrderNotSent: self._not_sent,
            OrderUnanswered: self._unanswered,
            OrderAccepted: self._accepted,
            OrderDelayed: self._plain(H.DELAYED),
            OrderRejected: self._rejected,
            OrderFilled: self.book,
            FillAdvanced: lambda event, now_ns: self._advance(event.fill, event.state, now_ns),
            FillSettled: lambda event, now_ns: self._advance(
                event.fill, FillState.CONFIRMED, now_ns
            ),
            FillVoided: lambda event, now_ns: self._advance(event.fill, FillState.FAILED, now_ns),
            OrderCancelled: self._cancelled,
            CancelRefused: self._cancel_refused,
            CancelUnanswered: self._plain(H.CANCEL_UNANSWERED),
            OrderExpired: self._plain(H.EXPIRED),
        }

    # -- orders ------------------------------------------------------------------------------------

    def _known(self, order: OrderId) -> LiveOrder | None:
        """Return the order; None for one that ended so long ago that it was forgotten."""
        known = self._table.orders.get(order)
        if known is None:
            self._unknown_report(order)
        return known

    def _unknown_report(self, order: OrderId) -> None:
        """Alert to an order not made here; one forgotten or not yet listed is no news."""
        if not self._table.numbers.has(order):
            self._outbox.alert(
                Severity.CRITICAL,
                "unknown_report",
                f"the venue reports on order {order}, which was never made here",
                numbers={"order": str(order)},
            )

    def _plain(self, happened: Happened) -> EventHandler:
        """Return a handler that only moves the order."""
        orders, happen = self._table.orders, self._table.happen

        def handler(event: Any, now_ns: int) -> None:
            known = orders.get(event.order)
            if known is None:
                self._unknown_report(event.order)
            else:
                happen(known, happened, now_ns)

        return handler

    def _cancel_refused(self, event: CancelRefused, now_ns: int) -> None:
        known = self._known(event.order)
        if known is not None:
            why = event.venue_text or "the venue did not cancel it: it may have matched"
            self._table.happen(known, H.CANCEL_REFUSED, now_ns, why)

    def _named(self, event: OrderNamed, now_ns: int) -> None:
        self.named(event.order, event.identity, now_ns)

    def named(self, order: OrderId, identity: Identity, now_ns: int) -> None:
        """Take the name under which an order leaves."""
        known = self._table.orders.get(order)
        if known is None:
            self._unknown_report(order)
        elif known.identity != identity:
            known.identity = identity
            self._table.happen(known, _NAMED, now_ns)

    def _accepted(self, event: OrderAccepted, now_ns: int) -> None:
        table = self._table
        known = table.orders.get(event.order)
        if known is None:
            self._unknown_report(event.order)
            return
        table.happen(known, _ACCEPTED, now_ns)
        entry = table.instruments.get(known.order.instrument) or table.state_of(known)
        entry.refusals = 0
        state = known.state
        if state is _OPEN:
            return
        if state is _CANCELLING:
            # The cancel may have reached the venue before the order did: ask once more.
            self._outbox.effects.append(
                CancelOrders(account=table.account, orders=(known.order.id,))
            )
        elif known.not_found and state is OrderState.CANCELLED:
            # It was believed gone because the venue did not know it; here it is, late.
            self.reconciler.revived(known, now_ns)

    def _unanswered(self, event: OrderUnanswered, now_ns: int) -> None:
        known = self._known(event.order)
        if known is None:
            return
        self._table.happen(known, H.NO_ANSWER, now_ns, event.reason)
        if known.state is OrderState.UNKNOWN:
            # Until now its own answer was due: what was not found was perhaps not there yet.
            known.unknown_ns = now_ns
            known.not_found = 0
            known.asked = self.reconciler.questions.number + 1

    def _cancelled(self, event: OrderCancelled, now_ns: int) -> None:
        known = self._table.orders.get(event.order)
        if known is None:
            self._unknown_report(event.order)
            return
        reason = event.reason
        if known.reported <= known.filled or known.state.ended:
            self._table.happen(known, _CANCELLED, now_ns, event.why)
        else:  # a reply proves no end while fills that were reported are to be booked (law G)
            self.reconciler.lacks_fills(known, event.why, now_ns)
        if reason is not _ASKED:
            if reason is _KILLED_REST:
                self._pause(known, self._cross_ns, now_ns)
            elif reason is _NO_FUNDS:
                self._refused(known, now_ns)
                self.reconciler.questions.request(AccountQuestion.BALANCES, now_ns)
        if known.reported and known.reported > known.filled:
            self.reconciler.request_fills(now_ns)

    def _not_sent(self, event: OrderNotSent, now_ns: int) -> None:
        known = self._known(event.order)
        if known is not None:
            self._table.happen(known, H.NOT_SENT, now_ns, event.reason)
            self._pause(known, self._cross_ns, now_ns)

    def _rejected(self, event: OrderRejected, now_ns: int) -> None:
        known = self._known(event.order)
        if known is None:
            return
        reason, text = event.reason, event.venue_text
        if reason is RejectReason.DUPLICATE and known.state in _UNANSWERED:
            # An order is sent once: what the venue knows by its number is another one.
            self.behind(f"the venue knew order {event.order} before it was sent", event.order)
        self._table.happen(known, H.REJECTED, now_ns, f"{reason}: {text}" if text else reason)
        if reason is RejectReason.WOULD_CROSS:
            self._pause(known, self._cross_ns, now_ns)
            return
        self._refused(known, now_ns)
        if reason is RejectReason.NO_FUNDS:
            self.reconciler.questions.request(AccountQuestion.BALANCES, now_ns)
        elif reason is RejectReason.AUTH:
            why = event.venue_text or "the venue refuses our credential"
            self._blocks.unhealthy[ORDER_AUTH] = why
        if reason not in MISSES:
            self._outbox.alert(
                Severity.CRITICAL if reason is RejectReason.AUTH else Severity.WARNING,
                f"rejected_{reason}",
                f"order {event.order} was refused: {reason}: {event.venue_text}",
                instrument=known.order.instrument,
                bot=known.order.bot,
                numbers=self._terms(known.order),
            )

    def _terms(self, order: Order) -> dict[str, str]:
        """Return what an order is, as a person reads it."""
        terms = self._table.ledger.state.instruments.get(order.instrument)
        found = {"order": str(order.id)}
        if terms is not None:
            found["size"] = f"{order.side}{traded(order.leg)} {terms.size_text(order.size)}"
            found["price"] = terms.price_words(order.price)
        return found

    def _refused(self, known: LiveOrder, now_ns: int) -> None:
        """Pause the instrument, twice as long for each refusal in a row, up to a maximum."""
        entry = self._table.state_of(known)
        pause_ns = min(self._reject_ns << min(entry.refusals, 30), self._cooldown_ns_max)
        entry.refusals += 1
        self._pause(known, pause_ns, now_ns)

    def _pause(self, known: LiveOrder, pause_ns: int, now_ns: int) -> None:
        entry, table = self._table.state_of(known), self._table
        entry.cooldown_ns = max(entry.cooldown_ns, now_ns + pause_ns)
        table.wake_ns = min(table.wake_ns, entry.cooldown_ns)

    # -- fills -------------------------------------------------------------------------------------

    def book(self, event: OrderFilled, now_ns: int) -> None:
        """Book a fill, reported by the stream or by a listing."""
        known = self._table.orders.get(event.order)
        if known is None:
            if not self._table.numbers.has(event.order):
                self.behind(f"the venue tells a fill of order {event.order}", event.order)
            elif event.order not in self._table.awaiting_listing:
                self.contradiction(f"fill {event.fill} is of order {event.order}, which is unknown")
            return  # its fills are listed again once its instrument is
        over = event.size - known.remaining
        try:
            booked, new = self._table.fill(known, event, now_ns)
        except FillContradiction as contradiction:
            self.contradiction(f"fill {event.fill}: {contradiction}")
            return
        order = known.order
        states = self._table.ledger.state.fills.states  # a decided one may be forgotten already
        if (new or booked.changed) and states.get(event.fill, event.state) is FillState.FAILED:
            self._failed(event.fill, order.id, order.instrument)
        if not new:
            return
        self._table.state_of(known).refusals = 0
        if known.over and known.reported <= known.filled:
            self._table.happen(known, H.FOUND_GONE, now_ns, "it is over, and its fills are booked")
        for anomaly in booked.anomalies:
            if anomaly is Anomaly.CASH_NEGATIVE and self._table.ledger.state.recount:
                continue  # the first cash that paid for it is not counted yet
            self._outbox.alert(
                Severity.CRITICAL,
                anomaly,
                f"fill {event.fill} of order {order.id} was booked although it breaks a rule",
                instrument=order.instrument,
                bot=order.bot,
                numbers=self._terms(order),
            )
        if over > 0:
            self._surplus(order, over)

    def _surplus(self, order: Order, over: int) -> None:
        """Tell of more than asked: at its own limit a mistake, below it what a budget bought.

        Polymarket takes a BUY that matches at once as a budget and spends all of it.
        """
        state = self._table.ledger.state
        terms = state.instruments[order.instrument]
        budget_micro = terms.cost_micro(order.price, order.size)
        bought = order.side is Side.BUY and order.type in AT_ONCE
        fair = bought and state.fills.moved_micro(order.id) <= budget_micro
        self._outbox.alert(
            Severity.INFO if fair else Severity.CRITICAL,
            "price_improved" if fair else "overfilled",
            f"order {order.id} was filled by {terms.size_text(over)} more than was asked; "
            "all is booked",
            instrument=order.instrument,
            bot=order.bot,
            numbers=self._terms(order) | {"more than asked": terms.size_text(over)},
        )

    def _advance(self, fill: FillId, state: FillState, now_ns: int) -> None:
        table = self._table
        fills = table.ledger.state.fills
        entry = fills.unsettled.get(fill)
        known = fill in fills.states
        try:
            booked = table.ledger.advance(fill, state, now_ns)
        except FillContradiction as contradiction:
            self.contradiction(f"fill {fill}: {contradiction}")
            return
        if not known:
            self.reconciler.request_fills(now_ns)  # the fill itself has not been reported yet
        if not booked.changed or entry is None:
            return
        table.moved(entry.instrument, now_ns)
        if state is FillState.FAILED:
            self._failed(fill, entry.order, entry.instrument)

    def _failed(self, fill: FillId, order: OrderId, instrument: InstrumentId) -> None:
        known = self._table.orders.get(order)
        self._outbox.alert(
            Severity.WARNING,
            "fill_failed",
            f"fill {fill} of order {order} failed to settle and was reversed",
            instrument=instrument,
            bot=None if known is None else known.order.bot,
            numbers={"order": str(order)} if known is None else self._terms(known.order),
        )

    def behind(self, what: str, order: OrderId | None) -> None:
        """Stop the account: the venue knows an order of ours that was never made here.

        The journal lacks its end, or is a copy that was put back: nothing is booked on it before a
        person has the venue asked for what is lacking. New orders are numbered above that order.
        """
        blocks = self._blocks.state
        if order is not None:
            self._table.numbers.raise_floor(order)
            if order not in blocks.unmade:
                blocks.unmade.append(order)
                del blocks.unmade[:-UNMADE_MAX]
        if not any(BEHIND in text for text in blocks.contradictions):
            self.contradiction(f"{what}, {BEHIND}")

    def contradiction(self, text: str) -> None:
        """Stop the account: what the venue says cannot be, and only a person can judge it."""
        found = self._blocks.state.contradictions
        if text not in found:
            found.append(text)
            del found[:-100]
            self._outbox.alert(Severity.CRITICAL, "contradiction", text)
        for instrument in self._table.instruments:
            self._table.dirty[instrument] = True
