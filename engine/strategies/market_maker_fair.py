"""The market maker's fair value, from the book alone or from the oracle, with its gates.

The reference path in one sentence: the fast reference plus the tracked basis is where the oracle
will be seen; its volatility until the close (or averaged over the settlement window) and the
basis's own uncertainty say how likely the oracle ends at or above the proven strike.
"""

from __future__ import annotations

from math import sqrt

from engine.caches.views import References, ReferenceView
from engine.domain.books import Book
from engine.domain.decisions import Gate
from engine.indicators.shape import microprice
from engine.indicators.twap import TwapAccumulator
from engine.strategies.door import Context
from engine.strategies.fair_value import (
    probability,
    probability_slope,
    settlement_mean,
    settlement_variance,
)
from engine.strategies.market_maker_parameters import MarketMakerParameters
from engine.strategies.market_maker_quotes import Fair
from engine.strategies.market_maker_state import Market, Shared

BPS = 1e-4

TWAP_COVERED_MIN = 0.9
"""Share of the passed settlement window that must be covered by known oracle prices."""


def book_fair(
    gates: list[Gate], book: Book, market: Market, p: MarketMakerParameters
) -> Fair | None:
    """Return the microprice as fair value, or None with the failing gate appended last."""
    volatility = market.learned.volatility
    warm = volatility.seconds > 0.0 and volatility.observed_s >= p.sigma_warm_s
    gates.append(Gate("sigma_ready", warm, volatility.observed_s, p.sigma_warm_s))
    if not warm:
        return None
    bid, ask = book.bid_prices[-1], book.ask_prices[0]
    price = microprice(bid, book.bids[bid], ask, book.asks[ask])
    if market.binary and not _in_range(gates, price, market, p):
        return None
    sigma = sqrt(volatility.squares / volatility.seconds)
    if sigma < market.sigma_floor:
        sigma = market.sigma_floor
    elif sigma > market.sigma_cap:
        sigma = market.sigma_cap
    scale = market.scale
    parts = (("fair", price * scale), ("sigma_per_sqrt_s", sigma * scale))
    return Fair(price, sigma, 0.0, (), parts)


def _in_range(gates: list[Gate], price: float, market: Market, p: MarketMakerParameters) -> bool:
    """Gate the fair value of a binary; the limit shown is the one that binds."""
    inside = market.price_min <= price <= market.price_max
    limit = p.price_min if price < market.price_min else p.price_max
    gates.append(Gate("price_in_range", inside, price * market.scale, limit))
    return inside


class Spot:
    """Where the oracle stands in the world, as far as the references tell. Prices in its unit."""

    __slots__ = ("basis_variance", "inputs", "price", "sigma_log", "stamp_ns")

    def __init__(
        self,
        *,
        price: float,
        stamp_ns: int,
        sigma_log: float,
        basis_variance: float,
        inputs: tuple[tuple[str, float], ...],
    ) -> None:
        self.price = price
        self.stamp_ns = stamp_ns
        self.sigma_log = sigma_log
        self.basis_variance = basis_variance
        self.inputs = inputs


def reference_fair(
    gates: list[Gate],
    context: Context,
    market: Market,
    shared: Shared,
    p: MarketMakerParameters,
    now_ns: int,
) -> Fair | None:
    """Return P(oracle settles ≥ strike) as fair value, or None with the failing gate last."""
    strike_e8 = market.instrument.strike_e8
    proven = strike_e8 is not None and market.binary
    gates.append(Gate("strike_proven", proven, float(proven), 1.0))
    if strike_e8 is None or not proven:
        return None
    dated = market.closes_ns is not None
    gates.append(Gate("close_known", dated, float(dated), 1.0))
    spot = _spot(gates, context.references, shared, p, now_ns) if dated else None
    if spot is None:
        return None
    fair = _settled(gates, market, spot, strike_e8 / 1e8, p)
    if fair is None or not _in_range(gates, fair.price, market, p):
        return None
    book = context.view.book
    if book.bid_prices and book.ask_prices:
        mid = (book.bid_prices[-1] + book.ask_prices[0]) / 2.0
        gap = abs(fair.price - mid) * market.scale
        gates.append(Gate("fair_gap", gap <= p.fair_gap_max, gap, p.fair_gap_max))
        if gap > p.fair_gap_max:
            return None
    return fair


def _fresh(
    gates: list[Gate], name: str, view: ReferenceView | None, age_ms_max: int, now_ns: int
) -> bool:
    if view is None or view.price_e8 <= 0:
        gates.append(Gate(f"{name}_known", False, 0.0, 1.0))
        return False
    age_ms = (now_ns - view.at_ns) / 1e6
    gates.append(Gate(f"{name}_age_ms", age_ms <= age_ms_max, age_ms, float(age_ms_max)))
    return age_ms <= age_ms_max


def _spot(
    gates: list[Gate],
    references: References,
    shared: Shared,
    p: MarketMakerParameters,
    now_ns: int,
) -> Spot | None:
    oracle = references.get(p.oracle)
    if not _fresh(gates, "oracle", oracle, p.oracle_age_ms_max, now_ns) or oracle is None:
        return None
    lead, price, basis_variance = oracle, oracle.price_e8 / 1e8, 0.0
    inputs: tuple[tuple[str, float], ...] = (("oracle", price),)
    if p.reference != p.oracle:
        reference = references.get(p.reference)
        fresh = _fresh(gates, "reference", reference, p.reference_age_ms_max, now_ns)
        if not fresh or reference is None:
            return None
        basis = shared.basis
        paired = basis.pairs >= p.basis_pairs_min
        gates.append(Gate("basis_ready", paired, float(basis.pairs), float(p.basis_pairs_min)))
        if not paired:
            return None
        lead, basis_variance = reference, basis.variance
        price = reference.price_e8 / 1e8 + basis.mean
        inputs += (
            ("reference", reference.price_e8 / 1e8),
            ("basis_mean", basis.mean),
            ("basis_sigma", sqrt(basis_variance)),
        )
    sigma_log = _sigma_log(gates, shared, p)
    if sigma_log is None:
        return None
    # The price is as old as its stamp says: its uncertainty runs from there, not from now.
    stamp_ns = now_ns if lead.exchange_ns is None else min(lead.exchange_ns, now_ns)
    return Spot(
        price=price,
        stamp_ns=stamp_ns,
        sigma_log=sigma_log,
        basis_variance=basis_variance,
        inputs=inputs,
    )


def _sigma_log(gates: list[Gate], shared: Shared, p: MarketMakerParameters) -> float | None:
    volatility = shared.volatility
    variance = volatility.variance_per_s
    warm = variance is not None and volatility.observed_s >= p.sigma_warm_s
    gates.append(Gate("sigma_ready", warm, volatility.observed_s, p.sigma_warm_s))
    if not warm or variance is None:
        return None
    return min(max(sqrt(variance), p.sigma_floor_bps * BPS), p.sigma_cap_bps * BPS)


def _settled(
    gates: list[Gate], market: Market, spot: Spot, strike: float, p: MarketMakerParameters
) -> Fair | None:
    closes_ns, window_s = market.closes_ns, p.twap_window_s
    if closes_ns is None or window_s is None:
        return None
    to_close_s = max(0, closes_ns - spot.stamp_ns) / 1e9
    realised = None
    if to_close_s < window_s:
        realised = _realised(gates, market.learned.twap, spot.stamp_ns, window_s - to_close_s)
        if realised is None:
            return None
    sigma = spot.sigma_log * spot.price
    mean = settlement_mean(
        spot=spot.price, realised_average=realised, to_close_s=to_close_s, window_s=window_s
    )
    settling = settlement_variance(
        variance_per_s=sigma * sigma, to_close_s=to_close_s, window_s=window_s
    )
    chance = slope = None
    variance = 0.0
    if mean is not None and settling is not None:
        variance = settling + spot.basis_variance
        chance = probability(mean=mean, strike=strike, variance=variance)
        slope = probability_slope(mean=mean, strike=strike, variance=variance)
    known = chance is not None and slope is not None
    gates.append(Gate("fair_known", known, float(known), 1.0))
    if mean is None or chance is None or slope is None:
        return None
    # Inside the window only the part still open moves with the price.
    open_share = min(1.0, to_close_s / window_s) if window_s > 0.0 else 1.0
    one = market.one
    return Fair(
        chance * one,
        slope * open_share * sigma * one,
        slope * sqrt(spot.basis_variance) * one,
        (
            *spot.inputs,
            ("strike", strike),
            ("sigma_bps_per_sqrt_s", spot.sigma_log / BPS),
            ("to_close_s", to_close_s),
            *((("realised_average", realised),) if realised is not None else ()),
        ),
        (
            ("settlement_mean", mean),
            ("settlement_sigma", sqrt(variance)),
            ("fair", chance),
            ("sigma_per_sqrt_s", slope * open_share * sigma),
        ),
    )


def _realised(
    gates: list[Gate], twap: TwapAccumulator | None, until_ns: int, passed_s: float
) -> float | None:
    known = twap.average(until_ns) if twap is not None else None
    share = known[1] / 1e9 / passed_s if known is not None else 0.0
    covered = known is not None and share >= TWAP_COVERED_MIN
    gates.append(Gate("twap_covered", covered, share, TWAP_COVERED_MIN))
    return known[0] if known is not None and covered else None
