"""The fold from journal records to orders, fills and positions: pure but for the rows it is given.

Every handler takes one decoded message and its record. Where an order stands is what the executor
says of it; fills, positions and cash are booked here from the facts, in `storage.projection_fills`,
so that they bear a second witness.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.domain import effects, events
from engine.domain.fills import FillState
from engine.domain.instruments import Instrument
from engine.domain.orders import Order, OrderState
from storage.projection_fills import Fills
from storage.projection_rows import CashFold, ListingFold, OrderFold, Rows
from storage.records import Record, decode

TOLD_MAX = 100


class Fold:
    """Folds records into `rows`. `told` has a sentence for each record that could not be used."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
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

    def named(self, event: events.OrderNamed, record: Record) -> None:
        """Take an order's identity."""
        order = self._order(event.account, event.order, record)
        if order is not None:
            order.identity = event.identity
            self._touch(order, record)

    def sent(self, event: events.OrderSent, record: Record) -> None:
        """Note that an order is on its way; of one that moved since, `OrderChanged` has told."""
        order = self._order(event.account, event.order, record)
        if order is not None and order.state is OrderState.PENDING:
            order.state = OrderState.SENT
            self._touch(order, record)

    def changed(self, change: effects.OrderChanged, record: Record) -> None:
        """Take where the executor says an order stands: this is no second opinion."""
        order = self._order(change.account, change.order, record)
        if order is not None:
            if order.state is not change.state:
                order.state, order.reason = change.state, change.reason
            order.filled = change.filled
            self._touch(order, record)

    def _touch(self, order: OrderFold, record: Record) -> None:
        order.updated_ns, order.seq = record.at_ns, record.seq
        self.rows.put(order)

    # -- fills -------------------------------------------------------------------------------------

    def filled(self, event: events.OrderFilled, record: Record) -> None:
        """Book a fill once; told again it can only move on."""
        order = self._order(event.account, event.order, record)
        if order is None or self._fills.known(event, record):
            return
        order.fee_micro += event.fee_micro
        self._touch(order, record)
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


SETTLES = {"FillSettled": FillState.CONFIRMED, "FillVoided": FillState.FAILED}
HANDLERS: dict[str, Callable[[Fold, Any, Record], None]] = {
    "PlaceOrder": Fold.place,
    "OrderNamed": Fold.named,
    "OrderSent": Fold.sent,
    "OrderChanged": Fold.changed,
    "OrderFilled": Fold.filled,
    "FillAdvanced": Fold.news,
    "FillSettled": Fold.news,
    "FillVoided": Fold.news,
    "FillsListed": Fold.fills_listed,
    "InstrumentListed": Fold.listed,
    "InstrumentResolved": Fold.resolved,
    "CashMoved": Fold.cash,
}
