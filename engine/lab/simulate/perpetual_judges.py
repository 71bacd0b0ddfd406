"""Judges of perpetuals: what orders take and risk, and what an engine holds against its journal.

What an order takes of the cash and may come to lose are lower bounds of what an engine must count:
it reserves order by order, and rounds up. What is held is compared with the naive fold of the
journal (`PerpetualFacts`).
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

from engine.domain.events import CashKind
from engine.domain.instruments import BotId, Instrument, InstrumentId, Side
from engine.domain.orders import Order
from engine.domain.products.position import SignedPosition
from engine.lab.simulate.bench import Evidence, KnownFacts
from engine.lab.simulate.beside import SMALL_PERPETUAL
from engine.lab.simulate.engine_run import EngineRun
from engine.lab.simulate.perpetual_facts import ExactPosition, PerpetualFacts
from engine.lab.simulate.venue_truth import ROOM_MICRO, Speak, maintenance_of, value_of

# -- Orders: what they take of the cash, and what they may come to lose ----------------------------

Alive = tuple[Order, int]
"""An order and how much of it may still fill."""


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


def buffer(order: Order, seen: Evidence) -> str:
    """No order that may bring the mark too near to liquidation, with all that may fill on its side.

    Cash counts every position as paid for, so that no cost is taken for a gain.
    """
    facts, key = seen.facts, order.instrument
    if not facts.signed(key) or closes(order, seen):
        return ""
    sign, terms = 1 if order.side is Side.BUY else -1, facts.instruments[key]
    size, there = facts.perpetuals.net.get(key, ExactPosition()).size, facts.cash(promised=False)
    others = [one for one in seen.alive(key) if one[0].side is order.side]
    for other, left in {
        one.id: (one, left) for one, left in (*others, (order, order.size))
    }.values():
        unreported = min(left, other.size - facts.filled.get(other.id, 0))
        size += sign * unreported
        there -= sign * (other.price * unreported // terms.value_divisor)
    mark_e8, least_bps = seen.books.marks_e8.get(key), seen.limits.liquidation_buffer_min
    if size * sign <= 0 or not least_bps:
        return ""
    if mark_e8 is None:
        return f"{size} may be held, and no mark is known"
    moved_e8 = mark_e8 * (10_000 - sign * least_bps) // 10_000
    worth = value_of(terms, size, moved_e8)
    due = maintenance_of(abs(worth), SMALL_PERPETUAL.tiers)
    left_micro = there + worth - due
    room = ROOM_MICRO + len(others) + 1
    return f"at a mark of {moved_e8} {float(left_micro)} micro are left" * (left_micro < -room)


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


def reduces(order: Order, seen: Evidence) -> str:
    """Say where a reduce-only order would not reduce what its owner and what the account holds."""
    facts, key = seen.facts, order.instrument
    if not closes(order, seen):
        return f"reduce-only of {order.size} closes more than {order.bot} holds"
    held = facts.perpetuals.net.get(key, ExactPosition()).size
    alive = sum(
        min(left, other.size - facts.filled.get(other.id, 0))
        for other, left in seen.alive(key)
        if other.id != order.id and other.side is order.side
    )
    against = -held if order.side is Side.BUY else held
    if order.size > against - alive:
        return f"reduce-only of {order.size}: the account has {held}, {alive} of it may close"
    return ""


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


# -- What an engine holds --------------------------------------------------------------------------


def opened_micro(positions: Iterable[SignedPosition]) -> int:
    """Return what positions were opened for, and nothing was paid for."""
    return sum(held.cost for held in positions)


def judge_perpetuals(run: EngineRun, facts: KnownFacts, speak: Speak) -> None:
    """Compare what an engine holds of perpetuals with the naive fold of its journal."""
    folded, ledger = facts.perpetuals, run.executor.ledger
    doubt = folded.doubt_micro
    for key, held in folded.net.items():
        ours = ledger.state.netted.get(key, SignedPosition())
        if ours.size != held.size or abs(ours.cost - held.cost) > doubt:
            fills = f"{held.size} for {float(held.cost):.2f}"
            speak("position", f"{ours} at the venue of {key}, by its fills {fills}")
    margin = Fraction(0)
    for (owner, key), held in folded.owned.items():
        if key not in ledger.state.instruments:
            continue
        leverage = SMALL_PERPETUAL.leverage
        margin += abs(held.cost) / leverage
        leg = ledger.owned(key, owner).yes
        if leg.settled != held.size or abs(leg.cost_settled_micro - held.cost) > doubt:
            has = f"{leg.settled} for {leg.cost_settled_micro} of {key}"
            fills = f"{held.size} for {float(held.cost):.2f}"
            speak("position", f"{owner} has {has}, its fills make {fills}")
    if ledger.state.margin_micro < margin - doubt:
        kept = ledger.state.margin_micro
        speak("margin", f"{kept} micro are kept for positions that take {float(margin):.2f}")
    _judge_exposure(run, folded, speak)
    _judge_fundings(run, folded, speak)


def _judge_exposure(run: EngineRun, folded: PerpetualFacts, speak: Speak) -> None:
    """See that whoever holds something risks what it was opened for, long or short."""
    risks = run.executor.gate.exposure.risks
    for (owner, key), held in folded.owned.items():
        risk = risks.get(key)
        if risk is None or not held.size:
            continue
        part = risk.owners.get(owner)
        micro = part.micro if part is not None else 0
        if micro <= 0 or micro < abs(held.cost) - folded.doubt_micro:
            cost = f"{held.size} of {key} for {float(held.cost):.2f}"
            speak("exposure", f"{owner} holds {cost}, and {micro} micro count as risked")
    for key, held in folded.net.items():
        risk = risks.get(key)
        together = folded.cost(key, None)
        if risk is None or not held.size:
            continue
        if risk.micro <= 0 or risk.micro < abs(together) - folded.doubt_micro:
            speak("exposure", f"{held.size} of {key} are held, {risk.micro} micro are risked")


def _judge_fundings(run: EngineRun, folded: PerpetualFacts, speak: Speak) -> None:
    """See that what fundings brought is each owner's by what it held at their stamps."""
    state = run.executor.ledger.state
    total = sum(paid.amount_micro for paid in folded.fundings.values())
    if state.income_micro.get(CashKind.FUNDING, 0) != total:
        ours = state.income_micro.get(CashKind.FUNDING, 0)
        speak("funding", f"{ours} micro of funding are booked, the journal has {total}")
    for owner in {*state.owners, *folded.funded}:
        due, doubt = folded.funded.get(owner, (Fraction(0), 0))
        totals = state.owners.get(owner)
        had = totals.income_micro.get(CashKind.FUNDING, 0) if totals is not None else 0
        if abs(had - due) > doubt:
            speak("funding", f"{owner} had {had} micro of fundings, due were {float(due):.2f}")
