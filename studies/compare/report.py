"""What all days say together: each model beside the truth, with intervals and a verdict.

Days are pooled as sums (filled over placed, seconds over orders), and the interval of a figure or
of a difference is the middle 95 % of a bootstrap over days: days are drawn with replacement, the
truth and the models of a drawn day stay together, because they had the same price.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.venues.paper.settings import FillModel
from studies.compare.queues import Cancels, share_of
from studies.compare.watch import MICRO, MakerFigures

TRUTH = "truth"
DRAWS = 4_000
SHARE_DRAWS = 200
LEVEL_PERCENT = 95.0

Floats = NDArray[np.float64]
Days = Mapping[str, Sequence[MakerFigures]]
"""Side → its days, in the same order for every side."""


class Measure(msgspec.Struct, frozen=True, kw_only=True):
    """One figure: a sum over a sum of the days' fields."""

    name: str
    label: str
    unit: str
    above: str
    below: str
    """Field of `MakerFigures`; empty = per day."""
    scale: float
    tolerance: float
    """How far a model may be from the truth: a share of it, or in the unit."""
    relative: bool
    twins: bool = False
    """Of the truth's own orders as paper, not of the orders the paper account placed itself."""


FILL_RATIO = "fill_ratio"
MEASURES = (
    Measure(
        name="fill_ratio_same",
        label="fill ratio of the same orders",
        unit="% of the size placed",
        above="filled",
        below="placed",
        scale=100.0,
        tolerance=0.10,
        relative=True,
        twins=True,
    ),
    Measure(
        name=FILL_RATIO,
        label="fill ratio",
        unit="% of the size placed",
        above="filled",
        below="placed",
        scale=100.0,
        tolerance=0.20,
        relative=True,
    ),
    Measure(
        name="time_to_fill",
        label="time to fill",
        unit="s from accepted to the first fill",
        above="wait_s",
        below="filled_orders",
        scale=1.0,
        tolerance=0.20,
        relative=True,
    ),
    Measure(
        name="markout_5s",
        label="5 s markout",
        unit="cents a share",
        above="marked_gain",
        below="marked",
        scale=1.0,
        tolerance=0.25,
        relative=False,
    ),
    Measure(
        name="pnl_day",
        label="PnL per day",
        unit="pUSD a demo day",
        above="pnl_micro",
        below="",
        scale=1 / MICRO,
        tolerance=0.20,
        relative=True,
    ),
)


class CompareVerdict(StrEnum):
    """What the interval of a difference says about the tolerance."""

    WITHIN = "within"
    """All of it is inside."""
    OFF = "off"
    """All of it is outside."""
    OPEN = "open"
    """It reaches over the edge: more days are needed to tell."""


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """A figure with its interval."""

    value: float
    low: float
    high: float


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """One model's figure beside the truth's."""

    value: Estimate
    difference: Estimate
    """Model less truth."""
    verdict: CompareVerdict


class ReportLine(msgspec.Struct, frozen=True, kw_only=True):
    """One measure of all sides. `slack` is the tolerance in the measure's unit."""

    name: str
    label: str
    unit: str
    truth: Estimate
    slack: float
    models: dict[str, Compared]


class Fit(msgspec.Struct, frozen=True, kw_only=True):
    """The share of the cancels ahead of us, in percent, as the exchange shows it."""

    percent: Estimate
    cancels: int
    """How many it was fitted from."""


def lines(days: Days, twins: Days, *, seed: int) -> tuple[ReportLine, ...]:
    """Return every measure with the truth and each other side that is a fill model's name."""
    draws = _draws(len(days[TRUTH]), seed)
    same = {**twins, TRUTH: days[TRUTH]}
    return tuple(_line(m, same if m.twins else days, draws) for m in MEASURES)


def answers(days: Days, twins: Days, *, seed: int) -> dict[str, Estimate]:
    """Return, per fill model, by how much its fill ratio is another only because of its world.

    In points: the paper account's ratio less that of the truth's own orders at the same model. The
    fill model is the same in both; what differs is that nobody saw the paper account's quotes.
    """
    (measure,) = (one for one in MEASURES if one.name == FILL_RATIO)
    draws = _draws(len(days[TRUTH]), seed)
    found = {}
    for name in map(str, FillModel):
        paper, papers = _pooled(measure, days[name], draws)
        twin, drawn = _pooled(measure, twins[name], draws)
        found[name] = _estimate(paper - twin, papers - drawn)
    return found


def _line(measure: Measure, days: Days, draws: NDArray[np.int64]) -> ReportLine:
    truth, truths = _pooled(measure, days[TRUTH], draws)
    slack = measure.tolerance * (abs(truth) if measure.relative else 1.0)
    models = {}
    for name in FillModel:
        value, values = _pooled(measure, days[name], draws)
        difference = _estimate(value - truth, values - truths)
        models[str(name)] = Compared(
            value=_estimate(value, values),
            difference=difference,
            verdict=_verdict(difference, slack),
        )
    return ReportLine(
        name=measure.name,
        label=measure.label,
        unit=measure.unit,
        truth=_estimate(truth, truths),
        slack=slack,
        models=models,
    )


def _draws(count: int, seed: int) -> NDArray[np.int64]:
    return np.random.default_rng(seed).integers(0, count, size=(DRAWS, count))


def _pooled(
    measure: Measure, days: Sequence[MakerFigures], draws: NDArray[np.int64]
) -> tuple[float, Floats]:
    """Return the measure over all days, and over each drawn set of days."""
    above = np.array([getattr(day, measure.above) for day in days], dtype=np.float64)
    below = np.array([getattr(day, measure.below) if measure.below else 1 for day in days], float)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = float(above.sum() / below.sum()) * measure.scale
        return value, above[draws].sum(axis=1) / below[draws].sum(axis=1) * measure.scale


def _estimate(value: float, drawn: Floats) -> Estimate:
    edge = (100 - LEVEL_PERCENT) / 2
    known = drawn[np.isfinite(drawn)]
    if not len(known):
        return Estimate(value=value, low=float("nan"), high=float("nan"))
    low, high = np.percentile(known, (edge, 100 - edge))
    return Estimate(value=value, low=float(low), high=float(high))


def _verdict(difference: Estimate, slack: float) -> CompareVerdict:
    if -slack <= difference.low and difference.high <= slack:
        return CompareVerdict.WITHIN
    if difference.low > slack or difference.high < -slack:
        return CompareVerdict.OFF
    return CompareVerdict.OPEN


def fitted(days: Sequence[Sequence[Cancels]], *, seed: int) -> Fit:
    """Return the share of the cancels ahead of us over all days, its interval over drawn days."""
    drawn = [
        share_of([one for day in chosen for one in days[day]])
        for chosen in _draws(len(days), seed)[:SHARE_DRAWS]
    ]
    share = share_of([one for day in days for one in day])
    return Fit(percent=_estimate(share, np.array(drawn)), cancels=sum(map(len, days)))
