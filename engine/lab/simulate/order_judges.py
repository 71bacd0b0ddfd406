"""Judges of single orders: what an engine may decide, and what may leave it."""

from __future__ import annotations

from engine.domain.commands import MANUAL
from engine.domain.effects import AnyWalletEffect
from engine.domain.events import VenueMode
from engine.domain.instruments import BotId, Instrument, Leg, Side
from engine.domain.intents import Quotes, Target
from engine.domain.money import MICRO
from engine.domain.orders import Order
from engine.lab.simulate.accounts import CAPITAL_MICRO
from engine.lab.simulate.bench import Evidence
from engine.lab.simulate.perpetual_judges import (
    buffer,
    cash_micro,
    claims_micro,
    closes,
    margin,
    reduces,
    worst_micro,
)
from engine.lab.simulate.venue_side import CURRENCY

# -- The planner in ten lines: how much of an order an intent allows, given what may still fill
# ------- Slow truth beside fast code: it knows nothing of legs, minimums, cash or queue positions,
# only that per direction no more may be alive than is wanted, and at no better price than that.


def bid_and_level(order: Order, one: int) -> tuple[bool, int]:
    """Return an order's direction and price in YES-space."""
    yes = order.leg is not Leg.NO
    return (order.side is Side.BUY) is yes, order.price if yes else one - order.price


def room(intent: Quotes | Target, *, bid: bool, level: int, position: int, alive: int) -> int:
    """Return how large an order at this level may be. `alive` is what may fill in its direction."""
    if isinstance(intent, Target):
        missing = intent.position - position if bid else position - intent.position
        fair = level <= intent.limit_price if bid else level >= intent.limit_price
        return missing - alive if fair else 0
    quotes = intent.bids if bid else intent.asks
    total = sum(size for _, size in quotes)
    at_level = sum(size for price, size in quotes if (price >= level if bid else price <= level))
    return min(total - alive, at_level)


# -- Judges of single orders: what an engine may decide, and what may leave it ---------------------

MS = 1_000_000
SECOND = 1_000 * MS
OLD_NEWS_NS = 30 * SECOND
"""How long a venue's word that it is closed holds; as long again, only what rests may be tried."""


def may_place(order: Order, seen: Evidence) -> str:
    """No PLACE while blind, latched, stopped, closed or not reconciled (laws M, N, O)."""
    facts = seen.facts
    if facts.latched:
        return "it was placed under the KILL latch"
    if seen.halted:
        return f"it was placed after a stop: {seen.halted}"
    if facts.unwell:
        return f"it was placed although {facts.unwell}"
    if facts.mode is not VenueMode.OPEN and not _may_probe(order, seen):
        return f"it was placed although the venue is {facts.mode}"
    if not facts.listings or not facts.fill_listings:
        return "it was placed before the venue had said what is open and what was filled"
    key = order.instrument
    if key in facts.closed:
        return "its market is closed"
    if key in seen.books.distrusted:
        return f"its book is not to be trusted: {seen.books.distrusted[key]}"
    proof_ns = seen.books.proof_ns.get(key)
    if proof_ns is None or seen.now_ns - proof_ns > seen.limits.data_age_ms_max * MS:
        return f"the last proof of its book is of {proof_ns}, now is {seen.now_ns}"
    return ""


def _may_probe(order: Order, seen: Evidence) -> bool:
    """Say whether a venue that was closed takes this, or may be asked anew by trying it."""
    age_ns = seen.now_ns - seen.mode_reported_ns
    if seen.facts.mode is VenueMode.POST_ONLY:
        return order.post_only or age_ns >= OLD_NEWS_NS
    return age_ns >= 2 * OLD_NEWS_NS or (order.post_only and age_ns >= OLD_NEWS_NS)


def behind(order: Order, seen: Evidence) -> str:
    """No PLACE on a journal that lacks a fill of before its engine's start (law N)."""
    del order
    seen.lacking -= seen.facts.fills.keys()
    lacking = sorted(seen.lacking)
    return f"the exchange had {lacking} before the start, the journal lacks them" * bool(lacking)


def held(order: Order, seen: Evidence) -> str:
    """No PLACE in a part of the account that was killed and not released (law O)."""
    for bot, key in seen.facts.holds:
        if bot in (None, order.bot) and key in (None, order.instrument):
            return f"it was placed under the KILL of {bot or key or 'the account'}"
    return ""


def slot(order: Order, seen: Evidence) -> str:
    """No two live orders for one intent beyond plan: the naive planner's word.

    Of what no strategy wanted, no order that a person did not ask for, and none twice.
    """
    if not order.decision:
        return "" if seen.take_asked(order) else "no person asked for it"
    intent = seen.intents.get((order.bot, order.instrument))
    if intent is None:
        return "nobody wants it"
    if intent.valid_until_ns <= seen.now_ns:
        return f"its intent ended at {intent.valid_until_ns}"
    one = seen.facts.instruments[order.instrument].one
    bid, level = bid_and_level(order, one)
    alive = sum(
        left
        for other, left in seen.alive(order.instrument)
        if other.id != order.id and other.bot == order.bot and bid_and_level(other, one)[0] is bid
    )
    if isinstance(intent, Target) and seen.facts.converted(order.instrument):
        return ""  # pairs of several owners were merged: no event says whose position moved
    position = seen.facts.position(order.instrument, order.bot)
    most = room(intent, bid=bid, level=level, position=position, alive=alive)
    if order.size > most:
        return f"size {order.size}, where {intent} allows {most} beside {alive} alive at {position}"
    return ""


def sells(order: Order, seen: Evidence) -> str:
    """No SELL above what its owner has settled minus reserved (laws E, H).

    A perpetual may be sold without being held: `margin` judges that.
    """
    if order.side is not Side.SELL or seen.facts.signed(order.instrument):
        return ""
    key, facts, selling = order.instrument, seen.facts, 0
    settled, _ = facts.owned.get((order.bot, key, order.leg), (0, 0))
    if facts.converted(key):  # no event says whose pairs they were: the account's tokens bound it
        settled, _ = facts.tokens(key, order.leg)
    for other, left in seen.alive(key):
        ours = facts.converted(key) or other.bot == order.bot
        if other.side is Side.SELL and other.leg is order.leg and other.id != order.id and ours:
            # A fill not yet reported is neither held nor resting for the engine.
            selling += min(left, other.size - facts.filled.get(other.id, 0))
    if order.size > settled - selling:
        return f"it sells {order.size} of {settled} settled, {selling} of them reserved"
    return ""


def buys(order: Order, seen: Evidence) -> str:
    """No BUY above settled cash minus what the buys that may fill have reserved (law G)."""
    if order.side is not Side.BUY or seen.facts.signed(order.instrument):
        return ""
    needed = order.price * order.size // seen.facts.instruments[order.instrument].value_divisor
    others = [one for one in seen.alive(None) if one[0].id != order.id]
    free = cash_micro(seen) - claims_micro(others, seen)
    return f"it needs {needed} micro, {free} are free" if needed > free else ""


def legal(order: Order, seen: Evidence) -> str:
    """Legal: on tick, inside the range, not too small unless it only reduces."""
    terms = seen.facts.instruments[order.instrument]
    if order.price % terms.tick or not terms.tick <= order.price <= terms.product.top:
        return f"price {order.price} is off the grid of {terms.tick}"
    if order.reduce_only:
        if order.size % terms.lot or order.size <= 0:
            return f"size {order.size} is no multiple of {terms.lot}"
        return reduces(order, seen)
    if order.size < terms.size_min or order.size % terms.lot:
        return f"size {order.size} is below {terms.size_min} or no multiple of {terms.lot}"
    return ""


def cross(order: Order, seen: Evidence) -> str:
    """Never against our own, of whatever owner, across both legs (law F)."""
    terms = seen.facts.instruments[order.instrument]
    bid, level = bid_and_level(order, terms.one)
    for other, left in seen.alive(order.instrument):
        if other.id == order.id or not left:
            continue
        other_bid, other_level = bid_and_level(other, terms.one)
        if other_bid is not bid and (level >= other_level if bid else level <= other_level):
            return f"it meets order {other.id} of {other.bot} at {other_level}"
    return ""


def limits(order: Order, seen: Evidence) -> str:
    """Over no limit: value of the order, number of orders, worst case of account and market."""
    terms = seen.facts.instruments[order.instrument]
    most = seen.limits.order_value_max.absolute
    value = order.price * order.size // terms.value_divisor
    if most is not None and value > most * 1_000_000:
        return f"its value {value} micro is over {most}"
    alive = len(seen.side.live()) + len(seen.side.in_flight) + len(seen.side.waiting)
    if alive >= seen.limits.open_orders_max:
        return f"{alive} orders are alive, {seen.limits.open_orders_max} are allowed"
    most = seen.limits.exposure_instrument_max.absolute
    others = [(one, left) for one, left in seen.alive(order.instrument) if one.id != order.id]
    worst = _worst([*others, (order, order.size)], seen, terms)
    opens = order.side is Side.BUY or terms.product.signed
    if closes(order, seen) or not opens or worst <= max(0, _worst(others, seen, terms)):
        return ""  # it adds nothing to what could be lost, however much that is by now
    if most is not None and worst > most * 1_000_000:
        return f"{worst} micro could be lost in {order.instrument}, {most} are allowed"
    return _sums(order, seen, worst)


def _sums(order: Order, seen: Evidence, worst: int) -> str:
    """See that a market's instruments together, and a bot's, keep their bounds."""
    terms, facts = seen.facts.instruments[order.instrument], seen.facts
    alive = {other.instrument for other, left in seen.alive(None) if left} - {order.instrument}
    market, own = worst, [(order, order.size)]
    beside = [one for one in seen.alive(order.instrument) if one[0].id != order.id]
    own += [one for one in beside if one[0].bot == order.bot]
    bot = _worst(own, seen, terms, order.bot)
    for key in sorted(alive):
        there = facts.instruments[key]
        if there.exposure_key == terms.exposure_key:
            market += _worst(seen.alive(key), seen, there)
        mine = [one for one in seen.alive(key) if one[0].bot == order.bot]
        bot += _worst(mine, seen, there, order.bot)
    most = seen.limits.exposure_market_max.absolute
    if most is not None and market > most * 1_000_000:
        return f"{market} micro could be lost in {terms.exposure_key}, {most} are allowed"
    capital = CAPITAL_MICRO
    if order.bot == MANUAL:  # a person has no capital of his own: the account's limit binds
        capital = int((seen.limits.exposure_bot_max.absolute or 0) * MICRO)
    if bot > capital:
        return f"{bot} micro could be lost by {order.bot}, its capital is {capital}"
    return ""


def _worst(
    alive: list[tuple[Order, int]], seen: Evidence, terms: Instrument, owner: BotId | None = None
) -> int:
    """Return what the buys among orders that may fill can lose beyond what is held.

    Of one owner, who holds what its own fills brought, or of the account.

    A lower bound of the true worst case: what is held can only be gained back by the tokens that
    pay in the same outcome, so they are counted in full.
    """
    if terms.product.signed:
        return worst_micro(alive, seen, terms, owner)
    losses = dict.fromkeys(terms.product.legs, 0)
    for other, left in alive:
        if other.side is Side.BUY:
            # A buy of one leg is lost where the other one wins.
            losses[other.leg] += other.price * left // terms.value_divisor
    if Leg.BASE in losses:
        return losses[Leg.BASE]
    unit = 10**terms.size_decimals
    worst = 0
    for leg, winner in ((Leg.YES, Leg.NO), (Leg.NO, Leg.YES)):
        held = seen.facts.tokens(terms.id, winner)
        if owner is not None and not seen.facts.converted(terms.id):
            held = seen.facts.owned.get((owner, terms.id, winner), (0, 0))
        paying = sum(held) * 1_000_000 // unit
        worst = max(worst, losses[leg] - max(0, paying))
    return worst


def named(order: Order, seen: Evidence) -> str:
    """Named before sent: its identity is durable before its first byte leaves (law K)."""
    number = seen.named.get(order.id)
    if number is None:
        return "its identity is not in the journal"
    if number > seen.disk.durable:
        return f"record {number} names it, only {seen.disk.durable} records are durable"
    return ""


def veto(order: Order, seen: Evidence) -> str:
    """No byte of a place leaves under the KILL latch: the gateway's one veto (law C)."""
    del order
    return "it leaves under the KILL latch" if seen.facts.latched else ""


def lease(order: Order, seen: Evidence) -> str:
    """No byte of a place leaves an engine whose lease another one has taken."""
    fence = seen.disk.fence
    return f"start {order.fence} made it, {fence} has the lease" if order.fence != fence else ""


LATE_NS = 60 * SECOND
"""What was decided before this is of another market: a machine that slept must not send it."""


def late(order: Order, seen: Evidence) -> str:
    """No bytes long after they were decided, as from a machine that slept meanwhile."""
    return _late_by(order.created_ns, seen)


def late_operation(asked: AnyWalletEffect, seen: Evidence) -> str:
    """No operation of the wallet either."""
    return _late_by(seen.operations_ns[asked.operation], seen)


def _late_by(decided_ns: int, seen: Evidence) -> str:
    age_ns = seen.side.exchange.now_ns - decided_ns
    return f"it leaves {age_ns // SECOND} s after it was decided" * (age_ns > LATE_NS)


def counted(order: Order, seen: Evidence) -> str:
    """No order in what is quoted in another currency than its account counts in."""
    terms = seen.facts.instruments[order.instrument]
    return "" if terms.currency == CURRENCY else f"{terms.id} is quoted in {terms.currency}"


DECIDED = {
    "sight": may_place,
    "held": held,
    "behind": behind,
    "slot": slot,
    "sells": sells,
    "buys": buys,
    "margin": margin,
    "buffer": buffer,
    "legal": legal,
    "currency": counted,
    "cross": cross,
    "limits": limits,
}
"""Judges of a decision, asked as the journal takes the PlaceOrder."""

LEAVING = {"named": named, "veto": veto, "lease": lease, "late": late}
"""Judges of bytes, asked as they leave."""
