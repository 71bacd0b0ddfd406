"""Performance statistics of an equity curve, with the definitions empyrical has (a test compares).

A year has 365 days: markets here never close. No risk-free rate is subtracted. What cannot be told
from so few returns is None, never a plausible number.
"""

from __future__ import annotations

import math
import sqlite3
import statistics
from collections.abc import Iterable, Sequence
from itertools import pairwise

import msgspec

DAY_NS = 86_400 * 1_000_000_000
HOUR_NS = DAY_NS // 24
RETURNS_MIN = 10
"""Fewer returns than this say nothing about a ratio."""

STEPS = (("daily", DAY_NS, 365), ("hourly", HOUR_NS, 365 * 24))
"""Name, length and steps in a year; the longest with enough returns is used."""


class Performance(msgspec.Struct, frozen=True, kw_only=True):
    """Statistics of one curve. Ratios are yearly; a fraction of 0.01 is one per cent."""

    step: str
    """`daily` or `hourly`: of which returns the ratios are; the last one tried where too few."""
    returns: int
    enough: bool
    sharpe: float | None = None
    sortino: float | None = None
    calmar: float | None = None
    volatility: float | None = None
    drawdown: float | None = None
    """Deepest fall from a peak as a fraction of that peak, ≤ 0, over every point of the curve."""
    profit_factor: float | None = None
    """What winning markets brought over what losing ones cost; None = none lost."""
    won: int = 0
    lost: int = 0


def returns_of(values: Sequence[float]) -> list[float]:
    """Return the relative change between neighbours. `values` are above zero."""
    return [after / before - 1.0 for before, after in pairwise(values)]


def sharpe(returns: Sequence[float], steps_per_year: int) -> float | None:
    """Return mean over standard deviation (n - 1), yearly; None where nothing moved."""
    deviation = statistics.stdev(returns)
    if deviation == 0:
        return None
    return statistics.fmean(returns) / deviation * math.sqrt(steps_per_year)


def sortino(returns: Sequence[float], steps_per_year: int) -> float | None:
    """Return mean over downside deviation against zero, yearly; None where nothing fell."""
    downside = math.sqrt(math.fsum(min(r, 0.0) ** 2 for r in returns) / len(returns))
    if downside == 0:
        return None
    return statistics.fmean(returns) / downside * math.sqrt(steps_per_year)


def volatility(returns: Sequence[float], steps_per_year: int) -> float:
    """Return the standard deviation (n - 1), yearly."""
    return statistics.stdev(returns) * math.sqrt(steps_per_year)


def calmar(returns: Sequence[float], steps_per_year: int) -> float | None:
    """Return the compound yearly return over the deepest fall; None where nothing fell."""
    values = [1.0]
    for change in returns:
        values.append(values[-1] * (1.0 + change))
    deepest = drawdown(values)
    if deepest == 0:
        return None
    yearly: float = values[-1] ** (steps_per_year / len(returns)) - 1.0
    return yearly / abs(deepest)


def drawdown(values: Iterable[float]) -> float:
    """Return the deepest fall from an earlier peak as a fraction of it, ≤ 0."""
    peak, deepest = -math.inf, 0.0
    for value in values:
        peak = max(peak, value)
        if peak > 0:
            deepest = min(deepest, value / peak - 1.0)
    return deepest


def profit_factor(amounts: Iterable[float]) -> float | None:
    """Return the sum of gains over the sum of losses; None where nothing was lost."""
    gains = losses = 0.0
    for amount in amounts:
        if amount > 0:
            gains += amount
        else:
            losses -= amount
    return gains / losses if losses else None


def of_run(connection: sqlite3.Connection, engine_id: str, run_id: int) -> Performance:
    """Return the statistics of a run, over its whole curve and its markets."""
    made = Performance(step=STEPS[-1][0], returns=0, enough=False)
    for name, step_ns, steps_per_year in STEPS:
        returns = returns_of(_grid(connection, engine_id, run_id, step_ns))
        made = msgspec.structs.replace(made, step=name, returns=len(returns))
        if len(returns) >= RETURNS_MIN:
            made = msgspec.structs.replace(
                made,
                enough=True,
                sharpe=sharpe(returns, steps_per_year),
                sortino=sortino(returns, steps_per_year),
                calmar=calmar(returns, steps_per_year),
                volatility=volatility(returns, steps_per_year),
            )
            break
    curve = connection.execute(
        "SELECT equity_micro FROM run_equity WHERE engine_id = ? AND run = ? ORDER BY at_ns",
        (engine_id, run_id),
    )
    amounts = [
        micro / 1e6
        for (micro,) in connection.execute(
            "SELECT realised_micro + unresolved_micro - fees_micro FROM run_markets "
            "WHERE engine_id = ? AND run = ?",
            (engine_id, run_id),
        )
    ]
    return msgspec.structs.replace(
        made,
        drawdown=drawdown(float(micro) for (micro,) in curve),
        profit_factor=profit_factor(amounts),
        won=sum(amount > 0 for amount in amounts),
        lost=sum(amount < 0 for amount in amounts),
    )


def _grid(connection: sqlite3.Connection, engine_id: str, run_id: int, step_ns: int) -> list[float]:
    """Return the last equity of each step; a step without a point repeats the one before.

    Nothing at all where a value is not above zero: a return from there has no meaning.
    """
    # SQLite gives equity_micro of the very row that has the greatest at_ns.
    rows = connection.execute(
        "SELECT at_ns / ?, max(at_ns), equity_micro FROM run_equity "
        "WHERE engine_id = ? AND run = ? GROUP BY 1 ORDER BY 1",
        (step_ns, engine_id, run_id),
    ).fetchall()
    values: list[float] = []
    at = None
    for step, _, micro in rows:
        if micro <= 0:
            return []
        if at is not None:
            values += [values[-1]] * (step - at - 1)
        values.append(micro / 1e6)
        at = step
    return values
