"""The fold from journal records to orders, fills and positions: pure but for the rows it is given.

Every handler takes one decoded message and its record. Where an order stands is what the executor
says of it; fills, positions and cash are booked here from the facts, in `storage.projection_fills`,
so that they bear a second witness.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.domain import effects, events
from engine.domain.events import OrderFilled
from engine.domain.fills import FillState
from engine.domain.instruments import Instrument, Side
from engine.domain.money import ceil_div
from engine.domain.orders import Order, OrderState
from storage.projection_rows import (
    CashFold,
    FillFold,
    ListingFold,
    NewsFold,
    OrderFold,
    PositionFold,
    Rows,
)
from storage.records import Record, decode

# -- Fills and positions of the fold: booked once, settled or reversed once ------------------------
# A fill is booked once whatever is told twice; a void reverses it once; news that overtakes its
# fill waits for it; CONFIRMED against FAILED is told and changes nothing.

DECIDED = frozenset({FillState.CONFIRMED, FillState.FAILED})


class Fills:
    """Books fills into `rows`. What contradicts itself is said through `tell`."""

    def __init__(self, rows: Rows, tell: Callable[[str], None]) -> None:
        self.rows = rows
        self._tell = tell

    def known(self, event: OrderFilled, record: Record) -> bool:
        """Say whether the fill stands already; then it moves on as far as the event tells."""
        fill = self.rows.find(FillFold, event.account, event.fill)
        if fill is None:
            return False
        self._advance(fill, event.state, record)
        return True

    def first(self, order: OrderFold, event: OrderFilled, record: Record) -> None:
        """Book a fill heard of for the first time, and what was told of it before."""
        fill = self._fill_of(order, event, record)
        self.rows.put(fill)
        self._book(fill, record)
        if fill.state is FillState.FAILED:
            self._reverse(fill, record)
        news = self.rows.find(NewsFold, event.account, event.fill)
        if news is not None:
            self.rows.drop(news)
            self._advance(fill, news.state, record)

    def news(self, account: str, fill_id: str, told: FillState, record: Record) -> None:
        """Move a fill on; where it is not there yet, the news waits for it."""
        fill = self.rows.find(FillFold, account, fill_id)
        if fill is not None:
            self._advance(fill, told, record)
            return
        early = self.rows.find(NewsFold, account, fill_id)
        if early is None or early.state not in DECIDED:
            self.rows.put(NewsFold(account=account, fill=fill_id, state=told, seq=record.seq))

    def _fill_of(self, order: OrderFold, event: OrderFilled, record: Record) -> FillFold:
        listing = self.rows.find(ListingFold, order.instrument)
        value = None
        if listing is not None and listing.value_divisor is not None:
            raw = event.price * event.size
            # Rounded against us, as the ledger does: what we pay up, what we get down.
            buys = order.side is Side.BUY
            value = ceil_div(raw, listing.value_divisor) if buys else raw // listing.value_divisor
        return FillFold(
            account=event.account,
            id=event.fill,
            mode=order.mode,
            order_id=order.id,
            bot=order.bot,
            instrument=order.instrument,
            leg=order.leg,
            side=order.side,
            price=event.price,
            size=event.size,
            value_micro=value,
            fee_micro=event.fee_micro,
            liquidity=event.liquidity,
            state=event.state,
            source=event.source,
            at_ns=record.at_ns,
            updated_ns=record.at_ns,
            seq=record.seq,
        )

    def _position(self, fill: FillFold, record: Record) -> PositionFold:
        key = (fill.account, fill.instrument, fill.leg)
        position = self.rows.find(PositionFold, *key)
        if position is None:
            position = PositionFold(
                account=fill.account,
                instrument=fill.instrument,
                leg=fill.leg,
                mode=fill.mode,
                updated_ns=record.at_ns,
                seq=record.seq,
            )
        position.updated_ns, position.seq = record.at_ns, record.seq
        self.rows.put(position)
        return position

    def _book(self, fill: FillFold, record: Record, sign: int = 1) -> None:
        """Add a fill to its position; with sign −1, take it out as if it had never been."""
        position = self._position(fill, record)
        value = sign * (fill.value_micro or 0)
        signed = sign * fill.size
        if fill.side is Side.BUY:
            position.bought += signed
            position.spent_micro += value
        else:
            position.sold += signed
            position.received_micro += value
            signed = -signed
        if fill.state is FillState.CONFIRMED:
            position.settled += signed
        else:
            position.pending += signed
        position.fee_micro += sign * fill.fee_micro
        position.unvalued += sign * (fill.value_micro is None)

    def _reverse(self, fill: FillFold, record: Record) -> None:
        self._book(fill, record, sign=-1)
        order = self.rows.find(OrderFold, fill.account, fill.order_id)
        if order is not None:
            order.voided += fill.size
            order.fee_micro -= fill.fee_micro
            order.updated_ns, order.seq = record.at_ns, record.seq
            self.rows.put(order)

    def _advance(self, fill: FillFold, told: FillState, record: Record) -> None:
        """Move a booked fill on. Older news changes nothing; a contradiction is told."""
        if told is FillState.MATCHED or told is fill.state:
            return
        if fill.state in DECIDED:
            if told in DECIDED:
                self._tell(f"record {record.seq}: fill {fill.id} is {fill.state}, told {told}")
            return
        if told is FillState.CONFIRMED:
            position = self._position(fill, record)
            signed = fill.size if fill.side is Side.BUY else -fill.size
            position.pending -= signed
            position.settled += signed
        elif told is FillState.FAILED:
            self._reverse(fill, record)
        fill.state = told
        fill.updated_ns, fill.seq = record.at_ns, record.seq
        self.rows.put(fill)


# --------------------------------------------------------------------------------------------------

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
