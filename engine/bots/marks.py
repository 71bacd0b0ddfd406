"""What crosses between books and orders: marks for the executor, inventory for strategies."""

from __future__ import annotations

from engine.caches.views import BookView, InventoryView
from engine.domain.events import BookMarked
from engine.domain.instruments import Instrument
from engine.executor.executor import Executor


def mark_of(view: BookView) -> BookMarked:
    """Return what executor and risk need to know of a book."""
    bids, asks = view.book.bid_prices, view.book.ask_prices
    return BookMarked(
        instrument=view.instrument.id,
        best_bid=bids[-1] if bids else None,
        best_ask=asks[0] if asks else None,
        mid2=view.mid2,
        two_sided_ns=view.two_sided_ns,
        proof_ns=view.proof_ns,
        trusted=view.trusted,
        closed=view.closed,
    )


def inventory_of(executor: Executor, instrument: Instrument) -> InventoryView:
    """Return what an account holds in an instrument, in YES-space."""
    ledger = executor.ledger
    held = ledger.holding(instrument.id)
    yes, no = held.yes, held.no
    yes_settled, yes_pending = yes.settled, yes.pending
    no_settled, no_pending = no.settled, no.pending
    position = yes_settled + yes_pending - no_settled - no_pending
    bids, asks = executor.working_sizes(instrument.id)
    return InventoryView(
        position=position,
        yes_settled=yes_settled,
        yes_pending=yes_pending,
        no_settled=no_settled,
        no_pending=no_pending,
        average_price=held.average_price(instrument) if position else None,
        realised_micro=held.realised_micro,
        fees_micro=held.fees_micro,
        cash_free_micro=ledger.cash_free_micro,
        working_bid=bids,
        working_ask=asks,
    )
