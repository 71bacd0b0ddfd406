"""Judges of orders of perpetuals: what they take of the cash, and what they may come to lose.

Both are lower bounds of what an engine must count: it reserves order by order, and rounds up.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

from engine.domain.instruments import BotId, Instrument, InstrumentId, Side
from engine.domain.orders import Order
from engine.lab.simulate.bench import Evidence
from engine.lab.simulate.beside import SMALL_PERPETUAL

Alive = tuple[Order, int]
"""An order and how much of it may still fill."""

ROOM_MICRO = 5
"""What a payment that is rounded may differ from an exact one."""


def margin(order: Order, seen: Evidence) -> str:
    """No order that opens without free cash for its initial margin (law G)."""
    facts = seen.facts
    if not facts.signed(order.instrument):
        return ""
    others = [one for one in seen.alive(None) if one[0].id != order.id]
    before = claims_micro(others, seen)
    after = claims_micro([*others, (order, order.size)], seen)
    if after <= before:
        return ""  # it closes, or the other side takes more already
    free = cash_micro(seen)
    return f"it takes {after - before} micro, {free - before} are free" * (after > free)


def closes(order: Order, seen: Evidence) -> bool:
    """Say whether an order only closes what its owner holds, beside what may fill already.

    Such a one is allowed at any exposure, though the account's may grow by it.
    """
    if not seen.facts.signed(order.instrument):
        return False
    held = seen.facts.perpetuals.held(order.bot, order.instrument).size
    alive = sum(
        min(left, other.size - seen.facts.filled.get(other.id, 0))
        for other, left in seen.alive(order.instrument)
        if other.id != order.id and other.bot == order.bot and other.side is order.side
    )
    against = -held if order.side is Side.BUY else held
    return order.size <= against - alive


def cash_micro(seen: Evidence) -> int:
    """Return the settled cash, with the doubt that rounded costs leave of what was realised."""
    facts = seen.facts
    opened = facts.perpetuals.opened()
    room = facts.perpetuals.doubt_micro + ROOM_MICRO if facts.perpetuals.fills else 0
    return facts.cash(promised=False) + int(opened) + room


def claims_micro(alive: Iterable[Alive], seen: Evidence) -> int:
    """Return what orders that may fill and positions take of the cash, rounded down.

    A buy of what is paid for takes its price; an owner's part of a perpetual the margin of its
    worst case, at the cost of what it holds and the prices of its orders.
    """
    facts, taken = seen.facts, 0
    worked: dict[tuple[BotId, InstrumentId], list[Alive]] = {}
    for order, left in alive:
        unreported = min(left, order.size - facts.filled.get(order.id, 0))
        if facts.signed(order.instrument):
            place = (order.bot, order.instrument)
            worked.setdefault(place, []).append((order, unreported))
        elif order.side is Side.BUY:
            divisor = facts.instruments[order.instrument].value_divisor
            taken += order.price * unreported // divisor
    for place in {**facts.perpetuals.owned, **worked}:
        taken += int(_worst_case(*place, worked.get(place, ()), seen) / SMALL_PERPETUAL.leverage)
    return taken


def _worst_case(
    owner: BotId, key: InstrumentId, alive: Iterable[Alive], seen: Evidence
) -> Fraction:
    """Return the largest value that an owner's position may come to have, whichever side fills."""
    held, most = seen.facts.perpetuals.held(owner, key), Fraction(0)
    for side, sign in ((Side.BUY, 1), (Side.SELL, -1)):
        worked = sorted((order.price, left) for order, left in alive if order.side is side)
        against = max(0, -sign * held.size)
        opened = Fraction(0)
        for price, left in reversed(worked):  # the dearest close: what opens is a lower bound
            closes = min(left, against)
            against -= closes
            value = Fraction(price * (left - closes), seen.facts.instruments[key].value_divisor)
            opened += value
        along = abs(held.cost) if held.size * sign > 0 else 0
        most = max(most, along + opened, abs(held.cost))
    return most


def worst_micro(
    alive: Iterable[Alive], seen: Evidence, terms: Instrument, owner: BotId | None
) -> int:
    """Return what orders and positions of a perpetual lose where it falls to nothing or doubles.

    Of one owner, or of the account, whose owners offset one another.
    """
    cost = seen.facts.perpetuals.cost(terms.id, owner)
    up, down = -cost, cost
    for order, left in alive:
        value = order.price * left // terms.value_divisor
        if order.side is Side.BUY:
            down += value
        else:
            up += value
    return max(int(up), int(down), 0) - seen.facts.perpetuals.doubt_micro
