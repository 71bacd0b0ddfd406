"""How exposure learns what is held."""

from __future__ import annotations

import msgspec

from engine.domain.instruments import Instrument, Kind
from engine.executor.ledger import Ledger
from engine.risk.exposure import ExposureBook


def tell_holding(exposure: ExposureBook, ledger: Ledger, instrument: Instrument) -> None:
    """Tell what is held: settled, pending and leaving tokens of each leg, and what they cost."""
    holding = ledger.holding(instrument.id)
    yes = holding.yes
    short = yes.settled + yes.leaving < 0 or yes.settled + yes.pending < 0
    if short and instrument.kind is not Kind.BINARY:
        # Sold what we did not have: the ledger has told it; a linear short has no worst case.
        yes = msgspec.structs.replace(yes, settled=0, pending=0, leaving=0)
    exposure.holding(instrument.id, yes, holding.no)
