"""Fills and positions of the fold: booked once, settled or reversed once.

A fill is booked once whatever is told twice; a void reverses it once; news that overtakes its fill
waits for it; CONFIRMED against FAILED is told and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from engine.domain.events import OrderFilled
from engine.domain.fills import FillState
from engine.domain.instruments import Side
from engine.domain.money import ceil_div
from storage.projection_rows import (
    FillFold,
    ListingFold,
    NewsFold,
    OrderFold,
    PositionFold,
    Rows,
)
from storage.records import Record

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
