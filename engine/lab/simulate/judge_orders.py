"""Judges of single orders: what an engine may decide, and what may leave it."""

from __future__ import annotations

from engine.domain.events import VenueMode
from engine.domain.instruments import Instrument, Leg, Side
from engine.domain.intents import Quotes, Target
from engine.domain.orders import Order
from engine.lab.simulate.accounts import CAPITAL_MICRO
from engine.lab.simulate.bench import Evidence

# -- The planner in ten lines: how much of an order a wish allows, given what may still fill -------
# Slow truth beside fast code: it knows nothing of legs, minimums, cash or queue positions, only
# that per direction no more may be alive than is wished for, and at no better price than wished.


def bid_and_level(order: Order, one: int) -> tuple[bool, int]:
    """Return an order's direction and price in YES-space."""
    yes = order.leg is not Leg.NO
    return (order.side is Side.BUY) is yes, order.price if yes else one - order.price


def room(wish: Quotes | Target, *, bid: bool, level: int, position: int, alive: int) -> int:
    """Return how large an order at this level may be. `alive` is what may fill in its direction."""
    if isinstance(wish, Target):
        missing = wish.position - position if bid else position - wish.position
        fair = level <= wish.limit_price if bid else level >= wish.limit_price
        return missing - alive if fair else 0
    quotes = wish.bids if bid else wish.asks
    total = sum(size for _, size in quotes)
    here = sum(size for price, size in quotes if (price >= level if bid else price <= level))
    return min(total - alive, here)


# -- Judges of single orders: what an engine may decide, and what may leave it ---------------------

MS = 1_000_000
S = 1_000 * MS
OLD_NEWS_NS = 30 * S
"""How long a venue's word that it is closed holds; as long again, only what rests may be tried."""


def sight(order: Order, seen: Evidence) -> str:
    """No PLACE while blind, latched, stopped, closed or not reconciled (laws M, N, O)."""
    told = seen.told
    if told.latched:
        return "it was placed under the KILL latch"
    if seen.halted:
        return f"it was placed after a stop: {seen.halted}"
    if told.unwell:
        return f"it was placed although {told.unwell}"
    if told.mode is not VenueMode.OPEN and not _may_knock(order, seen):
        return f"it was placed although the venue is {told.mode}"
    if not told.listings or not told.fill_listings:
        return "it was placed before the venue had said what is open and what was filled"
    key = order.instrument
    if key in told.closed:
        return "its market is closed"
    if key in seen.sights.distrusted:
        return f"its book is not to be trusted: {seen.sights.distrusted[key]}"
    proof_ns = seen.sights.proof_ns.get(key)
    if proof_ns is None or seen.now_ns - proof_ns > seen.limits.data_age_ms_max * MS:
        return f"the last proof of its book is of {proof_ns}, now is {seen.now_ns}"
    return ""


def _may_knock(order: Order, seen: Evidence) -> bool:
    """Say whether a venue that was closed takes this, or may be asked anew by trying it."""
    age_ns = seen.now_ns - seen.mode_told_ns
    if seen.told.mode is VenueMode.POST_ONLY:
        return order.post_only or age_ns >= OLD_NEWS_NS
    return age_ns >= 2 * OLD_NEWS_NS or (order.post_only and age_ns >= OLD_NEWS_NS)


def held(order: Order, seen: Evidence) -> str:
    """No PLACE in a part of the account that was killed and not released (law O)."""
    for bot, key in seen.told.holds:
        if bot in (None, order.bot) and key in (None, order.instrument):
            return f"it was placed under the KILL of {bot or key or 'the account'}"
    return ""


def slot(order: Order, seen: Evidence) -> str:
    """No two live orders for one wish beyond plan: the naive planner's word."""
    wish = seen.wishes.get(order.instrument)
    if wish is None:
        return "nobody wishes for it"
    if wish.valid_until_ns <= seen.now_ns:
        return f"its wish ended at {wish.valid_until_ns}"
    one = seen.told.instruments[order.instrument].one
    bid, level = bid_and_level(order, one)
    alive = sum(
        left
        for other, left in seen.alive(order.instrument)
        if other.id != order.id and bid_and_level(other, one)[0] is bid
    )
    position = seen.told.position(order.instrument)
    most = room(wish, bid=bid, level=level, position=position, alive=alive)
    if order.size > most:
        return f"size {order.size}, where {wish} allows {most} beside {alive} alive at {position}"
    return ""


def sells(order: Order, seen: Evidence) -> str:
    """No SELL above settled minus reserved (laws E, H)."""
    if order.side is not Side.SELL:
        return ""
    settled, _ = seen.told.tokens(order.instrument, order.leg)
    selling = 0
    for other, left in seen.alive(order.instrument):
        if other.side is Side.SELL and other.leg is order.leg and other.id != order.id:
            # What has been filled and not been told is neither held nor resting for the engine.
            selling += min(left, other.size - seen.told.filled.get(other.id, 0))
    if order.size > settled - selling:
        return f"it sells {order.size} of {settled} settled, {selling} of them reserved"
    return ""


def buys(order: Order, seen: Evidence) -> str:
    """No BUY above settled cash minus what the buys that may fill have reserved (law G)."""
    if order.side is not Side.BUY:
        return ""
    told = seen.told
    reserved = needed = 0
    for other, left in [*seen.alive(None), (order, order.size)]:
        if other.side is Side.BUY:
            untold = min(left, other.size - told.filled.get(other.id, 0))
            needed = other.price * untold // told.instruments[other.instrument].value_divisor
            reserved += needed
    free = told.cash(promised=False) - reserved + needed
    return f"it needs {needed} micro, {free} are free" if needed > free else ""


def legal(order: Order, seen: Evidence) -> str:
    """Legal: on tick, inside the range, not too small, never against our own (law F)."""
    terms = seen.told.instruments[order.instrument]
    if order.price % terms.tick or not terms.tick <= order.price <= terms.one - terms.tick:
        return f"price {order.price} is off the grid of {terms.tick}"
    if order.size < terms.size_min or order.size % terms.lot:
        return f"size {order.size} is below {terms.size_min} or no multiple of {terms.lot}"
    return _own_cross(order, seen, terms)


def _own_cross(order: Order, seen: Evidence, terms: Instrument) -> str:
    bid, level = bid_and_level(order, terms.one)
    for other, left in seen.alive(order.instrument):
        if other.id == order.id or not left:
            continue
        other_bid, other_level = bid_and_level(other, terms.one)
        if other_bid is not bid and (level >= other_level if bid else level <= other_level):
            return f"it meets our own order {other.id} at {other_level}"
    return ""


def limits(order: Order, seen: Evidence) -> str:
    """Over no limit: value of the order, number of orders, worst case of account and market."""
    terms = seen.told.instruments[order.instrument]
    most = seen.limits.order_value_max.absolute
    value = order.price * order.size // terms.value_divisor
    if most is not None and value > most * 1_000_000:
        return f"its value {value} micro is over {most}"
    alive = len(seen.side.live()) + len(seen.side.flying) + len(seen.side.waiting)
    if alive >= seen.limits.open_orders_max:
        return f"{alive} orders are alive, {seen.limits.open_orders_max} are allowed"
    most = seen.limits.exposure_instrument_max.absolute
    others = [(one, left) for one, left in seen.alive(order.instrument) if one.id != order.id]
    worst = _worst([*others, (order, order.size)], seen, terms)
    if order.side is not Side.BUY or worst <= max(0, _worst(others, seen, terms)):
        return ""  # it adds nothing to what could be lost, however much that is by now
    if most is not None and worst > most * 1_000_000:
        return f"{worst} micro could be lost in {order.instrument}, {most} are allowed"
    return _sums(order, seen, worst)


def _sums(order: Order, seen: Evidence, worst: int) -> str:
    """See that a market's instruments together, and a bot's, keep their bounds."""
    terms, told = seen.told.instruments[order.instrument], seen.told
    alive = {other.instrument: other.bot for other, left in seen.alive(None) if left}
    alive.pop(order.instrument, None)
    market = bot = worst
    for key, whose in alive.items():
        if terms.exposure_key != told.instruments[key].exposure_key and whose != order.bot:
            continue
        more = _worst(seen.alive(key), seen, told.instruments[key])
        market += more if terms.exposure_key == told.instruments[key].exposure_key else 0
        bot += more if whose == order.bot else 0
    most = seen.limits.exposure_market_max.absolute
    if most is not None and market > most * 1_000_000:
        return f"{market} micro could be lost in {terms.exposure_key}, {most} are allowed"
    if bot > CAPITAL_MICRO:
        return f"{bot} micro could be lost by {order.bot}, its capital is {CAPITAL_MICRO}"
    return ""


def _worst(alive: list[tuple[Order, int]], seen: Evidence, terms: Instrument) -> int:
    """Return what the buys among orders that may fill can lose beyond what is held.

    A lower bound of the true worst case: what is held can only be gained back by the tokens that
    pay in the same outcome, so they are counted in full.
    """
    losses = {Leg.YES: 0, Leg.NO: 0}
    for other, left in alive:
        if other.side is Side.BUY:
            # A buy of one leg is lost where the other one wins.
            losses[other.leg] += other.price * left // terms.value_divisor
    unit = 10**terms.size_decimals
    worst = 0
    for leg, winner in ((Leg.YES, Leg.NO), (Leg.NO, Leg.YES)):
        paying = sum(seen.told.tokens(terms.id, winner)) * 1_000_000 // unit
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
    return "it leaves under the KILL latch" if seen.told.latched else ""


def lease(order: Order, seen: Evidence) -> str:
    """No byte of a place leaves an engine whose lease another one has taken."""
    fence = seen.disk.fence
    return f"start {order.fence} made it, {fence} has the lease" if order.fence != fence else ""


DECIDED = {
    "sight": sight,
    "held": held,
    "slot": slot,
    "sells": sells,
    "buys": buys,
    "legal": legal,
    "limits": limits,
}
"""Judges of a decision, asked as the journal takes the PlaceOrder."""

LEAVING = {"named": named, "veto": veto, "lease": lease}
"""Judges of bytes, asked as they leave."""
