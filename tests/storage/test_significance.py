"""Each formula against another way to it, and what is said where too little is known."""

from __future__ import annotations

import math
import statistics
from itertools import pairwise
from random import Random
from sqlite3 import Connection

import pytest

from engine.domain.instruments import Mode
from storage.runs import DAY_NS, Run, RunKind, RunStatus, save_run, sharpe
from storage.significance import (
    deflated_sharpe,
    expected_best,
    longest_drawdown,
    sharpe_interval,
    significance_of,
    stationary_bootstrap,
)


def drawn(count: int, seed: int, mean: float = 0.001) -> list[float]:
    random = Random(seed)
    return [random.gauss(mean, 0.01) for _ in range(count)]


def test_the_expected_best_is_that_of_many_draws() -> None:
    random = Random(3)
    best = statistics.fmean(max(random.gauss(0, 0.5) for _ in range(50)) for _ in range(4_000))
    assert expected_best(50, 0.5) == pytest.approx(best, rel=0.02)
    assert expected_best(1, 0.5) == 0.0


def test_the_deflated_sharpe_is_the_papers_example() -> None:
    """Numbers of Bailey and López de Prado (2014), "A numerical example"."""
    deviation = math.sqrt(0.5 / 250)
    best = expected_best(100, deviation)
    assert best == pytest.approx(0.1132, abs=5e-5)
    ratio, count, skew, kurtosis = 2.5 / math.sqrt(250), 1_250, -3.0, 10.0
    spread = math.sqrt(1 - skew * ratio + (kurtosis - 1) / 4 * ratio**2)
    worth = statistics.NormalDist().cdf((ratio - best) * math.sqrt(count - 1) / spread)
    assert worth == pytest.approx(0.9004, abs=1e-4)


def test_the_deflated_sharpe_of_returns_uses_their_own_moments() -> None:
    numpy = pytest.importorskip("numpy")
    returns = [*drawn(300, 5), -0.09, 0.05]
    array = numpy.array(returns)
    z = (array - array.mean()) / array.std()
    ratio = array.mean() / array.std(ddof=1)
    spread = math.sqrt(1 - (z**3).mean() * ratio + ((z**4).mean() - 1) / 4 * ratio**2)
    worth = statistics.NormalDist().cdf((ratio - 0.02) * math.sqrt(len(returns) - 1) / spread)
    assert deflated_sharpe(returns, 0.02) == pytest.approx(float(worth), rel=1e-9)
    assert deflated_sharpe([0.01] * 20, 0.0) is None


@pytest.mark.long
def test_the_interval_covers_the_true_sharpe_about_as_often_as_it_says() -> None:
    true = 0.001 / 0.01
    found = [sharpe_interval(drawn(120, seed), 1) for seed in range(30)]
    hits = sum(one is not None and one[0] <= true <= one[1] for one in found)
    assert 25 <= hits <= 30
    assert sharpe_interval(drawn(120, 1), 365) == sharpe_interval(drawn(120, 1), 365)


def test_blocks_keep_the_neighbours_and_the_mean() -> None:
    returns = [float(n) for n in range(1_000)]
    made = stationary_bootstrap(returns, 20, 1)
    follows = [b - a in (1.0, -999.0) for one in made for a, b in pairwise(one)]
    assert statistics.fmean(follows) == pytest.approx(0.9, abs=0.02)
    assert statistics.fmean(map(statistics.fmean, made)) == pytest.approx(499.5, abs=30)


def test_the_longest_drawdown_ends_where_its_peak_is_reached_again() -> None:
    assert longest_drawdown([(0, 1.0), (1, 0.9), (5, 1.0), (6, 0.5), (8, 0.9)]) == (5, False)
    assert longest_drawdown([(0, 1.0), (1, 2.0), (2, 1.5), (9, 1.9)]) == (8, True)
    assert longest_drawdown([(0, 1.0), (1, 2.0)]) == (0, False)
    assert longest_drawdown([]) == (0, False)


def stored(connection: Connection, returns: list[float], digest: str, recording: str = "r") -> int:
    value, points = 1e9, []
    for day, change in enumerate([0.0, *returns]):
        value *= 1 + change
        points.append((day * DAY_NS, round(value)))
    run = Run(
        engine_id="e1", mode=Mode.PAPER, account="paper", kind=RunKind.REPLAY, recording=recording,
        bot="b", strategy="s", started_ns=1, status=RunStatus.DONE, digest=digest,
    )  # fmt: skip
    return save_run(connection, run, equity=points)


def test_each_run_that_decided_differently_is_a_trial_and_deflates(connection: Connection) -> None:
    returns = drawn(200, 1)
    number = stored(connection, returns, "a")
    alone = significance_of(connection, "e1", number)
    assert alone.trials == 1
    assert alone.deflated == pytest.approx(deflated_sharpe(returns, 0), abs=1e-4)
    for seed in range(2, 12):
        stored(connection, drawn(200, seed), f"digest {seed}")
    stored(connection, returns, "a")
    stored(connection, drawn(200, 99), "elsewhere", recording="another")
    found = significance_of(connection, "e1", number)
    assert found.trials == 11
    assert found.deflated is not None
    assert alone.deflated is not None
    assert found.deflated < alone.deflated
    assert found.sharpe_low is not None
    assert found.sharpe_high is not None
    assert found.sharpe_low < (sharpe(returns, 365) or 0) < found.sharpe_high


def test_a_short_run_has_trials_and_no_interval(connection: Connection) -> None:
    found = significance_of(connection, "e1", stored(connection, [], "a"))
    assert (found.trials, found.sharpe_low, found.deflated) == (1, None, None)
    assert (found.longest_ns, found.under_water) == (0, False)
