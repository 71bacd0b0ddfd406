"""An account's first cash: when it can be counted, and how much of the venue's cash it is.

It is what the venue has when the account opens. A home of before that, put back after the account
has traded, would take the cash of later for it: with the fills in it that the venue still tells of.
So it is not counted while the venue knows orders that this journal lacks; and where a recovery has
booked them, it is counted anew: what the venue has beyond what they moved.
"""

from __future__ import annotations

from engine.executor.executor import Executor
from engine.executor.halts import LACKS


def due(executor: Executor) -> bool:
    """Say whether an account's first cash is not booked, or must be counted anew."""
    state = executor.ledger.state
    return state.recount or not (state.funded_ns or state.deposits_micro)


def uncounted(executor: Executor) -> str:
    """Return what keeps the first cash from being counted, in words; empty = nothing.

    Behind a recovery everything that moves cash must be booked first, to its end.
    """
    if any(LACKS in why for why in executor.reasons):
        return "the journal is behind what its venue knows"
    state, wallet = executor.ledger.state, executor.wallet
    if not state.recount:
        return ""
    if executor.recovering:
        return "its venue has not said yet what is open and what was filled"
    if executor.open_and_unknown[0]:
        return "orders of its past have no end yet"
    if state.fills.unsettled or not wallet.quiet:
        return "fills or payments of its past are not settled yet"
    return "" if wallet.payments_listed else "its venue has not listed its payments yet"


def first_micro(executor: Executor, cash_micro: int) -> int:
    """Return the first cash: what the venue has, without what is booked already."""
    return cash_micro - executor.ledger.state.cash_settled_micro
