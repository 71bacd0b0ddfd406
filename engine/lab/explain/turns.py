"""Turns of a past: which plans and which effects of the journal were made together.

Many turns may share one moment, and what the book of risk says of a plan is read behind its turn.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence

from engine.domain.decisions import Planned, Rule, Verdict
from engine.domain.effects import CancelOrders, PlaceOrder
from engine.domain.events import AnyEvent, OrderNamed, OrderSent
from engine.domain.orders import OrderId
from engine.risk.reasons import DenyReason
from engine.runtime.journal import Record, decode
from engine.runtime.recovery import HOUSE

Kept = tuple[Planned, bytes]
"""A plan, and its bytes as they lie in the log."""

Effects = Sequence[PlaceOrder | CancelOrders]
"""What one turn asked for."""

_ORDERS = frozenset({PlaceOrder.__name__, CancelOrders.__name__})
_BEGIN = {kind.__name__ for kind in AnyEvent.__args__} - {OrderNamed.__name__, OrderSent.__name__}
"""Events that a turn follows: that an order leaves is told in the middle of its own turn."""


def turns_of(records: Iterable[Record], wanted: Container[tuple[str, int]]) -> dict[int, Effects]:
    """Return by their seq which effects on orders belong to one turn, of these moments.

    A turn cancels before it places, and events that one followed lie before it.
    """
    found: dict[int, Effects] = {}
    last: dict[str, tuple[int, list[PlaceOrder | CancelOrders]]] = {}
    for record in records:
        account, at_ns = record.account, record.at_ns
        if record.kind in _ORDERS and (account, at_ns) in wanted:
            before = last[account][1][-1] if account in last else None
            again = record.kind == CancelOrders.__name__ and isinstance(before, PlaceOrder)
            if before is None or again or last[account][0] != at_ns:
                last[account] = at_ns, []
            last[account][1].append(decode(record))
            found[record.seq] = last[account][1]
        elif account == HOUSE and record.kind in _BEGIN:
            last.clear()
        elif record.kind in _BEGIN:
            last.pop(account, None)
    return found


def touches(plan: Planned) -> bool:
    """Say whether a plan placed or cancelled something."""
    return bool(plan.places or plan.cancels)


def placed_in(turns: dict[int, Effects]) -> frozenset[tuple[OrderId, int]]:
    """Return the orders that were journaled, with their time: a lost number is used again."""
    effects = (one for turn in turns.values() for one in turn)
    return frozenset(
        (one.order.id, one.order.created_ns) for one in effects if isinstance(one, PlaceOrder)
    )


def first_turn(
    waiting: Sequence[Kept], effects: Effects, placed: Container[tuple[OrderId, int]]
) -> list[Kept]:
    """Return the plans of a moment's first turn, the one with these effects.

    An instrument planned twice begins another, and so does another number of open orders: plans
    tell it as it was behind their turn. A plan of which nothing was `placed` in the journal is of
    the turn in which its engine died.
    """
    turn: list[Kept] = []
    counts: set[int] = set()
    for one in waiting:
        plan = one[0]
        counts |= {rule.value for rule in plan.rules if plan.places and _counted(rule)}
        twice = len(counts) > 1 or any(known.instrument == plan.instrument for known, _ in turn)
        died = bool(turn and plan.places) and (plan.places[0].order, plan.at_ns) not in placed
        theirs = died or any(_has(plan, effect) for effect in effects)
        if twice or (touches(plan) and not theirs):
            break
        turn.append(one)
    return turn


def _counted(rule: Rule) -> bool:
    return rule.name == DenyReason.OPEN_ORDERS and rule.verdict is Verdict.PASSED


def _has(plan: Planned, message: PlaceOrder | CancelOrders) -> bool:
    if isinstance(message, PlaceOrder):
        return message.order.id in [one.order for one in plan.places]
    return any(order in plan.cancels for order in message.orders)
