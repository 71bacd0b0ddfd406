"""From a fair value to a ladder of quotes: pure arithmetic on one instrument's grid.

Edges are the best bid and ask as floats in price increments, before the grid; sizes and prices are
ints in increments. A size below the venue's minimum is not this room's business (law B).
"""

from __future__ import annotations

from bisect import bisect_right
from math import ceil, floor

import msgspec

from engine.caches.views import InventoryView
from engine.domain.books import Book
from engine.domain.intents import Quote
from engine.domain.money import ceil_to_tick, floor_to_lot, floor_to_tick
from engine.strategies.market_maker.gates import Regime
from engine.strategies.market_maker.parameters import OneSidedFlow
from engine.strategies.market_maker.state import MarketState, Sizes, StandingIntent

GRID_SLACK = 1e-6
"""Increments: float noise below which an edge counts as standing on the grid."""

CELL_BOUNDS_S = (60, 150, 300, 900, 3_600)
"""Between them, and beyond, the time to the close is one cell of what markouts are learned by."""

LEAVING = 0.75
"""A quote that stands at the touch leaves it at this share of `join_share_min`, so that it does not
give its queue away for one trade."""

Touch = tuple[int | None, int | None]
"""Best bid and ask in increments; None = the side is empty."""


class Fair(msgspec.Struct, frozen=True, gc=False):
    """A fair value and its uncertainty, in price increments."""

    price: float
    sigma: float
    """Per √s."""
    basis_sigma: float = 0.0
    inputs: tuple[tuple[str, float], ...] = ()
    build_up: tuple[tuple[str, float], ...] = ()


class Edges(msgspec.Struct, frozen=True, gc=False):
    """Where the best bid and ask belong, in price increments, and what that was made of."""

    bid: float
    ask: float
    parts: tuple[tuple[str, float], ...] = ()
    """The build-up of the decision record, in the currency."""


def edges_of(
    fair: Fair, market: MarketState, position: int, regime: Regime, *, cell: str, book: Book
) -> Edges:
    """Return the edges: fair value, skewed by inventory, plus and minus the half widths.

    Half width = max(minimum, σ·√horizon·k) + fee + lost markout + basis part; a trend widens the
    side it runs into, a reward band brings both in where asked. `held_back` then keeps them from
    the opposite touch and out of the spread.
    """
    price, scale, p = fair.price, market.scale, market.p
    skew = market.skew_rate * position
    width_vol = market.vol_factor * fair.sigma
    width_fee = market.maker_rate * price
    width_markout = _lost_markout(market, cell)
    width_basis = p.width_basis_multiplier * fair.basis_sigma
    half = max(width_vol, market.half_min) + width_fee + width_markout + width_basis
    half_bid = half_ask = half
    if regime is Regime.TRENDING:
        if market.learned.flow.signed > 0.0:
            half_ask *= p.trend_width_multiplier
        else:
            half_bid *= p.trend_width_multiplier
    bid, ask = price - skew - half_bid, price - skew + half_ask
    if regime is Regime.REDUCE_ONLY:
        bid, ask = _exit(bid, ask, market, book)
    else:
        if p.rewards_band_share > 0.0 and regime is Regime.QUIET:
            bid, ask = in_band(bid, ask, price - skew, market, book)
        bid, ask = held_back(bid, ask, market, book)
    parts = (
        ("skew", skew * scale),
        ("width_vol", width_vol * scale),
        ("width_fee", width_fee * scale),
        ("width_markout", width_markout * scale),
        ("width_basis", width_basis * scale),
        ("half_width_bid", half_bid * scale),
        ("half_width_ask", half_ask * scale),
        ("bid_edge", bid * scale),
        ("ask_edge", ask * scale),
    )
    return Edges(bid, ask, parts)


def in_band(
    bid: float, ask: float, value: float, market: MarketState, book: Book
) -> tuple[float, float]:
    """Return edges brought inside a share of the reward band around the mid, if there is one.

    Never nearer to the skewed value than the smallest half width: rewards pay for no loss of edge.
    """
    reach = market.p.rewards_band_share * market.instrument.rewards_spread_max
    if not reach or book.best_bid is None or book.best_ask is None:
        return bid, ask
    mid = (book.best_bid + book.best_ask) / 2
    return (
        max(bid, min(mid - reach, value - market.half_min)),
        min(ask, max(mid + reach, value + market.half_min)),
    )


def held_back(bid: float, ask: float, market: MarketState, book: Book) -> tuple[float, float]:
    """Return edges that neither cross, nor improve the touch too far, nor join the thin side of it.

    Nor stay in front where those behind have left.

    Post-only quotes that reach the opposite touch would be refused.
    """
    tick, p, standing = market.tick, market.p, market.learned.standing
    bids, asks = book.bid_prices, book.ask_prices
    best_bid, best_ask = bids[-1] if bids else None, asks[0] if asks else None
    if best_ask is not None:
        bid = min(bid, float(best_ask - tick))
    if best_bid is not None:
        ask = max(ask, float(best_bid + tick))
    if best_bid is None or best_ask is None:
        return bid, ask
    inside = p.improve_ticks_max * tick
    bid, ask = min(bid, float(best_bid + inside)), max(ask, float(best_ask - inside))
    if p.join_share_min > 0.0 and (bid >= best_bid or ask <= best_ask):
        share = book.bids[best_bid] / (book.bids[best_bid] + book.asks[best_ask])
        at_bid = bool(standing and standing.bids and standing.bids[0][0] >= best_bid)
        at_ask = bool(standing and standing.asks and standing.asks[0][0] <= best_ask)
        if bid >= best_bid and share < p.join_share_min * (LEAVING if at_bid else 1.0):
            bid = float(best_bid - tick)
        if ask <= best_ask and 1.0 - share < p.join_share_min * (LEAVING if at_ask else 1.0):
            ask = float(best_ask + tick)
    return _not_alone(bid, ask, market, book) if p.flee_ticks_max and standing else (bid, ask)


def _not_alone(bid: float, ask: float, market: MarketState, book: Book) -> tuple[float, float]:
    """Return edges moved back to the level behind where a quote of ours is left alone in front.

    It is alone where its level holds no more than itself, and the next one is too far behind: those
    who stood there have left, and know why.
    """
    standing, reach = market.learned.standing, market.p.flee_ticks_max * market.tick
    bids, asks = book.bid_prices, book.ask_prices
    if standing is not None and standing.bids:
        price, size = standing.bids[0]
        behind = bids[-2] if len(bids) > 1 else bids[-1] - reach - market.tick
        if price == bids[-1] and book.bids[price] <= size and price - behind > reach:
            bid = min(bid, float(behind))
    if standing is not None and standing.asks:
        price, size = standing.asks[0]
        behind = asks[1] if len(asks) > 1 else asks[0] + reach + market.tick
        if price == asks[0] and book.asks[price] <= size and behind - price > reach:
            ask = max(ask, float(behind))
    return bid, ask


def _exit(bid: float, ask: float, market: MarketState, book: Book) -> tuple[float, float]:
    """Return edges at the touch, to work a position out; where a side is empty, the model's."""
    bids, asks = book.bid_prices, book.ask_prices
    tick, inside = market.tick, market.p.improve_ticks_max * market.tick
    bid = float(bids[-1] + inside) if bids else bid
    ask = float(asks[0] - inside) if asks else ask
    return (
        min(bid, float(asks[0] - tick)) if asks else bid,
        max(ask, float(bids[-1] + tick)) if bids else ask,
    )


def cell_of(market: MarketState, regime: str, now_ns: int) -> str:
    if market.closes_ns is None:
        return regime
    left_s = (market.closes_ns - now_ns) * 1e-9
    return f"{regime} {bisect_right(CELL_BOUNDS_S, left_s)}"


def _lost_markout(market: MarketState, cell: str) -> float:
    """Return what fills lost within 5 s, in price increments; 0 before enough were marked."""
    p = market.p
    mean = market.shared.fills.mean(cell, p.markout_fills_min)
    return 0.0 if mean is None else p.width_markout_multiplier * max(0.0, -mean) * market.unit


def sizes_of(market: MarketState, position: int, regime: Regime) -> tuple[Sizes, Sizes]:
    """Return the sizes of the bid and ask levels that the inventory allows, best first.

    A level that would carry the position beyond the cap is dropped whole. Reducing quotes sum to
    the position at most: they never turn it. In a trend the side it runs into is only to reduce,
    where one-sided flow withdraws.
    """
    upward = market.learned.flow.signed > 0.0
    key = (position, regime, upward)
    if key == market.sizes_for:
        return market.sizes
    size, levels = market.size, market.p.levels
    if regime is Regime.REDUCE_ONLY:
        reducing = _split(abs(position), size, market.lot, levels)
        sizes: tuple[Sizes, Sizes] = ((), reducing) if position > 0 else (reducing, ())
    else:
        bids = min(levels, max(0, market.cap - position) // size)
        asks = min(levels, max(0, market.cap + position) // size)
        sizes = (size,) * bids, (size,) * asks
        if regime is Regime.TRENDING and market.p.one_sided_flow is OneSidedFlow.WITHDRAW:
            reducing = _split(abs(position), size, market.lot, levels)
            if upward:
                sizes = sizes[0], reducing if position > 0 else ()
            else:
                sizes = reducing if position < 0 else (), sizes[1]
    market.sizes, market.sizes_for = sizes, key
    if market.binary:
        market.sizes_worst = (sum(sizes[0]) + sum(sizes[1])) * market.product.one
    return sizes


def _split(total: int, size: int, lot: int, levels: int) -> Sizes:
    full = min(levels, total // size)
    rest = floor_to_lot(total - full * size, lot) if full < levels else 0
    return (size,) * full + ((rest,) if rest > 0 else ())


def affordable(
    sizes: tuple[Sizes, Sizes],
    edges: Edges,
    market: MarketState,
    inventory: InventoryView,
    capital_micro: int,
) -> tuple[Sizes, Sizes]:
    """Cut the sizes to what the capital can carry beside the inventory, best levels first.

    A bid costs its price, a binary's ask the complement (law E: it may have to be a BUY of NO);
    what reduces the position costs nothing. An inventory of unknown cost counts at the worst.
    """
    bids, asks = sizes
    bid_cost = max(0.0, edges.bid)
    ask_cost = market.product.one - edges.ask if market.binary else edges.ask
    ask_cost = max(ask_cost, 0.0)
    budget: float = capital_micro * market.divisor
    if inventory.position:
        budget -= _carried(market, inventory)
    if sum(bids) * bid_cost + sum(asks) * ask_cost <= budget:
        return sizes
    free_bid, free_ask = max(0, -inventory.position), max(0, inventory.position)
    kept_bids: list[int] = []
    kept_asks: list[int] = []
    for level in range(max(len(bids), len(asks))):
        if level < len(bids):
            fits = _fit(bids[level], free_bid, bid_cost, budget, market.lot)
            free_bid, budget = _spend(fits, free_bid, bid_cost, budget)
            kept_bids.append(fits)
        if level < len(asks):
            fits = _fit(asks[level], free_ask, ask_cost, budget, market.lot)
            free_ask, budget = _spend(fits, free_ask, ask_cost, budget)
            kept_asks.append(fits)
    return _until_zero(kept_bids), _until_zero(kept_asks)


def _carried(market: MarketState, inventory: InventoryView) -> float:
    """Return what the inventory cost, in price · size; 1 a share where it is not known."""
    position, paid = inventory.position, inventory.average_price
    if not market.binary:
        return float(abs(position) * (paid or 0))
    if paid is None:
        return float(abs(position) * market.product.one)
    return float(position * paid if position > 0 else -position * (market.product.one - paid))


def _fit(size: int, free: int, cost: float, budget: float, lot: int) -> int:
    paid = size - free
    if paid <= 0 or cost <= 0.0 or paid * cost <= budget:
        return size
    return floor_to_lot(min(size, free + int(max(0.0, budget) / cost)), lot)


def _spend(size: int, free: int, cost: float, budget: float) -> tuple[int, float]:
    return max(0, free - size), budget - max(0, size - free) * cost


def _until_zero(sizes: list[int]) -> Sizes:
    kept: list[int] = []
    for size in sizes:
        if size <= 0:
            break
        kept.append(size)
    return tuple(kept)


def ladder(
    sizes: tuple[Sizes, Sizes], edges: Edges, market: MarketState
) -> tuple[tuple[Quote, ...], tuple[Quote, ...]]:
    """Return the quotes: bids floored and asks ceiled to the tick, inside [tick, one − tick]."""
    tick, low, high = market.tick, market.low, market.high
    step = market.p.level_step_ticks * tick
    bids, asks = sizes
    top = floor_to_tick(min(floor(edges.bid + GRID_SLACK), high), tick)
    bottom = ceil_to_tick(max(ceil(edges.ask - GRID_SLACK), low), tick)
    bid_quotes = tuple(
        (price, size)
        for price, size in zip(range(top, top - step * len(bids), -step), bids, strict=True)
        if price >= low
    )
    ask_quotes = tuple(
        (price, size)
        for price, size in zip(range(bottom, bottom + step * len(asks), step), asks, strict=True)
        if price <= high
    )
    return bid_quotes, ask_quotes


def still_right(
    standing: StandingIntent,
    market: MarketState,
    *,
    edges: Edges,
    sizes: tuple[Sizes, Sizes],
    regime: Regime,
    touch: Touch,
    now_ns: int,
) -> bool:
    """Say whether the standing intent is still the right one: sticky quotes keep their queue."""
    if (
        standing.regime != regime
        or standing.tick != market.tick
        or now_ns >= standing.valid_until_ns
    ):
        return False
    moved = abs(edges.bid - standing.bid_edge)
    moved_ask = abs(edges.ask - standing.ask_edge)
    moved = max(moved, moved_ask)
    if moved > 0.0 and moved >= market.hysteresis:
        return False
    best_bid, best_ask = touch
    if standing.bids and best_ask is not None and standing.bids[0][0] >= best_ask:
        return False
    if standing.asks and best_bid is not None and standing.asks[0][0] <= best_bid:
        return False
    return _similar(standing.bid_sizes, sizes[0], market.tolerance) and _similar(
        standing.ask_sizes, sizes[1], market.tolerance
    )


def _similar(standing: Sizes, wanted: Sizes, tolerance: float) -> bool:
    if standing == wanted:
        return True
    return len(standing) == len(wanted) and all(
        abs(one - other) <= tolerance for one, other in zip(standing, wanted, strict=True)
    )
