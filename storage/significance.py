"""How much a run's figures prove: intervals, trials on the same recording, the deflated Sharpe.

- Interval: the stationary bootstrap of Politis and Romano, *The Stationary Bootstrap*, JASA 89
  (1994): blocks of random length keep the dependence of neighbouring returns. Percentiles 2.5 and
  97.5; the seed is fixed, so that a figure is the same each time it is shown.
- Deflated Sharpe: Bailey and López de Prado, *The Deflated Sharpe Ratio*, Journal of Portfolio
  Management 40 (2014): the probability that the true Sharpe is above what the best of as many
  worthless trials would have shown. With one trial it is their probabilistic Sharpe against zero.
- A trial is a stored run over the same recording that decided differently (another digest).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from random import Random
from sqlite3 import Connection

import msgspec

from storage.runs import RETURNS_MIN, STEPS, grid, returns_of, sharpe

RESAMPLES = 500
WORK_MAX = 400_000
"""Most returns that are drawn for one interval: long curves get fewer resamples, 100 at least."""
RESAMPLES_MIN = 100
TRIALS_READ = 60
"""Trials whose own Sharpe is computed, the newest; their spread stands for that of all."""
EULER = 0.5772156649015329
_NORMAL = statistics.NormalDist()


class Significance(msgspec.Struct, frozen=True, kw_only=True):
    """What stands beside the headline of a run. None = too little is known to say."""

    trials: int
    """Runs over this recording that decided differently, this one included."""
    sharpe_low: float | None = None
    sharpe_high: float | None = None
    """Ends of the 95 % interval of the yearly Sharpe."""
    deflated: float | None = None
    """Probability, 0 to 1, that the Sharpe is more than luck among so many trials."""
    longest_ns: int | None = None
    """Longest time below an earlier peak, to the end of the curve where it was never reached."""
    under_water: bool = False
    """True = that time had not ended when the curve did."""


def longest_drawdown(points: Iterable[tuple[int, float]]) -> tuple[int, bool]:
    """Return the longest time from a peak until it was reached again, and whether it never was."""
    peak, peak_ns, last_ns, longest, below = -math.inf, 0, 0, 0, False
    for at_ns, value in points:
        if value < peak:
            below = True
        else:
            longest = max(longest, at_ns - peak_ns) if below else longest
            peak, peak_ns, below = value, at_ns, False
        last_ns = at_ns
    if below and last_ns - peak_ns > longest:
        return last_ns - peak_ns, True
    return longest, False


def stationary_bootstrap(returns: Sequence[float], resamples: int, seed: int) -> list[list[float]]:
    """Return resampled series, in blocks whose mean length is the cube root of how many there are.

    Politis and Romano (1994), section 2: a block begins anywhere, wraps around, and ends after
    each return with the probability one over the mean length.
    """
    random, count = Random(seed), len(returns)  # noqa: S311 no secret: it resamples
    ends = 1 / max(1.0, count ** (1 / 3))
    made: list[list[float]] = []
    for _ in range(resamples):
        at = random.randrange(count)
        series: list[float] = []
        for _ in range(count):
            series.append(returns[at])
            at = random.randrange(count) if random.random() < ends else (at + 1) % count
        made.append(series)
    return made


def sharpe_interval(returns: Sequence[float], steps_per_year: int) -> tuple[float, float] | None:
    """Return the 95 % interval of the yearly Sharpe; None where a resample has none."""
    resamples = max(RESAMPLES_MIN, min(RESAMPLES, WORK_MAX // len(returns)))
    drawn = [sharpe(one, steps_per_year) for one in stationary_bootstrap(returns, resamples, 1)]
    known = sorted(one for one in drawn if one is not None)
    if len(known) < resamples:
        return None
    return known[round(0.025 * (resamples - 1))], known[round(0.975 * (resamples - 1))]


def expected_best(trials: int, deviation: float) -> float:
    """Return the Sharpe that the best of so many worthless trials is expected to show.

    Bailey and López de Prado (2014), equation 1; in the same units as `deviation`, the standard
    deviation of the trials' Sharpe. 0 for one trial.
    """
    if trials < 2:
        return 0.0
    first = _NORMAL.inv_cdf(1 - 1 / trials)
    second = _NORMAL.inv_cdf(1 - 1 / (trials * math.e))
    return deviation * ((1 - EULER) * first + EULER * second)


def deflated_sharpe(returns: Sequence[float], best: float) -> float | None:
    """Return the probability that the Sharpe per step is above `best`; None where nothing moved.

    Bailey and López de Prado (2014), equation 2: skewness and kurtosis of the returns widen it.
    """
    mean, count = statistics.fmean(returns), len(returns)
    deviation = statistics.pstdev(returns)
    if deviation == 0:
        return None
    skew = math.fsum(((one - mean) / deviation) ** 3 for one in returns) / count
    kurtosis = math.fsum(((one - mean) / deviation) ** 4 for one in returns) / count
    ratio = mean / statistics.stdev(returns)
    spread = 1 - skew * ratio + (kurtosis - 1) / 4 * ratio**2
    if spread <= 0:
        return None
    return _NORMAL.cdf((ratio - best) * math.sqrt(count - 1) / math.sqrt(spread))


def significance_of(connection: Connection, engine_id: str, run_id: int) -> Significance:
    """Return what stands beside the headline of a run."""
    others = _trials(connection, engine_id, run_id)
    points = connection.execute(
        "SELECT at_ns, equity_micro FROM run_equity WHERE engine_id = ? AND run = ? ORDER BY at_ns",
        (engine_id, run_id),
    ).fetchall()
    longest, lasts = longest_drawdown(points)
    made = Significance(
        trials=1 + len(others), longest_ns=longest if points else None, under_water=lasts
    )
    for _, step_ns, steps_per_year in STEPS:
        returns = returns_of(grid(connection, engine_id, run_id, step_ns))
        if len(returns) < RETURNS_MIN:
            continue
        low, high = sharpe_interval(returns, steps_per_year) or (None, None)
        made = msgspec.structs.replace(made, sharpe_low=low, sharpe_high=high)
        own = [
            sharpe(found, 1)
            for other in others[:TRIALS_READ]
            if len(found := returns_of(grid(connection, engine_id, other, step_ns))) >= RETURNS_MIN
        ]
        known = [one for one in (sharpe(returns, 1), *own) if one is not None]
        if not others:
            made = msgspec.structs.replace(made, deflated=deflated_sharpe(returns, 0.0))
        elif len(known) > 1:
            best = expected_best(made.trials, statistics.stdev(known))
            made = msgspec.structs.replace(made, deflated=deflated_sharpe(returns, best))
        break
    return made


_BAND = (
    "CASE WHEN json_valid({0}.parameters) AND json_extract({0}.parameters, '$.sweep.band') "
    "THEN json_extract({0}.parameters, '$.sweep.id') ELSE {0}.digest END"
)
"""What is one trial: a band of fills is one, else each digest is."""


def _trials(connection: Connection, engine_id: str, run_id: int) -> list[int]:
    """Return the other runs over a run's recording that decided differently, the newest first."""
    other, this = _BAND.format("other"), _BAND.format("this")
    sql = (
        "SELECT max(other.id) FROM runs AS other JOIN runs AS this ON this.id = ? "  # noqa: S608 our own text
        "WHERE other.engine_id = ? AND other.recording = this.recording AND other.kind = this.kind "
        "AND other.digest <> '' AND other.digest <> this.digest "
        f"AND {other} <> {this} GROUP BY {other} ORDER BY 1 DESC"
    )
    rows = connection.execute(sql, (run_id, engine_id))
    return [number for (number,) in rows]
