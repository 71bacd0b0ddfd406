"""Recount: every sum the executor keeps step by step, made anew from its orders and holdings.

Nothing on the order's way calls it: it is the slow truth the running sums are checked against.
"""

from __future__ import annotations

from engine.domain.orders import OrderState
from engine.errors import BrokenInvariant
from engine.executor.ledger import Ledger
from engine.executor.orders import InstrumentState, OrderTable, update_exposure
from engine.risk.exposure import ExposureBook


def recount(table: OrderTable) -> None:
    """Raise BrokenInvariant where exposure, reservations or counts differ from the orders."""
    fresh = ExposureBook()
    ledger = Ledger(currency=table.ledger.state.currency)
    ledger.state.instruments.update(table.ledger.state.instruments)
    for post in table.instruments.values():
        _count(fresh, ledger, post, table)
        key = post.instrument.id
        kept, anew = table.exposure.instrument_micro(key), fresh.instrument_micro(key)
        _equal(f"exposure of {key}", kept, anew)
    live = [known for post in table.instruments.values() for known in post.working.values()]
    _equal("live orders", table.live_count, len(live))
    unknown = [known.order.id for known in live if known.state is OrderState.UNKNOWN]
    _equal("unknown orders", len(table.unknown), len(unknown))
    _equal("account exposure", table.exposure.account_micro(), fresh.account_micro())
    for post in table.instruments.values():
        for bot in table.exposure.of(post.instrument.id).owners:
            kept, anew = table.exposure.bot_micro(bot), fresh.bot_micro(bot)
            _equal(f"exposure of {bot}", kept, anew)
    for number, kept in table.ledger.state.reservations.items():
        if number < 0:  # an operation of the wallet
            ledger.set_aside(
                -number,
                kept.instrument,
                cash_micro=kept.cash_micro,
                pairs=kept.tokens,
                owner=kept.owner,
            )
    _reservations(table.ledger, ledger)


def _reservations(kept: Ledger, anew: Ledger) -> None:
    _equal("reserved cash", kept.state.cash_reserved_micro, anew.state.cash_reserved_micro)
    if kept.state.reservations != anew.state.reservations:
        raise BrokenInvariant("the reservations are not those of the orders that may still fill")
    for key, holding in kept.state.holdings.items():
        reserved = anew.holding(key)
        _equal(f"reserved YES of {key}", holding.yes.reserved, reserved.yes.reserved)
        _equal(f"reserved NO of {key}", holding.no.reserved, reserved.no.reserved)


def _count(fresh: ExposureBook, ledger: Ledger, post: InstrumentState, table: OrderTable) -> None:
    """Count one instrument from nothing: its holding, then its orders."""
    fresh.listed(post.instrument)
    update_exposure(fresh, table.ledger, post.instrument)
    for known in post.working.values():
        fresh.live(known.order, known.remaining)
        ledger.commit(known.order, known.remaining, forced=True)


def _equal(what: str, kept: int, anew: int) -> None:
    if kept != anew:
        raise BrokenInvariant(f"{what}: kept {kept}, counted anew {anew}")
