"""The fold from journal records to orders, fills and positions: pure but for the rows it is given.

Every handler takes one decoded message and its record. Orders move here, fills in
`storage.projection_fills`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.domain import effects, events
from engine.domain.fills import FillState
from engine.domain.instruments import Instrument
from engine.domain.orders import Order, OrderState
from storage.projection_fills import Fills
from storage.projection_order import Told, moved
from storage.projection_rows import CashFold, ListingFold, OrderFold, Rows
from storage.records import Record, decode

DOUBTS_BELIEVED = 2
"""The second `not found` in a row is believed (law J); the executor may wait longer."""

LISTABLE = frozenset(
    {OrderState.OPEN, OrderState.PARTIAL, OrderState.CANCELLING, OrderState.UNKNOWN}
)
"""States of an order that a complete listing would show if it were open."""

TOLD_MAX = 100


class Fold:
    """Folds records into `rows`. `told` has a sentence for each record that could not be used."""

    def __init__(
        self, rows: Rows, asked_before: Callable[[str, int], int | None] = lambda *_: None
    ) -> None:
        """`asked_before(account, seq)`: the listing asked for last, if this fold began later."""
        self.rows = rows
        self._asked_before = asked_before
        self._asked: dict[str, int] = {}
        self.told: list[str] = []
        self._fills = Fills(rows, self._tell)

    def take(self, record: Record) -> None:
        """Fold one record; kinds that tell nothing of orders or fills pass by undecoded."""
        handler = HANDLERS.get(record.kind)
        if handler is not None:
            handler(self, decode(record), record)

    def _tell(self, sentence: str) -> None:
        if len(self.told) < TOLD_MAX:
            self.told.append(sentence)

    # -- orders ------------------------------------------------------------------------------------

    def place(self, effect: effects.PlaceOrder, record: Record) -> None:
        """Take a new order; told twice it is the same one."""
        order: Order = effect.order
        if self.rows.find(OrderFold, order.account, order.id) is not None:
            return
        self.rows.put(
            OrderFold(
                account=order.account,
                id=order.id,
                mode=self.rows.mode(order.account),
                bot=order.bot,
                instrument=order.instrument,
                leg=order.leg,
                side=order.side,
                price=order.price,
                size=order.size,
                type=order.type,
                post_only=order.post_only,
                expires_ns=order.expires_ns,
                created_ns=order.created_ns,
                updated_ns=record.at_ns,
                seq=record.seq,
                decision=order.decision,
            )
        )

    def _order(self, account: str, number: int, record: Record) -> OrderFold | None:
        order = self.rows.find(OrderFold, account, number)
        if order is None:
            self._tell(
                f"record {record.seq}: {record.kind} of order {number} at {account}, "
                "which the journal never placed"
            )
        return order

    def _move(self, order: OrderFold, told: Told, record: Record, reason: str = "") -> None:
        after = moved(order.state, told)
        if after is not order.state:
            order.state = after
            order.reason = reason
        if told not in _KEEPS_DOUBT:
            order.doubts = 0
        self._touch(order, record)

    def _touch(self, order: OrderFold, record: Record) -> None:
        order.updated_ns, order.seq = record.at_ns, record.seq
        self.rows.put(order)

    def named(self, event: events.OrderNamed, record: Record) -> None:
        """Take an order's identity."""
        order = self._order(event.account, event.order, record)
        if order is not None:
            order.identity = event.identity
            self._touch(order, record)

    def tell(self, event: Any, record: Record) -> None:
        """Take one of the plain reports about one order."""
        told = PLAIN[record.kind]
        order = self._order(event.account, event.order, record)
        if order is not None:
            text = getattr(event, "venue_text", "")
            reason = str(getattr(event, "reason", ""))
            self._move(order, told, record, f"{reason}: {text}" if text else reason)

    def cancel(self, effect: effects.CancelOrders, record: Record) -> None:
        """Note that cancels were asked for."""
        for number in effect.orders:
            order = self._order(effect.account, number, record)
            if order is not None:
                self._move(order, Told.CANCEL_ASKED, record)

    def cancel_all(self, effect: effects.CancelAll, record: Record) -> None:
        """Note that everything live in scope was asked to be cancelled."""
        scope = effect.scope
        for order in list(self.rows.live.values()):
            if (
                order.account == effect.account
                and scope.instrument in (None, order.instrument)
                and scope.bot in (None, order.bot)
            ):
                self._move(order, Told.CANCEL_ASKED, record)

    def listed_open(self, event: events.OpenOrdersListed, record: Record) -> None:
        """Take a complete listing: what stands on it is live, what lacks twice is gone.

        Without the second half a late answer that shows an order of the past kept it for ever.
        """
        for report in event.orders:
            self._found(event.account, report, record)
        account = event.account
        asked = self._asked.pop(account, None) or self._asked_before(account, record.seq)
        if asked is None:
            return
        listed = {report.order for report in event.orders}
        for order in list(self.rows.live.values()):
            settled = order.state in LISTABLE and order.seq < asked
            if order.account == account and settled and order.id not in listed:
                order.doubts += 1
                if order.doubts >= DOUBTS_BELIEVED:
                    self._move(order, Told.FOUND_GONE, record, "not among the open orders, twice")
                else:
                    self.rows.put(order)

    def asked_open(self, effect: effects.QueryOpenOrders, record: Record) -> None:
        """Note since when a listing is asked for: only what it should have shown may lack."""
        self._asked[effect.account] = record.seq

    def reported(self, event: events.OrderReported, record: Record) -> None:
        """Take the answer about one order."""
        self._found(event.account, event.report, record)

    def _found(self, account: str, report: events.OrderReport, record: Record) -> None:
        if report.order is None:
            return  # foreign, or forgotten: it has no row of ours
        order = self._order(account, report.order, record)
        if order is None or report.state in (OrderState.UNKNOWN, OrderState.DELAYED):
            return
        if report.state.ended:
            self._move(order, Told.FOUND_GONE, record, f"the venue reports {report.state}")
        else:
            self._move(order, Told.FOUND_PART if report.filled else Told.FOUND_OPEN, record)

    def not_found(self, event: events.OrderNotFound, record: Record) -> None:
        """Count a `not found`: one answer is a doubt, the next in a row is believed."""
        order = self._order(event.account, event.order, record)
        if order is None:
            return
        order.doubts += 1
        if order.doubts >= DOUBTS_BELIEVED:
            self._move(order, Told.FOUND_GONE, record, "the venue does not know it")
        else:
            self._touch(order, record)

    # -- fills -------------------------------------------------------------------------------------

    def filled(self, event: events.OrderFilled, record: Record) -> None:
        """Book a fill once; told again it can only move on."""
        order = self._order(event.account, event.order, record)
        if order is None or self._fills.known(event, record):
            return
        order.filled += event.size
        order.fee_micro += event.fee_micro
        whole = order.filled >= order.size
        self._move(order, Told.FILLED_ALL if whole else Told.FILLED_PART, record)
        self._fills.first(order, event, record)

    def news(self, event: Any, record: Record) -> None:
        """Take a move of settlement."""
        self._fills.news(event.account, event.fill, SETTLES.get(record.kind) or event.state, record)

    def fills_listed(self, event: events.FillsListed, record: Record) -> None:
        """Take fills from a question: each as the event it would have been."""
        for fill in event.fills:
            self.filled(fill, record)

    # -- instruments -------------------------------------------------------------------------------

    def _listing(self, instrument: str, record: Record) -> ListingFold:
        listing = self.rows.find(ListingFold, instrument)
        if listing is None:
            listing = ListingFold(instrument=instrument, seq=record.seq)
        listing.seq = record.seq
        self.rows.put(listing)
        return listing

    def listed(self, event: events.InstrumentListed, record: Record) -> None:
        """Give the instrument's fills a value from here on."""
        instrument: Instrument = event.instrument
        self._listing(instrument.id, record).value_divisor = instrument.value_divisor

    def resolved(self, event: events.InstrumentResolved, record: Record) -> None:
        """Note what one YES pays."""
        self._listing(event.instrument, record).payout_yes_micro = event.payout_yes_micro

    # -- cash --------------------------------------------------------------------------------------

    def cash(self, event: events.CashMoved, record: Record) -> None:
        """Take a deposit or a withdrawal."""
        mode, cash = self.rows.mode(event.account), event.amount_micro
        self.rows.put(
            CashFold(
                account=event.account, seq=record.seq, mode=mode, currency=event.currency,
                amount_micro=cash, at_ns=record.at_ns,
            )
        )  # fmt: skip


_KEEPS_DOUBT = frozenset({Told.CANCEL_ASKED, Told.FOUND_GONE})
PLAIN = {
    "OrderSent": Told.SENT,
    "OrderNotSent": Told.NOT_SENT,
    "OrderUnanswered": Told.NO_ANSWER,
    "OrderAccepted": Told.ACCEPTED,
    "OrderDelayed": Told.DELAYED,
    "OrderRejected": Told.REJECTED,
    "OrderCancelled": Told.CANCELLED,
    "CancelRefused": Told.CANCEL_REFUSED,
    "CancelUnanswered": Told.CANCEL_UNANSWERED,
    "OrderExpired": Told.EXPIRED,
}
SETTLES = {"FillSettled": FillState.CONFIRMED, "FillVoided": FillState.FAILED}
HANDLERS: dict[str, Callable[[Fold, Any, Record], None]] = {
    "PlaceOrder": Fold.place,
    "CancelOrders": Fold.cancel,
    "CancelAll": Fold.cancel_all,
    "OrderNamed": Fold.named,
    **dict.fromkeys(PLAIN, Fold.tell),
    "QueryOpenOrders": Fold.asked_open,
    "OpenOrdersListed": Fold.listed_open,
    "OrderReported": Fold.reported,
    "OrderNotFound": Fold.not_found,
    "OrderFilled": Fold.filled,
    "FillAdvanced": Fold.news,
    "FillSettled": Fold.news,
    "FillVoided": Fold.news,
    "FillsListed": Fold.fills_listed,
    "InstrumentListed": Fold.listed,
    "InstrumentResolved": Fold.resolved,
    "CashMoved": Fold.cash,
}
