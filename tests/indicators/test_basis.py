from __future__ import annotations

from math import sin, sqrt
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from engine.indicators.basis import HISTORY_MAX, BasisTracker

S = 1_000_000_000


def test_it_compares_the_same_moment_not_the_same_arrival() -> None:
    basis = BasisTracker(half_life_s=60)
    for second in range(20):
        basis.reference(100.0 + 10 * second, second * S)
    # The oracle's tick of second 5 arrives when the reference has long moved on.
    basis.oracle(152.0, 5 * S)
    assert basis.mean == pytest.approx(2.0)


def test_a_lag_of_the_stamps_is_taken_off() -> None:
    basis = BasisTracker(half_life_s=60, lag_ns=2 * S)
    for second in range(20):
        basis.reference(100.0 + 10 * second, second * S)
    basis.oracle(152.0, 7 * S)
    assert basis.mean == pytest.approx(2.0)


def test_ignoring_the_lag_would_show_as_sigma() -> None:
    right, wrong = BasisTracker(half_life_s=1e6, lag_ns=2 * S), BasisTracker(half_life_s=1e6)
    for second in range(300):
        price = 1000 + 50 * sin(second / 5)
        late = 1000 + 50 * sin((second - 2) / 5)
        for basis in (right, wrong):
            basis.reference(price, second * S)
            basis.oracle(late + 3.0, second * S)
    assert right.mean == pytest.approx(3.0)
    assert sqrt(right.variance) == pytest.approx(0.0, abs=1e-6)
    assert sqrt(wrong.variance) > 5


def test_first_pairs_are_a_plain_mean_and_variance() -> None:
    basis = BasisTracker(half_life_s=1e9)
    basis.reference(100.0, 0)
    for second, price in enumerate((101.0, 103.0, 102.0), start=1):
        basis.oracle(price, second * S)
    assert basis.mean == pytest.approx(2.0)
    assert basis.variance == pytest.approx(2 / 3)


def test_nothing_is_compared_without_a_reference_of_that_time() -> None:
    basis = BasisTracker(half_life_s=60)
    basis.oracle(100.0, S)
    basis.reference(100.0, 10 * S)
    basis.oracle(100.0, 5 * S)
    basis.oracle(100.0, 16 * S)
    assert basis.pairs == 0


def test_late_references_and_repeated_oracle_prices_teach_nothing() -> None:
    basis = BasisTracker(half_life_s=60)
    basis.reference(100.0, 2 * S)
    basis.reference(50.0, S)
    basis.oracle(101.0, 3 * S)
    basis.oracle(101.0, 3 * S)
    assert basis.mean == 1.0
    assert basis.pairs == 1


def test_history_is_bounded_and_still_reaches_back() -> None:
    basis = BasisTracker(half_life_s=60)
    for millisecond in range(60_000):
        basis.reference(float(millisecond), millisecond * S // 1000)
    assert len(basis.stamps) == len(basis.prices) <= HISTORY_MAX
    assert basis.stamps[-1] - basis.stamps[0] >= 5 * S
    basis.oracle(55_000.0, 55 * S)
    assert abs(basis.mean) <= 20


@pytest.mark.recordings
def test_the_oracles_stamps_run_late_in_the_recording(recordings: Path) -> None:
    path = recordings / "polymarket_leadlag_10hz" / "snapshots_20260203_021258.parquet"
    names = [
        f"{feed}_{what}"
        for feed in ("binance_direct", "rtds_chainlink")
        for what in ("price", "ts")
    ]
    rows = list(zip(*pq.read_table(path, columns=names).to_pydict().values(), strict=True))[:6_000]
    sigmas = []
    for lag_ms in (0, 700, 2_000):
        basis = BasisTracker(half_life_s=1e6, lag_ns=lag_ms * 1_000_000)
        for reference, made_ms, oracle, stamp_ms in rows:
            if reference is not None:
                basis.reference(reference, int(made_ms) * 1_000_000)
            if oracle is not None:
                basis.oracle(oracle, int(stamp_ms) * 1_000_000)
        sigmas.append(sqrt(basis.variance))
    none, default, too_much = sigmas
    assert default < 0.85 * none
    assert default < 0.85 * too_much
