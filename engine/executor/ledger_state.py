"""The ledger's books: everything of it that must survive, and the identity they keep."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from engine.domain.instruments import Instrument, InstrumentId, Leg
from engine.domain.orders import OrderId
from engine.errors import BrokenInvariant
from engine.executor.fill_book import FillBook
from engine.executor.holdings import Holding


class Anomaly(StrEnum):
    """A rule that a booked fact breaks. Facts are kept; a person is told."""

    CASH_NEGATIVE = "cash_negative"
    OVERSOLD = "oversold"
    """More tokens left than were settled: the venue sold what we thought pending."""


class Booked(msgspec.Struct, frozen=True, kw_only=True):
    """What a fill or its settlement did. `changed` is False for news already known."""

    changed: bool
    anomalies: tuple[Anomaly, ...] = ()


NOTHING = Booked(changed=False)
DONE = Booked(changed=True)


class Reservation(msgspec.Struct, frozen=True, gc=False):
    """What one working order may still take: cash of a buy or tokens of a sell."""

    instrument: InstrumentId
    leg: Leg
    cash_micro: int
    tokens: int


class LedgerState(msgspec.Struct, kw_only=True):
    """Everything of a ledger that must survive."""

    currency: str
    cash_settled_micro: int = 0
    cash_pending_micro: int = 0
    cash_reserved_micro: int = 0
    deposits_micro: int = 0
    realised_micro: int = 0
    fees_micro: int = 0
    holdings: dict[InstrumentId, Holding] = {}
    reservations: dict[OrderId, Reservation] = {}
    fills: FillBook
    instruments: dict[InstrumentId, Instrument] = {}


def balance(state: LedgerState) -> None:
    """Raise BrokenInvariant where the books do not balance to the micro-unit."""
    cost = sum(h.yes.cost_micro + h.no.cost_micro for h in state.holdings.values())
    have = state.cash_settled_micro + state.cash_pending_micro + cost
    owed = state.deposits_micro + state.realised_micro - state.fees_micro
    if have != owed:
        raise BrokenInvariant(f"ledger holds {have} micro and accounts for {owed}")
    reserved = sum(entry.cash_micro for entry in state.reservations.values())
    if reserved != state.cash_reserved_micro:
        raise BrokenInvariant(
            f"reserved cash is {state.cash_reserved_micro}, orders account for {reserved}"
        )
