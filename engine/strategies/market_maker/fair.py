"""The market maker's fair value, from the book alone or from the oracle, with its gates.

The reference path: the fast reference plus the tracked basis is where the oracle will be seen; its
volatility until the close (or averaged over the settlement window), the tails of its returns and
the basis's own uncertainty say how likely the oracle ends at or above the proven strike. That is
the model. The market's mid is the better forecast, so it is where the fair value begins:
fair = mid + b · (model now − model when the mid last knew it), b as `indicators.lead` proves it.
"""

from __future__ import annotations

from math import sqrt

import msgspec

from engine.caches.views import References, ReferenceView
from engine.domain.books import Book, microprice
from engine.domain.catalog import GateWords, ValueUnit
from engine.domain.decisions import Gate
from engine.indicators.lead import LeadRegression
from engine.indicators.twap import TwapAccumulator
from engine.strategies.door import Context
from engine.strategies.fair_value import (
    probability,
    probability_slope,
    settlement_mean,
    settlement_variance,
)
from engine.strategies.market_maker.gates import fresh_words
from engine.strategies.market_maker.parameters import Prior
from engine.strategies.market_maker.quotes import Fair
from engine.strategies.market_maker.state import MarketState

BPS = 1e-4

_LE, _GE = "\N{LESS-THAN OR EQUAL TO}", "\N{GREATER-THAN OR EQUAL TO}"
_S, _PLAIN = ValueUnit.SECONDS, ValueUnit.PLAIN
W = GateWords
FAIR_GATES = {
    "strike_proven": W("the strike is proven", "the strike is proven"),
    "oracle_settles": W(
        "the oracle is the one that settles the market",
        "oracle were the one this market settles by (hourly: binance:…, twap_window_s 0)",
    ),
    "oracle_known": W("the oracle has a price", "the oracle has a price"),
    "oracle_age_ms": fresh_words("the oracle's price"),
    "reference_known": W("the reference has a price", "the reference has a price"),
    "reference_age_ms": fresh_words("the reference price"),
    "basis_ready": W(
        "oracle and reference have been compared",
        "oracle and reference have been compared more often",
        "{value} of {limit} pairs",
        _PLAIN,
        _GE,
    ),
    "sigma_ready": W(
        "volatility was observed",
        "volatility was observed longer",
        "{value} of {limit}",
        _S,
        _GE,
        needed=True,
    ),
    "close_known": W("the close is announced", "the close is announced", needed=True),
    "fair_known": W("a fair value can be given", "a fair value can be given"),
    "settlement_finite": W("the settlement can be modelled", "the settlement can be modelled"),
    "twap_covered": W(
        "prices cover the settlement average",
        "more of the settlement average is known",
        "{value} of {limit} covered",
        _PLAIN,
        _GE,
    ),
    "price_in_range": W(
        "the price is inside the range",
        "its fair value comes back into the range",
        "{value} against the limit {limit}",
        _PLAIN,
        "against",
    ),
    "fair_gap": W(
        "fair value and book agree",
        "fair value and book agree again",
        "{value} apart > {limit}",
        _PLAIN,
        _LE,
    ),
}
"""Every gate of this file, in words."""

TWAP_COVERED_MIN = 0.9
"""Share of the passed settlement window that must be covered by known oracle prices."""


def book_fair(gates: list[Gate], book: Book, market: MarketState) -> Fair | None:
    """Return the microprice as fair value, or None with the failing gate appended last."""
    volatility, p = market.learned.volatility, market.p
    warm = volatility.seconds > 0.0 and volatility.observed_s >= p.sigma_warm_s
    gates.append(Gate("sigma_ready", warm, volatility.observed_s, p.sigma_warm_s))
    if not warm:
        return None
    bid, ask = book.bid_prices[-1], book.ask_prices[0]
    price = microprice(bid, book.bids[bid], ask, book.asks[ask])
    if market.binary and not _in_range(gates, price, market):
        return None
    sigma = sqrt(volatility.squares / volatility.seconds)
    if sigma < market.sigma_floor:
        sigma = market.sigma_floor
    elif sigma > market.sigma_cap:
        sigma = market.sigma_cap
    scale = market.scale
    parts = (("fair", price * scale), ("sigma_per_sqrt_s", sigma * scale))
    return Fair(price, sigma, 0.0, (), parts)


def _in_range(gates: list[Gate], price: float, market: MarketState) -> bool:
    """Gate the fair value of a binary; the limit shown is the one that binds."""
    p = market.p
    inside = market.price_min <= price <= market.price_max
    limit = p.price_min if price < market.price_min else p.price_max
    gates.append(Gate("price_in_range", inside, price * market.scale, limit))
    return inside


HOURLY = "-updown-1h"
"""The hourly markets end by the close of Binance's candle: another oracle, or a mean of several
prices, is compared with a strike that is not its own."""

WINDOWS = ("-updown-5m", "-updown-15m")
"""These end by the oracle of their asset, whose keys are spelled `<oracle>:<asset>/usd`. Another
asset's, or an exchange's, which stands a basis away, is compared with a strike of another price."""


class Spot(msgspec.Struct, frozen=True, gc=False):
    """Where the oracle stands in the world, as far as the references tell. Prices in its unit."""

    price: float
    stamp_ns: int
    basis_variance: float
    inputs: tuple[tuple[str, float], ...]


def reference_fair(
    gates: list[Gate], context: Context, market: MarketState, now_ns: int
) -> Fair | None:
    """Return P(oracle settles ≥ strike) as fair value, or None with the failing gate last."""
    strike_e8 = market.instrument.strike_e8
    proven = strike_e8 is not None and market.binary
    gates.append(Gate("strike_proven", proven, float(proven), 1.0))
    if strike_e8 is None or not proven:
        return None
    if not _settles(gates, market):
        return None
    spot = _spot(gates, context.references, market, now_ns)
    sigma_log = None if spot is None else _sigma_log(gates, market)
    if spot is None or sigma_log is None:
        return None
    fair = _settled(gates, market, spot, sigma_log, strike_e8 / 1e8)
    if fair is None:
        return None
    book, gap_max = context.view.book, market.p.fair_gap_max
    if not (book.bid_prices and book.ask_prices):
        return fair if _in_range(gates, fair.price, market) else None
    mid = (book.bid_prices[-1] + book.ask_prices[0]) / 2.0
    model = fair.price
    if market.p.prior is Prior.MARKET:
        fair = _anchored(fair, market, mid, now_ns)
    if not _in_range(gates, fair.price, market):
        return None
    gap = abs(model - mid) * market.scale
    gates.append(Gate("fair_gap", gap <= gap_max, gap, gap_max))
    return fair if gap <= gap_max else None


def _anchored(model: Fair, market: MarketState, mid: float, now_ns: int) -> Fair:
    """Return the mid, moved by the news of the model as far as mids have followed such news."""
    shared, scale = market.shared, market.scale
    series = market.instrument.series
    learned = shared.leads.get(series)
    if learned is None:
        learned = shared.leads[series] = LeadRegression()
    then = market.learned.lead.look(model.price * scale, mid * scale, now_ns, learned)
    b, error = learned.used, learned.error
    news = 0.0 if then is None else model.price * scale - then
    price = min(max(mid + b * news * market.unit, 0.0), float(market.unit))
    parts = (
        ("market_mid", mid * scale),
        *((("model_then", then),) if then is not None else ()),
        ("model_news", news),
        ("lead_b", learned.b),
        *((("lead_b_error", error),) if error is not None else ()),
        ("lead_b_used", b),
    )
    # What the model called fair is the model now; fair is where the quotes are made from.
    build_up = tuple((("model" if n == "fair" else n), v) for n, v in model.build_up)
    return Fair(
        price,
        model.sigma,
        model.basis_sigma * b,
        model.inputs,
        (*build_up, *parts, ("fair", price * scale)),
    )


def _settles(gates: list[Gate], market: MarketState) -> bool:
    """Gate the oracle of a rolling market: it must be the one whose price the strike is."""
    series, p = market.instrument.series, market.p
    if series.endswith(HOURLY):
        ends_by = f"binance:{series.removesuffix(HOURLY)}usdt"
        same = p.oracle == ends_by and p.twap_window_s == 0
    elif series.endswith(WINDOWS):
        asset = series.partition("-")[0]
        same = p.oracle.partition(":")[2] == f"{asset}/usd"
    else:
        return True
    gates.append(Gate("oracle_settles", same, float(same), 1.0))
    return same


def _fresh(
    gates: list[Gate], name: str, view: ReferenceView | None, age_ms_max: int, now_ns: int
) -> bool:
    if view is None or view.price_e8 <= 0:
        gates.append(Gate(f"{name}_known", False, 0.0, 1.0))
        return False
    # What waited on its way is no news: a backlog, or a socket read late, comes with old stamps.
    age_ms = (now_ns - min(view.at_ns, _made_ns(view, now_ns))) / 1e6
    gates.append(Gate(f"{name}_age_ms", age_ms <= age_ms_max, age_ms, float(age_ms_max)))
    return age_ms <= age_ms_max


def _spot(
    gates: list[Gate], references: References, market: MarketState, now_ns: int
) -> Spot | None:
    p = market.p
    oracle = references.get(p.oracle)
    if not _fresh(gates, "oracle", oracle, p.oracle_age_ms_max, now_ns) or oracle is None:
        return None
    price = oracle.price_e8 / 1e8
    # A price is as old as its stamp says: its uncertainty runs from there, not from now.
    if p.reference == p.oracle:
        return Spot(price, _made_ns(oracle, now_ns), 0.0, (("oracle", price),))
    return _led(gates, references.get(p.reference), market, price, now_ns)


def _made_ns(view: ReferenceView, now_ns: int) -> int:
    return now_ns if view.exchange_ns is None else min(view.exchange_ns, now_ns)


def _led(
    gates: list[Gate],
    reference: ReferenceView | None,
    market: MarketState,
    oracle_price: float,
    now_ns: int,
) -> Spot | None:
    p, basis = market.p, market.shared.basis
    fresh = _fresh(gates, "reference", reference, p.reference_age_ms_max, now_ns)
    if not fresh or reference is None:
        return None
    pairs = basis.pairs_at(now_ns)
    paired = pairs >= p.basis_pairs_min
    gates.append(Gate("basis_ready", paired, float(pairs), float(p.basis_pairs_min)))
    if not paired:
        return None
    price = reference.price_e8 / 1e8
    inputs = (
        ("oracle", oracle_price),
        ("reference", price),
        ("basis_mean", basis.mean),
        ("basis_sigma", sqrt(basis.variance)),
    )
    # What the reference shows now, the oracle will show under a stamp that much later.
    stamp_ns = _made_ns(reference, now_ns) + basis.lag_ns
    return Spot(price + basis.mean, stamp_ns, basis.variance, inputs)


def _sigma_log(gates: list[Gate], market: MarketState) -> float | None:
    """Return the volatility of the log return per √s."""
    p, volatility = market.p, market.shared.volatility
    variance = volatility.variance_per_s
    warm = variance is not None and volatility.observed_s >= p.sigma_warm_s
    gates.append(Gate("sigma_ready", warm, volatility.observed_s, p.sigma_warm_s))
    if not warm or variance is None:
        return None
    return min(max(sqrt(variance), p.sigma_floor_bps * BPS), p.sigma_cap_bps * BPS)


class SettlementMean(msgspec.Struct, frozen=True, kw_only=True):
    """What the market will settle on, as a normal variable in the oracle's unit."""

    mean: float
    variance: float
    to_close_s: float
    open_share: float
    """Share of the settlement price that still moves with the spot."""
    realised: float | None
    """Average over the passed part of the window; None before the window."""


def _settlement(
    gates: list[Gate], market: MarketState, spot: Spot, sigma_log: float
) -> SettlementMean | None:
    closes_ns, window_s = market.closes_ns, market.p.twap_window_s
    dated = closes_ns is not None and window_s is not None
    gates.append(Gate("close_known", dated, float(dated), 1.0))
    if closes_ns is None or window_s is None:
        return None
    to_close_s = max(0, closes_ns - spot.stamp_ns) / 1e9
    realised = None
    if to_close_s < window_s:
        realised = _realised(gates, market.learned.twap, spot.stamp_ns, window_s - to_close_s)
        if realised is None:
            return None
    mean = settlement_mean(
        spot=spot.price, realised_average=realised, to_close_s=to_close_s, window_s=window_s
    )
    settling = settlement_variance(
        variance_per_s=(sigma_log * spot.price) ** 2, to_close_s=to_close_s, window_s=window_s
    )
    if mean is None or settling is None:
        gates.append(Gate("settlement_finite", False, 0.0, 1.0))
        return None
    return SettlementMean(
        mean=mean,
        variance=settling + spot.basis_variance,
        to_close_s=to_close_s,
        open_share=to_close_s / window_s if to_close_s < window_s else 1.0,
        realised=realised,
    )


def _settled(
    gates: list[Gate], market: MarketState, spot: Spot, sigma_log: float, strike: float
) -> Fair | None:
    """Return the probability of settling at or above the strike, and how fast it moves."""
    end = _settlement(gates, market, spot, sigma_log)
    if end is None:
        return None
    tails = market.p.tails
    chance = probability(mean=end.mean, strike=strike, variance=end.variance, tails=tails)
    slope = probability_slope(mean=end.mean, strike=strike, variance=end.variance, tails=tails)
    known = chance is not None and slope is not None
    gates.append(Gate("fair_known", known, float(known), 1.0))
    if chance is None or slope is None:
        return None
    moving = slope * end.open_share * sigma_log * spot.price
    one = market.unit
    inputs: tuple[tuple[str, float], ...] = (
        *spot.inputs,
        ("strike", strike),
        ("sigma_bps_per_sqrt_s", sigma_log / BPS),
        ("to_close_s", end.to_close_s),
    )
    regime = market.shared.volatility.regime
    if regime is not None:
        inputs += (("volatility_regime", regime),)
    if end.realised is not None:
        inputs += (("realised_average", end.realised),)
    build_up = (
        ("settlement_mean", end.mean),
        ("settlement_sigma", sqrt(end.variance)),
        ("fair", chance),
        ("sigma_per_sqrt_s", moving),
    )
    return Fair(
        chance * one, moving * one, slope * sqrt(spot.basis_variance) * one, inputs, build_up
    )


def _realised(
    gates: list[Gate], twap: TwapAccumulator | None, until_ns: int, passed_s: float
) -> float | None:
    known = twap.average(until_ns) if twap is not None else None
    share = known[1] / 1e9 / passed_s if known is not None else 0.0
    covered = known is not None and share >= TWAP_COVERED_MIN
    gates.append(Gate("twap_covered", covered, share, TWAP_COVERED_MIN))
    return known[0] if known is not None and covered else None
