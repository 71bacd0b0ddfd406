"""The ledger's books: what must survive, and the moves that keep them balanced.

Each move here changes both sides of an entry, so that the identity of `Ledger.check` holds after
it. Nothing is decided here: which move is due is the ledger's and the fill machine's affair.
"""

from __future__ import annotations

import msgspec

from engine.domain.instruments import Instrument, InstrumentId, Leg, Side
from engine.domain.money import MICRO
from engine.domain.orders import OrderId
from engine.executor.fill_book import FillBook, Unsettled
from engine.executor.holdings import Holding, LegHolding

_BUY = Side.BUY


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


def charge(state: LedgerState, holding: Holding, fee: int) -> None:
    """Note what fees took; a negative amount takes it back."""
    holding.fees_micro += fee
    state.fees_micro += fee


def realise(state: LedgerState, holding: Holding, amount: int) -> None:
    """Note a profit or loss before fees."""
    holding.realised_micro += amount
    state.realised_micro += amount


def settle(state: LedgerState, entry: Unsettled, holding: Holding) -> None:
    """Turn what a fill promised into money or tokens that may be used."""
    leg = holding.leg(entry.leg)
    moving = entry.payout_micro
    if entry.side is not _BUY:
        moving = entry.cash_micro - entry.fee_micro
        leg.leaving -= entry.size
        leg.cost_leaving_micro -= entry.cost_settled_micro + entry.cost_pending_micro
    if moving is not None:
        state.cash_pending_micro -= moving
        state.cash_settled_micro += moving
        return
    leg.pending -= entry.size
    leg.settled += entry.size
    leg.cost_pending_micro -= entry.cash_micro
    leg.cost_settled_micro += entry.cash_micro


def void(state: LedgerState, entry: Unsettled, holding: Holding) -> None:
    """Undo a fill to the unit: cash, tokens, costs, fee and what it had realised."""
    leg = holding.leg(entry.leg)
    cash, fee = entry.cash_micro, entry.fee_micro
    charge(state, holding, -fee)
    if entry.side is not _BUY:
        state.cash_pending_micro -= cash - fee
        leg.leaving -= entry.size
        leg.cost_leaving_micro -= entry.cost_settled_micro + entry.cost_pending_micro
        leg.settled += entry.size
        leg.cost_settled_micro += entry.cost_settled_micro
        leg.cost_pending_micro += entry.cost_pending_micro
        realise(state, holding, entry.cost_settled_micro + entry.cost_pending_micro - cash)
        return
    state.cash_settled_micro += cash + fee
    if entry.payout_micro is None:
        leg.pending -= entry.size
        leg.cost_pending_micro -= cash
    else:
        state.cash_pending_micro -= entry.payout_micro
        realise(state, holding, cash - entry.payout_micro)


def tidy(state: LedgerState, holding: Holding) -> None:
    """Leave no cost without tokens: only a sale beyond the settled tokens can strand one."""
    for leg in (holding.yes, holding.no):
        if leg.cost_pending_micro and not leg.pending:
            leg.cost_settled_micro += leg.cost_pending_micro
            leg.cost_pending_micro = 0
        if leg.cost_settled_micro and not leg.settled and not leg.pending:
            realise(state, holding, -leg.cost_settled_micro)
            leg.cost_settled_micro = 0


def sweep(state: LedgerState, holding: Holding, payout_yes_micro: int) -> None:
    """Turn a resolved instrument's tokens into cash, pending ones into pending cash."""
    unit = 10 ** state.instruments[holding.instrument].size_decimals
    for leg, payout in ((holding.yes, payout_yes_micro), (holding.no, MICRO - payout_yes_micro)):
        if leg.settled:
            brought = leg.settled * payout // unit
            state.cash_settled_micro += brought
            realise(state, holding, brought - leg.cost_settled_micro)
            leg.settled = leg.cost_settled_micro = 0
    if not (holding.yes.pending or holding.no.pending):
        return
    for entry in state.fills.unsettled.values():
        unpaid = entry.side is _BUY and entry.payout_micro is None
        if not unpaid or entry.instrument != holding.instrument:
            continue
        payout = MICRO - payout_yes_micro if entry.leg is Leg.NO else payout_yes_micro
        entry.payout_micro = entry.size * payout // unit
        leg = holding.leg(entry.leg)
        leg.pending -= entry.size
        leg.cost_pending_micro -= entry.cash_micro
        state.cash_pending_micro += entry.payout_micro
        realise(state, holding, entry.payout_micro - entry.cash_micro)


def cost_out(leg: LegHolding, size: int) -> tuple[int, int]:
    """Return the average cost of `size` tokens leaving: (of the settled, of the pending).

    Tokens beyond the settled ones can only be promised ones the venue let us sell.
    """
    settled = leg.settled
    if size < settled:
        return leg.cost_settled_micro * size // settled, 0
    short = min(size - max(settled, 0), leg.pending)
    if short <= 0:
        return leg.cost_settled_micro, 0
    return leg.cost_settled_micro, leg.cost_pending_micro * short // leg.pending
