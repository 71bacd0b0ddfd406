"""The moves that keep the ledger's books balanced.

Each changes both sides of an entry, so that the identity of `balance` holds after it. Nothing is
decided here: which move is due is the ledger's and the fill machine's affair.
"""

from __future__ import annotations

from engine.domain.events import OrderFilled
from engine.domain.instruments import Leg, Side
from engine.domain.money import MICRO
from engine.domain.orders import Order
from engine.executor.fill_book import Unsettled
from engine.executor.holdings import Holding, LegHolding
from engine.executor.ledger_state import LedgerState

_BUY = Side.BUY


def take_fill(
    state: LedgerState, holding: Holding, order: Order, event: OrderFilled, *, settled: bool
) -> Unsettled:
    """Move cash and tokens of a new fill; return what reverses it while it is not settled."""
    size, fee = event.size, event.fee_micro
    entry = Unsettled(
        fill=event.fill,
        order=order.id,
        instrument=order.instrument,
        leg=order.leg,
        side=order.side,
        size=size,
        cash_micro=0,
        fee_micro=fee,
    )
    instrument = state.instruments[order.instrument]
    leg = holding.leg(order.leg)
    if order.side is _BUY:
        cost = entry.cash_micro = instrument.cost_micro(event.price, size)
        state.cash_settled_micro -= cost + fee
        if settled:
            leg.settled += size
            leg.cost_settled_micro += cost
        else:
            leg.pending += size
            leg.cost_pending_micro += cost
    else:
        proceeds = entry.cash_micro = instrument.proceeds_micro(event.price, size)
        from_settled, from_pending = cost_out(leg, size)
        entry.cost_settled_micro, entry.cost_pending_micro = from_settled, from_pending
        _sell(state, leg, entry, settled=settled)
        realise(state, holding, proceeds - from_settled - from_pending)
    charge(state, holding, fee)
    return entry


def _sell(state: LedgerState, leg: LegHolding, entry: Unsettled, *, settled: bool) -> None:
    leg.settled -= entry.size
    leg.cost_settled_micro -= entry.cost_settled_micro
    leg.cost_pending_micro -= entry.cost_pending_micro
    if settled:
        state.cash_settled_micro += entry.cash_micro - entry.fee_micro
    else:
        state.cash_pending_micro += entry.cash_micro - entry.fee_micro
        leg.leaving += entry.size
        leg.cost_leaving_micro += entry.cost_settled_micro + entry.cost_pending_micro


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
