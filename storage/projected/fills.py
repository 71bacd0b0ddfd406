"""Fills: booked once whatever is reported twice, settled or reversed once.

News of a fill that comes before the fill waits for it. CONFIRMED against FAILED is reported and
changes nothing.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from engine.domain import events
from engine.domain.fills import FillState, Liquidity, SizeSource
from engine.domain.instruments import Leg, Mode, Side
from engine.domain.money import ceil_div
from storage.fold import Fold, Noun, ProjectedTable
from storage.journal import Record
from storage.projected.listings import ListingRow
from storage.projected.orders import OrderRow, find_order, put_order


class FillRow(msgspec.Struct, kw_only=True):
    """One row of `fills`. `value_micro` None = the journal lists no instrument."""

    account: str
    id: str
    mode: Mode
    order_id: int
    bot: str
    instrument: str
    leg: Leg
    side: Side
    price: int
    size: int
    value_micro: int | None
    fee_micro: int
    liquidity: Liquidity
    state: FillState
    source: SizeSource
    realised_micro: int | None = None
    """What a sale brought over the average cost of its tokens, before fees, 0 for a buy; of a void
    fill what its reversal brought. None = the instrument, or a fill before it, has no value."""
    fee_asset: str | None = None
    """What the venue took its fee of, where that is not the currency: beside `fee_micro`."""
    fee_decimals: int | None = None
    fee_amount: int | None = None
    """In units of so many decimals of that asset."""
    fee_size: int = 0
    """Increments of the traded thing that left with a fee in it: a buy brings so many fewer."""
    fee_worth_micro: int = 0
    """What such a fee was worth at the fill's price."""
    transaction_id: str | None = None
    """Hash on the chain; None = the venue has named none."""
    matched_ns: int | None = None
    """When, by the venue; None = it does not say, or nothing depends on it."""
    at_ns: int
    updated_ns: int
    seq: int

    @property
    def tokens(self) -> int:
        """What it moved of the traded thing, fee included: bought (+) or sold (−)."""
        return (self.size if self.side is Side.BUY else -self.size) - self.fee_size


class NewsRow(msgspec.Struct, kw_only=True):
    """One row of `early_news`: news of a fill that came before the fill itself."""

    account: str
    fill: str
    state: FillState
    seq: int


class FillBooked(msgspec.Struct, frozen=True):
    """Emitted where a fill counts (`sign` 1), and where it counts no longer (-1): it is void."""

    fill: FillRow
    sign: int


class FillConfirmed(msgspec.Struct, frozen=True):
    """Emitted where the tokens of a fill that counts have settled."""

    fill: FillRow


DECIDED = frozenset({FillState.CONFIRMED, FillState.FAILED})


def on_order_filled(fold: Fold, event: events.OrderFilled, record: Record) -> None:
    """Book a fill once; reported again it can only move on."""
    order = find_order(fold, event.account, event.order, record)
    if order is None:
        return
    fill = fold.rows.find(FillRow, event.account, event.fill)
    if fill is not None:
        _advance(fold, fill, event.state, event.transaction, record)
        return
    fill = _fill_of(fold, order, event, record)
    order.fee_micro += fill.fee_micro
    put_order(fold, order, record)
    fold.rows.put(fill)
    fold.emit(FillBooked(fill, 1), record)
    if fill.state is FillState.FAILED:
        _reverse(fold, fill, record)
    news = fold.rows.find(NewsRow, event.account, event.fill)
    if news is not None:
        fold.rows.drop(news)
        _advance(fold, fill, news.state, UNSET, record)


def on_fills_listed(fold: Fold, event: events.FillsListed, record: Record) -> None:
    """Take fills from a question: each as the event it would have been."""
    for fill in event.fills:
        on_order_filled(fold, fill, record)


def on_fill_advanced(fold: Fold, event: events.FillAdvanced, record: Record) -> None:
    _on_news(fold, event, event.state, record)


def on_fill_settled(fold: Fold, event: events.FillSettled, record: Record) -> None:
    _on_news(fold, event, FillState.CONFIRMED, record)


def on_fill_voided(fold: Fold, event: events.FillVoided, record: Record) -> None:
    _on_news(fold, event, FillState.FAILED, record)


def _on_news(fold: Fold, event: Any, state: FillState, record: Record) -> None:
    """Move a fill on; where it is not there yet, the news waits for it."""
    fill = fold.rows.find(FillRow, event.account, event.fill)
    if fill is not None:
        chain = getattr(event, "transaction", UNSET)  # a void fill has none
        _advance(fold, fill, state, chain, record)
        return
    early = fold.rows.find(NewsRow, event.account, event.fill)
    if early is None or early.state not in DECIDED:
        fold.rows.put(NewsRow(account=event.account, fill=event.fill, state=state, seq=record.seq))


def _fill_of(fold: Fold, order: OrderRow, event: events.OrderFilled, record: Record) -> FillRow:
    listing = fold.rows.find(ListingRow, order.instrument)
    value = None if event.value_micro is UNSET else event.value_micro
    if value is None and listing is not None and listing.value_divisor is not None:
        raw = event.price * event.size
        # Rounded against us, as the ledger does: what we pay up, what we get down.
        buys = order.side is Side.BUY
        value = ceil_div(raw, listing.value_divisor) if buys else raw // listing.value_divisor
    fee_micro, fee = event.fees_in(None if listing is None else listing.currency)
    return FillRow(
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
        fee_micro=fee_micro,
        fee_asset=None if fee is None else fee.asset.id,
        fee_decimals=None if fee is None else fee.asset.decimals,
        fee_amount=None if fee is None else fee.amount,
        liquidity=event.liquidity,
        state=event.state,
        source=event.source,
        transaction_id=event.transaction or None,
        matched_ns=event.matched_ns or None,
        at_ns=record.at_ns,
        updated_ns=record.at_ns,
        seq=record.seq,
    )


def _reverse(fold: Fold, fill: FillRow, record: Record) -> None:
    """Let a fill count nowhere any more."""
    fold.emit(FillBooked(fill, -1), record)
    order = fold.rows.find(OrderRow, fill.account, fill.order_id)
    if order is not None:
        order.voided += fill.size
        order.fee_micro -= fill.fee_micro
        put_order(fold, order, record)


def _advance(
    fold: Fold, fill: FillRow, state: FillState, transaction: str | UnsetType, record: Record
) -> None:
    """Move a booked fill on. Older news changes nothing; a contradiction is reported."""
    if transaction and transaction != fill.transaction_id:
        fill.transaction_id, fill.seq = transaction, record.seq
        fold.rows.put(fill)
    if state is FillState.MATCHED or state is fill.state:
        return
    if fill.state in DECIDED:
        if state in DECIDED:
            fold.report(f"record {record.seq}: fill {fill.id} is {fill.state}, told {state}")
        return
    if state is FillState.CONFIRMED:
        fold.emit(FillConfirmed(fill), record)
    elif state is FillState.FAILED:
        _reverse(fold, fill, record)
    fill.state, fill.updated_ns, fill.seq = state, record.at_ns, record.seq
    fold.rows.put(fill)


NOUN = Noun(
    (
        ProjectedTable(
            FillRow,
            "fills",
            ("account", "id"),
            (
                ("mode", "at_ns"),
                ("instrument", "at_ns"),
                ("account", "order_id"),
                ("account", "state"),
            ),
            (
                "state",
                "realised_micro",
                "fee_size",
                "fee_worth_micro",
                "transaction_id",
                "updated_ns",
                "seq",
            ),
        ),
        ProjectedTable(NewsRow, "early_news", ("account", "fill")),
    ),
    {
        events.OrderFilled: on_order_filled,
        events.FillsListed: on_fills_listed,
        events.FillAdvanced: on_fill_advanced,
        events.FillSettled: on_fill_settled,
        events.FillVoided: on_fill_voided,
    },
)
