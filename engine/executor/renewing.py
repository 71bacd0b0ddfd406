"""Renewing: resting orders that expire by themselves are replaced in time, one after the other.

A venue takes an expiring order away by itself and says so afterwards; until it is heard and placed
again nothing rests. So an order is cancelled and placed anew shortly before: the gap is one round
trip of a cancel, like that of any other replacement, because a replacement waits for the proven end
of what it replaces. Never two at once: while one is on its way the others rest.
"""

from __future__ import annotations

from collections.abc import Collection

from engine.domain.orders import OrderState
from engine.executor.plan import Plan
from engine.executor.table import LiveOrder

S = 1_000_000_000
VENUE_EARLY_NS = 60 * S
"""Polymarket takes an expiring order away about a minute before its time (trading API, §5.1)."""
RENEW_EARLY_NS = VENUE_EARLY_NS + 30 * S
"""How long before its time an order is renewed: time for every quote of an account, in turn."""

_RESTS = frozenset({OrderState.OPEN, OrderState.PARTIAL})
_MOVES = frozenset({OrderState.PENDING, OrderState.SENT, OrderState.CANCELLING})


def ends_soon(known: LiveOrder, now_ns: int) -> bool:
    """Say whether a resting order is to be renewed."""
    expires_ns = known.order.expires_ns
    return (
        expires_ns is not None and known.state in _RESTS and expires_ns - now_ns <= RENEW_EARLY_NS
    )


def renewed(made: Plan, working: Collection[LiveOrder], now_ns: int) -> Plan:
    """Add to a plan that asks for nothing the cancel of the one order that ends first, if any."""
    if made.places or made.cancels or any(known.state in _MOVES for known in working):
        return made
    ending = [known.order for known in working if ends_soon(known, now_ns)]
    if not ending:
        return made
    first = min(ending, key=lambda order: (order.expires_ns or 0, order.id))
    return Plan((), (first.id,), made.residuals)
