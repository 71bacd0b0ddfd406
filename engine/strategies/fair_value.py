r"""Fair value of an up/down binary: the probability that it settles at or above its strike.

The oracle price S is a martingale with variance rate σ² (price units²/s), Gaussian over the short
life of such a market. It settles at X: the price at the close T (w = 0), or its time-weighted
average over the last w seconds. With τ = T − now, P(X ≥ K) = Φ((E[X] − K) / √Var[X]).

Before the window (τ ≥ w), with B a Brownian motion from now on,
    X = S + σ/w · ∫_{τ−w}^{τ} B(u) du, so E[X] = S and
    Var[X] = σ²·((τ − w) + w/3) = σ²·(τ − 2w/3):
    the path up to the window counts in full, and the average of a Brownian motion over its own
    first w seconds has variance w/3 (∫∫ min(u,v) du dv / w² over [0,w]² = w³/3 / w²).
Inside it (τ < w), with the average A realised over e = w − τ,
    X = (e·A + ∫_0^τ (S + σB(u)) du) / w, so E[X] = (e·A + τ·S)/w and
    Var[X] = σ²·τ³/(3w²).
Both give σ²·w/3 at τ = w, and τ → 0 leaves what is realised. The averaged-price variance is that
of arithmetic Asian options (Kemna and Vorst, 1990; Turnbull and Wakeman, 1991).

What cannot be computed is None, never a number: the caller's gate fails.
"""

from __future__ import annotations

from enum import StrEnum
from math import erf, erfc, exp, isfinite, pi, sqrt

SQRT_2 = sqrt(2.0)
SQRT_2PI = sqrt(2.0 * pi)


def normal_cdf(z: float) -> float:
    """Return Φ(z). The tails go through erfc, where 1 + erf would cancel to zero."""
    if z < 0.0:
        return 0.5 * erfc(-z / SQRT_2)
    return 0.5 + 0.5 * erf(z / SQRT_2)


def student_cdf(t: float) -> float:
    """Return the distribution function of Student's t with 4 degrees of freedom, in closed form."""
    q = 1.0 + t * t / 4.0
    found = 0.5 + 0.375 * (t / sqrt(q)) * (1.0 - t * t / (12.0 * q))
    return min(max(found, 0.0), 1.0)  # far out only rounding is left of it


class Tails(StrEnum):
    """How often a price goes further than its volatility says."""

    NORMAL = "normal"
    STUDENT = "student"
    """Student's t with 4 degrees of freedom and the same variance: returns of seconds to hours have
    tail exponents of 3 to 5 (Cont, 2001, "Empirical properties of asset returns")."""


def settlement_variance(
    *, variance_per_s: float, to_close_s: float, window_s: float
) -> float | None:
    """Return Var[X] in price units². None for a negative or non-finite argument.

    `variance_per_s` in price units²/s, `window_s` = 0 for settlement at the closing price.
    """
    total = variance_per_s + to_close_s + window_s
    if not (isfinite(total) and variance_per_s >= 0.0 and to_close_s >= 0.0 and window_s >= 0.0):
        return None
    if to_close_s >= window_s:
        return variance_per_s * (to_close_s - window_s * (2.0 / 3.0))
    remaining = to_close_s / window_s
    return variance_per_s * to_close_s * remaining * remaining / 3.0


def settlement_mean(
    *, spot: float, realised_average: float | None, to_close_s: float, window_s: float
) -> float | None:
    """Return E[X] in price units.

    `realised_average` is the average over the passed part of the window; it may be None only
    before the window. None for a negative or non-finite argument, or where it is missing inside.
    """
    if not (isfinite(spot + to_close_s + window_s) and to_close_s >= 0.0 and window_s >= 0.0):
        return None
    if to_close_s >= window_s:
        return spot
    if realised_average is None or not isfinite(realised_average):
        return None
    return realised_average + (spot - realised_average) * (to_close_s / window_s)


def probability(
    *, mean: float, strike: float, variance: float, tails: Tails = Tails.NORMAL
) -> float | None:
    """Return P(X ≥ strike), 0 … 1.

    A variance of exactly zero is certainty: 1 at or above the strike, 0 below. None where an
    argument is not finite or the variance is negative.
    """
    if not isfinite(mean - strike + variance) or variance < 0.0:
        return None
    if variance == 0.0:
        return 1.0 if mean >= strike else 0.0
    z = (mean - strike) / sqrt(variance)
    return student_cdf(z * SQRT_2) if tails is Tails.STUDENT else normal_cdf(z)


def probability_slope(
    *, mean: float, strike: float, variance: float, tails: Tails = Tails.NORMAL
) -> float | None:
    """Return dP/dmean in 1/price units: how much the fair value moves with the price.

    None where an argument is not finite or the variance is not positive (the slope of a step).
    """
    if not isfinite(mean - strike + variance) or variance <= 0.0:
        return None
    sigma = sqrt(variance)
    z = (mean - strike) / sigma
    if tails is Tails.STUDENT:
        # The density of t with 4 degrees at z√2, times √2.
        return 0.375 * SQRT_2 / (sigma * sqrt(1.0 + z * z / 2.0) ** 5)
    return exp(-0.5 * z * z) / (sigma * SQRT_2PI) if abs(z) < 38.0 else 0.0
