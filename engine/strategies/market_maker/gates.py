"""The market maker's gates on the market itself, and the regime it quotes in.

A gate that does not apply (a close that is not announced, an event switched off) is left out. Each
function appends what it looked at, in order, and stops at the first that fails.
"""

from __future__ import annotations

from enum import StrEnum

from engine.domain.catalog import GateWords, ValueUnit
from engine.domain.decisions import Gate
from engine.strategies.door import Context
from engine.strategies.market_maker.parameters import FairSource, Prior
from engine.strategies.market_maker.state import UNBOUNDED, MarketState


class Regime(StrEnum):
    """In which manner it quotes."""

    QUIET = "quiet"
    TRENDING = "trending"
    """The taped flow is one-sided: the side it runs into is quoted wider, or not at all."""
    EVENT = "event"
    """The price jumped: nothing is quoted until the cool-down is over."""
    REDUCE_ONLY = "reduce_only"
    """Winding down, beyond the inventory cap, or holding where it would open nothing."""
    HALTED = "halted"
    """A gate fails: nothing is quoted."""


_LE, _GE = "\N{LESS-THAN OR EQUAL TO}", "\N{GREATER-THAN OR EQUAL TO}"
_MS, _S, _PLAIN = ValueUnit.MILLISECONDS, ValueUnit.SECONDS, ValueUnit.PLAIN
W = GateWords


def fresh_words(what: str) -> GateWords:
    broken = "stale {value} > {limit}"
    return W(f"{what} is fresh", f"{what} is fresh again", broken, _MS, _LE, needed=True)


GATES = {
    "healthy": W("the account may place orders", "the account may place orders again", needed=True),
    "market_open": W("the market is open", "the market opens", needed=True),
    "book_trusted": W("the book is complete", "a complete book is received again", needed=True),
    "data_age_ms": fresh_words("the book"),
    "two_sided": W("the book has both sides", "the book has both sides again"),
    "uncrossed": W("the book is not crossed", "bid and ask no longer cross"),
    "started": W("the window has begun", "the window begins", "in {missing}", _S, _GE),
    "not_closing": W(
        "time is left before the stop",
        "the market were not about to close",
        "its stop was {value} ago",
        _S,
        ">",
    ),
    "time_to_open": W(
        "time is left to exit a position",
        "the market were not about to close",
        "too late to open since {value}",
        _S,
        ">",
    ),
    "spread_ticks": W(
        "the spread is narrow", "the spread narrows", "{value} > {limit} ticks", _PLAIN, _LE
    ),
    "fills_pay": W(
        "its fills are profitable",
        "its pause is over",
        "pausing: its last fills made {value} each within 5 s",
        ValueUnit.PRICE_PART,
        _GE,
    ),
    "size_of_a_lot": W(
        "the size is at least one lot",
        "its size were at least one lot",
        "{value} < {limit}",
        _PLAIN,
        _GE,
    ),
    "event_cooldown": W(
        "no pause after a jump", "the pause after a jump is over", "{value} left", _S, _LE
    ),
}
"""Every gate of this file, in words."""

TREND_EXIT = 0.75
"""A trend ends at this share of the imbalance that began it, so that the regime does not flap."""


def _flag(name: str) -> tuple[Gate, Gate]:
    return Gate(name, False, 0.0, 1.0), Gate(name, True, 1.0, 1.0)


# Gates with one value each way are built once and indexed by the answer.
_HEALTHY = _flag("healthy")
_OPEN = _flag("market_open")
_TRUSTED = _flag("book_trusted")
_TWO_SIDED = _flag("two_sided")
_UNCROSSED = _flag("uncrossed")
_COOL = Gate("event_cooldown", True, 0.0, 0.0)


def market_gates(gates: list[Gate], context: Context, market: MarketState, now_ns: int) -> bool:
    """Look at health, market, book and the window. True = all passed."""
    view = context.view
    healthy = context.healthy
    gates.append(_HEALTHY[healthy])
    if not healthy:
        return False
    closes_ns = market.closes_ns
    is_open = not view.closed and (closes_ns is None or now_ns < closes_ns)
    gates.append(_OPEN[is_open])
    if not is_open:
        return False
    trusted = view.trusted and view.proof_ns is not None
    gates.append(_TRUSTED[trusted])
    return trusted and _book_gates(gates, context, market, now_ns)


def _book_gates(gates: list[Gate], context: Context, market: MarketState, now_ns: int) -> bool:
    view, p = context.view, market.p
    age_ms = (now_ns - (view.proof_ns or 0)) * 1e-6
    fresh = age_ms <= p.data_age_ms_max
    gates.append(Gate("data_age_ms", fresh, age_ms, float(p.data_age_ms_max)))
    if not fresh:
        return False
    book = view.book
    two_sided = bool(book.bid_prices and book.ask_prices)
    if p.fair is FairSource.MICROPRICE or p.prior is Prior.MARKET:
        gates.append(_TWO_SIDED[two_sided])
        if not two_sided:
            return False
    uncrossed = not two_sided or book.bid_prices[-1] < book.ask_prices[0]
    gates.append(_UNCROSSED[uncrossed])
    return uncrossed and _own_gates(gates, market, now_ns)


def _own_gates(gates: list[Gate], market: MarketState, now_ns: int) -> bool:
    if market.start_ns is not None:
        since_s = (now_ns - market.start_ns) * 1e-9
        gates.append(Gate("started", since_s >= 0.0, since_s, 0.0))
        if since_s < 0.0:
            return False
    if market.stop_ns is not None:
        left_s = (market.stop_ns - now_ns) * 1e-9
        gates.append(Gate("not_closing", left_s > 0.0, left_s, 0.0))
        if left_s <= 0.0:
            return False
    if market.size > 0:
        return True
    # Accepted parameters that can never give an order must say so, not idle.
    gates.append(Gate("size_of_a_lot", False, 0.0, float(market.lot)))
    return False


def event_gate(gates: list[Gate], market: MarketState, now_ns: int) -> bool:
    """Look whether a jump's cool-down is over. The value is the seconds left."""
    learned, shared = market.learned, market.shared
    if learned.cooldown_until_ns <= now_ns and shared.cooldown_until_ns <= now_ns:
        gates.append(_COOL)
        return True
    left_ns = max(learned.cooldown_until_ns, shared.cooldown_until_ns) - now_ns
    gates.append(Gate("event_cooldown", False, left_ns * 1e-9, 0.0))
    return False


def opening_gates(gates: list[Gate], context: Context, market: MarketState, now_ns: int) -> bool:
    """Look whether a position may be opened. False with the failing gate last.

    With nothing to reduce that is the end; a position is worked out instead.
    """
    shared, book = market.shared, context.view.book
    if now_ns < shared.resting_until_ns and market.p.rest_when_losing:
        rests_for = shared.rests_for
        gates.append(Gate("fills_pay", False, rests_for.markout if rests_for else 0.0, 0.0))
        return False
    if market.opens_until_ns is not None and now_ns >= market.opens_until_ns:
        gates.append(Gate("time_to_open", False, (market.opens_until_ns - now_ns) * 1e-9, 0.0))
        return False
    if book.bid_prices and book.ask_prices:
        spread = book.ask_prices[0] - book.bid_prices[-1]
        narrow = spread <= market.spread_max
        limit = float(market.p.spread_ticks_max)
        gates.append(Gate("spread_ticks", narrow, spread / market.tick, limit))
        return narrow
    if market.spread_max < UNBOUNDED:
        gates.append(_TWO_SIDED[False])
        return False
    return True


def regime_of(context: Context, market: MarketState, now_ns: int, *, opens: bool) -> Regime:
    """Name the regime of a market whose gates pass, and remember whether it trends."""
    learned = market.learned
    if learned.flow.total > 0.0:
        learned.trending = _trending(market, now_ns)
    if not opens or context.reducing or abs(context.inventory.position) > market.cap:
        return Regime.REDUCE_ONLY
    return Regime.TRENDING if learned.trending else Regime.QUIET


def _trending(market: MarketState, now_ns: int) -> bool:
    learned = market.learned
    flow = learned.flow
    needed = market.p.trend_imbalance_min * (TREND_EXIT if learned.trending else 1.0)
    return abs(flow.signed) >= needed * flow.total and flow.volume(now_ns) >= market.trend_volume
