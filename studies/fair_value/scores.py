"""Scores of forecasts, lower is better, with block bootstrap intervals over whole markets.

Moments of one market share its outcome, and markets of one hour share its volatility, so what is
drawn are hours with all of their markets (Kuensch, 1989, "The jackknife and the bootstrap for
general stationary observations"). All columns are drawn together: differences are paired.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.errors import BadInput

BLOCK_S = 3_600
P_MIN = 1e-4
"""Log loss takes no forecast nearer to certainty than this."""

SLOPE_MAX = 10.0
"""A steeper slope is that of outcomes which the forecasts separate."""
DECILES = 10
OURS = "ours"
COLUMNS = (OURS, "model", "mid", "spot", "half")
"""`model` = ours without the market; a column is missing where nothing of it was recorded."""

Numbers = NDArray[np.float64]


class ForecastMoment(msgspec.Struct, frozen=True):
    """The forecasts of one market at one horizon, by column, and what happened."""

    slug: str
    closes_s: int
    horizon_s: int
    chances: dict[str, float]
    up: bool


class ScoreEstimate(msgspec.Struct, frozen=True):
    """A mean with its bootstrap 95 % interval."""

    mean: float
    low: float
    high: float


class ColumnScore(msgspec.Struct, frozen=True, kw_only=True):
    """One column at one horizon; `brier_less_ours` above 0 = ours is better."""

    column: str
    moments: int
    markets: int
    brier: ScoreEstimate
    log_loss: ScoreEstimate
    brier_less_ours: ScoreEstimate
    log_loss_less_ours: ScoreEstimate
    slope: float | None = None
    """Of what happened on the logit: 1 = rightly sure, below = too sure; None = it has none."""


class HorizonScore(msgspec.Struct, frozen=True, kw_only=True):
    """All columns at one horizon before the close; 0 = all horizons together."""

    horizon_s: int
    columns: tuple[ColumnScore, ...]


class Decile(msgspec.Struct, frozen=True, kw_only=True):
    """Forecasts of ours within one tenth of 0 … 1, and how often they came true."""

    low: float
    moments: int
    markets: int
    forecast: float
    happened: ScoreEstimate


def log_loss(chance: float, *, up: bool) -> float:
    """Return −ln of the chance given to what happened."""
    clipped = min(max(chance, P_MIN), 1.0 - P_MIN)
    return -log(clipped if up else 1.0 - clipped)


def mean_log_loss(moments: Sequence[ForecastMoment]) -> float:
    """Return the mean log loss of ours. Raises BadInput where there is no moment."""
    if not moments:
        raise BadInput("no forecast is left to fit on: give more days, or less purged time")
    return sum(log_loss(m.chances[OURS], up=m.up) for m in moments) / len(moments)


def mean_score(moments: Sequence[ForecastMoment]) -> float:
    """Return Brier score and log loss of ours, each as a part of that of one half, together.

    Log loss alone is decided by few moments of near certainty. Raises BadInput without a moment.
    """
    brier = sum((m.chances[OURS] - m.up) ** 2 for m in moments) / max(1, len(moments))
    return mean_log_loss(moments) / log(2.0) + brier / 0.25


def slope_of(chance: Numbers, paid: Numbers) -> float:
    """Return b of P(paid) = 1 / (1 + exp(-(a + b·logit(chance)))), by Newton's steps.

    Cox, 1958, "Two further applications of a model for binary regression".
    """
    clipped = np.clip(chance, 1e-4, 1.0 - 1e-4)
    x = np.stack([np.ones_like(clipped), np.log(clipped / (1.0 - clipped))])
    weights = np.array([0.0, 1.0])
    for _ in range(50):
        expected = 1.0 / (1.0 + np.exp(-weights @ x))
        curvature = (x * (expected * (1.0 - expected))) @ x.T + 1e-9 * np.eye(2)
        step = np.linalg.solve(curvature, x @ (paid - expected))
        weights += step
        if float(np.abs(step).max()) < 1e-9:
            break
    return float(weights[1])


class _Draws:
    """Resampled blocks of one set of moments; every mean is taken over the same draws."""

    def __init__(self, moments: Sequence[ForecastMoment], resamples: int, seed: int) -> None:
        blocks = sorted({m.closes_s // BLOCK_S for m in moments})
        place = {block: number for number, block in enumerate(blocks)}
        self._of = np.array([place[m.closes_s // BLOCK_S] for m in moments], dtype=np.int64)
        self._blocks = len(blocks)
        shape = (resamples, self._blocks)
        self._drawn = np.random.default_rng(seed).integers(0, self._blocks, size=shape)
        self._counts = np.bincount(self._of, minlength=self._blocks)

    def mean(self, values: Numbers) -> ScoreEstimate:
        sums = np.bincount(self._of, weights=values, minlength=self._blocks)
        means = sums[self._drawn].sum(axis=1) / self._counts[self._drawn].sum(axis=1)
        low, high = np.percentile(means, (2.5, 97.5))
        return ScoreEstimate(float(values.mean()), float(low), float(high))


def scores(moments: Sequence[ForecastMoment], resamples: int, seed: int) -> list[HorizonScore]:
    """Return all horizons, the longest first, then all together. Raises BadInput without any."""
    if not moments:
        raise BadInput("no market could be scored: every moment was left out")
    horizons = sorted({m.horizon_s for m in moments}, reverse=True)
    return [
        _horizon(horizon_s, [m for m in moments if horizon_s in {0, m.horizon_s}], resamples, seed)
        for horizon_s in (*horizons, 0)
    ]


def _horizon(
    horizon_s: int, moments: Sequence[ForecastMoment], resamples: int, seed: int
) -> HorizonScore:
    columns = []
    for column in COLUMNS:
        known = [m for m in moments if column in m.chances]
        if not known:
            continue
        draws = _Draws(known, resamples, seed + horizon_s)
        brier, loss = _losses(known, column)
        ours_brier, ours_loss = _losses(known, OURS)
        columns.append(
            ColumnScore(
                column=column,
                moments=len(known),
                markets=len({m.slug for m in known}),
                brier=draws.mean(brier),
                log_loss=draws.mean(loss),
                brier_less_ours=draws.mean(brier - ours_brier),
                log_loss_less_ours=draws.mean(loss - ours_loss),
                slope=_slope(known, column),
            )
        )
    return HorizonScore(horizon_s=horizon_s, columns=tuple(columns))


def _slope(moments: Sequence[ForecastMoment], column: str) -> float | None:
    """Return the slope of a column; None where its forecasts or the outcomes are all the same.

    None, too, where the forecasts separate the outcomes: any steeper slope then fits better.
    """
    chances = np.array([m.chances[column] for m in moments])
    happened = np.array([float(m.up) for m in moments])
    if len({*chances.tolist()}) < 2 or len({*happened.tolist()}) < 2:
        return None
    slope = slope_of(chances, happened)
    return slope if abs(slope) < SLOPE_MAX else None


def _losses(moments: Sequence[ForecastMoment], column: str) -> tuple[Numbers, Numbers]:
    brier = np.array([(m.chances[column] - m.up) ** 2 for m in moments])
    loss = np.array([log_loss(m.chances[column], up=m.up) for m in moments])
    return brier, loss


def calibration(moments: Sequence[ForecastMoment], resamples: int, seed: int) -> list[Decile]:
    """Return ours by tenths of its forecast, those that have any."""
    found = []
    for tenth in range(DECILES):
        inside = [m for m in moments if min(int(m.chances[OURS] * DECILES), DECILES - 1) == tenth]
        if not inside:
            continue
        happened = np.array([float(m.up) for m in inside])
        found.append(
            Decile(
                low=tenth / DECILES,
                moments=len(inside),
                markets=len({m.slug for m in inside}),
                forecast=sum(m.chances[OURS] for m in inside) / len(inside),
                happened=_Draws(inside, resamples, seed + tenth).mean(happened),
            )
        )
    return found
