"""Performance statistics against empyrical-reloaded 0.7.1, and the edges it leaves open.

`RETURNS` and `EMPYRICAL` are that library's own answers, kept because one of its dependencies has
no wheel and cannot stand in the lock. Where the library is installed, it is asked again, at random.
"""

from __future__ import annotations

import warnings
from sqlite3 import Connection
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.instruments import Mode
from storage.runs import (
    DAY_NS,
    HOUR_NS,
    Run,
    RunKind,
    RunMarket,
    RunStatus,
    calmar,
    drawdown,
    of_run,
    profit_factor,
    returns_of,
    save_run,
    sharpe,
    sortino,
    volatility,
)

RETURNS = [
    -0.001559, 0.006114, -0.001261, -0.002151, -0.0083, -0.001133, 0.012119, 0.005241, 0.011369,
    0.003489, 0.004948, 0.002853, -0.015661, 0.009553, 0.006064, 0.005988, -0.015914, -0.016439,
    -0.007896, -0.003682, 0.004054, 0.000541, 0.00621, -0.005422,
]  # fmt: skip
EMPYRICAL = {
    365: (-0.08463517899657134, -0.11054226428430874, -0.5750220794436861, 0.15723121076173024),
    8760: (-0.41462600566143964, -0.541544285016883, -10.486813488957468, 0.7702724760124766),
}
"""Steps per year → Sharpe, Sortino, Calmar, volatility."""


def curve_of(returns: list[float]) -> list[float]:
    values = [1.0]
    for change in returns:
        values.append(values[-1] * (1 + change))
    return values


@pytest.mark.parametrize("steps", EMPYRICAL)
def test_ratios_are_empyricals(steps: int) -> None:
    ours = [ratio(RETURNS, steps) for ratio in (sharpe, sortino, calmar, volatility)]
    assert ours == pytest.approx(EMPYRICAL[steps], rel=1e-12)
    assert drawdown(curve_of(RETURNS)) == pytest.approx(-0.04326969556671299, rel=1e-12)


change = st.floats(-0.2, 0.2).map(lambda value: round(value, 6))


@given(st.lists(change, min_size=10, max_size=60).filter(lambda found: min(found) < 0 < max(found)))
def test_ratios_are_empyricals_for_any_returns(returns: list[float]) -> None:
    library = pytest.importorskip("empyrical", reason="empyrical-reloaded is not installed")
    numpy = pytest.importorskip("numpy")
    array = numpy.array(returns)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = [
            library.sharpe_ratio(array, annualization=365),
            library.sortino_ratio(array, annualization=365),
            library.calmar_ratio(array, annualization=365),
            library.annual_volatility(array, annualization=365),
        ]
        deepest = library.max_drawdown(array)
    ours: list[Any] = [ratio(returns, 365) for ratio in (sharpe, sortino, calmar, volatility)]
    assert ours == pytest.approx([float(value) for value in theirs], rel=1e-6, abs=1e-9)
    assert drawdown(curve_of(returns)) == pytest.approx(float(deepest), abs=1e-9)


def test_what_never_moved_or_never_fell_has_no_ratio() -> None:
    assert sharpe([0.01] * 10, 365) is None
    assert sortino([0.0, 0.01], 365) is None
    assert calmar([0.0, 0.01], 365) is None
    assert drawdown([]) == 0
    assert drawdown([-1.0, -2.0]) == 0


def test_profit_factor_is_gains_over_losses() -> None:
    assert profit_factor([3.0, -1.0, 1.0, -1.0, 0.0]) == 2.0
    assert profit_factor([3.0]) is None
    assert returns_of([100.0, 110.0, 99.0]) == pytest.approx([0.1, -0.1])


def stored(
    connection: Connection, equity: list[tuple[int, int]], markets: list[RunMarket] | None = None
) -> int:
    run = Run(
        engine_id="e1",
        mode=Mode.PAPER,
        account="paper",
        kind=RunKind.REPLAY,
        recording="r",
        bot="b",
        strategy="s",
        parameters="{}",
        started_ns=1,
        status=RunStatus.DONE,
    )
    return save_run(connection, run, equity=equity, markets=markets or [])


def test_a_run_of_days_has_daily_ratios_and_a_day_without_a_point_is_flat(
    connection: Connection,
) -> None:
    values = [value * 1e9 for value in curve_of(RETURNS)]
    points = [(day * DAY_NS + 5, round(value)) for day, value in enumerate(values)]
    del points[3]
    found = of_run(connection, "e1", stored(connection, points))
    assert (found.step, found.returns, found.enough) == ("daily", 24, True)
    flat = [*values[:3], values[2], *values[4:]]
    assert found.sharpe == pytest.approx(sharpe(returns_of(flat), 365), rel=1e-4)


def test_a_run_of_hours_has_hourly_ratios_and_its_drawdown_is_of_every_point(
    connection: Connection,
) -> None:
    points = [(hour * HOUR_NS, 1_000_000 + hour % 3) for hour in range(12)]
    points.append((HOUR_NS + 7, 500_000))
    points.append((HOUR_NS + 9, 1_000_001))
    found = of_run(connection, "e1", stored(connection, points))
    assert (found.step, found.returns, found.enough) == ("hourly", 11, True)
    assert found.drawdown == pytest.approx(-0.5, rel=1e-5)


def test_a_short_run_or_one_without_money_has_no_ratio(connection: Connection) -> None:
    short = of_run(connection, "e1", stored(connection, [(1, 10), (HOUR_NS, 20)]))
    assert (short.enough, short.returns, short.sharpe) == (False, 1, None)
    points = [(hour * HOUR_NS, hour - 5) for hour in range(20)]
    assert of_run(connection, "e1", stored(connection, points)).returns == 0


def test_markets_won_and_lost_are_counted_after_fees(connection: Connection) -> None:
    def market(name: str, realised: int, fees: int) -> RunMarket:
        return RunMarket(
            instrument=name, orders=1, fills=1, fees_micro=fees, realised_micro=realised,
            unresolved_micro=0, position_left=0, resolved=True,
        )  # fmt: skip

    made = [market("a", 5, 1), market("b", 1, 3), market("c", 0, 0)]
    found = of_run(connection, "e1", stored(connection, [], made))
    assert (found.won, found.lost, found.profit_factor) == (1, 1, 2.0)
