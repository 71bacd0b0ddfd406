"""How exposure learns what is held."""

from __future__ import annotations

from engine.domain.instruments import Instrument, Kind
from engine.executor.ledger import Ledger
from engine.risk.exposure import ExposureBook


def tell_holding(exposure: ExposureBook, ledger: Ledger, instrument: Instrument) -> None:
    """Tell the worst case's two views of a holding: with pending fills, and with all of them void.

    An unsettled sale is negative pending: its tokens return if it becomes void.
    """
    holding = ledger.holding(instrument.id)
    yes, no = holding.yes, holding.no
    yes_settled, yes_pending = yes.settled + yes.leaving, yes.pending - yes.leaving
    if instrument.kind is not Kind.BINARY and (yes_settled < 0 or yes_settled + yes_pending < 0):
        # Sold what we did not have: the ledger has told it; a linear short has no worst case.
        yes_settled = yes_pending = 0
    leaving = yes.cost_leaving_micro + no.cost_leaving_micro
    exposure.holding(
        instrument.id,
        yes_settled=yes_settled,
        yes_pending=yes_pending,
        no_settled=no.settled + no.leaving,
        no_pending=no.pending - no.leaving,
        cost_settled_micro=yes.cost_settled_micro + no.cost_settled_micro + leaving,
        cost_pending_micro=yes.cost_pending_micro + no.cost_pending_micro - leaving,
    )
