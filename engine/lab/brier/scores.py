"""Brier scores with seeded, paired bootstrap intervals over whole markets."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.errors import BadInput


class ForecastMoment(msgspec.Struct, frozen=True):
    """The three forecasts of one market at one horizon, and what happened."""

    slug: str
    horizon_s: int
    ours: float
    spot: float
    up: bool


class ScoreEstimate(msgspec.Struct, frozen=True):
    """A mean with its bootstrap 95 % interval."""

    mean: float
    low: float
    high: float


class HorizonScore(msgspec.Struct, frozen=True):
    """Brier scores at one horizon, lower is better, and paired differences in our favour."""

    horizon_s: int
    markets: int
    ours: ScoreEstimate
    half: ScoreEstimate
    spot: ScoreEstimate
    half_less_ours: ScoreEstimate
    spot_less_ours: ScoreEstimate


def score(moments: list[ForecastMoment], horizon_s: int, resamples: int, seed: int) -> HorizonScore:
    """Return the scores of one horizon's moments. Raises BadInput where there are none."""
    if not moments:
        raise BadInput(f"no market could be scored {horizon_s} s before its close")
    outcome = np.array([float(m.up) for m in moments])
    ours = (np.array([m.ours for m in moments]) - outcome) ** 2
    spot = (np.array([m.spot for m in moments]) - outcome) ** 2
    half = np.full(len(moments), 0.25)
    # One set of resampled markets for all columns keeps the differences paired.
    draws = np.random.default_rng([seed, horizon_s]).integers(
        0, len(moments), size=(resamples, len(moments))
    )
    return HorizonScore(
        horizon_s=horizon_s,
        markets=len(moments),
        ours=_estimate(ours, draws),
        half=_estimate(half, draws),
        spot=_estimate(spot, draws),
        half_less_ours=_estimate(half - ours, draws),
        spot_less_ours=_estimate(spot - ours, draws),
    )


def _estimate(values: NDArray[np.float64], draws: NDArray[np.int64]) -> ScoreEstimate:
    means = values[draws].mean(axis=1)
    low, high = np.percentile(means, (2.5, 97.5))
    return ScoreEstimate(float(values.mean()), float(low), float(high))
