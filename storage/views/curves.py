"""Curves for charts: at most 1,500 points, thinned to extremes so that no peak is lost."""

from __future__ import annotations

import sqlite3
from decimal import Decimal

POINTS_MAX = 1_500
"""Most points of one curve (dashboard: charts stay quick)."""

MICRO_DECIMALS = 6
Point = tuple[int, Decimal]
"""(at_ns, amount in the currency)."""


def equity(
    connection: sqlite3.Connection,
    engine_id: str,
    *,
    account: str,
    since_ns: int = 0,
    until_ns: int = 2**63 - 1,
    points_max: int = POINTS_MAX,
) -> list[Point]:
    """Return an account's equity at risk's marks, at most `points_max` points, extremes kept."""
    return _curve(
        connection,
        "FROM equity WHERE engine_id = ? AND account = ? AND at_ns BETWEEN ? AND ?",
        (engine_id, account, since_ns, until_ns),
        points_max,
    )


def _curve(
    connection: sqlite3.Connection,
    where: str,
    values: tuple[object, ...],
    points_max: int = POINTS_MAX,
) -> list[Point]:
    """Thin a curve out to the lowest and the highest point of each slice, and both its ends."""
    count, first, last = connection.execute(
        f"SELECT count(*), min(at_ns), max(at_ns) {where}",
        values,
    ).fetchone()
    if count <= points_max:
        found = connection.execute(
            f"SELECT at_ns, equity_micro {where} ORDER BY at_ns",
            values,
        ).fetchall()
    else:
        slices = (points_max - 2) // 2
        width = (last - first) // slices + 1
        points: set[tuple[int, int]] = set()
        for extreme in ("min", "max"):
            # SQLite gives at_ns of the very row that is the extreme.
            points.update(
                connection.execute(
                    f"SELECT at_ns, {extreme}(equity_micro) {where} GROUP BY (at_ns - ?) / ?",
                    (*values, first, width),
                )
            )
        ends = connection.execute(
            f"SELECT at_ns, equity_micro {where} AND at_ns IN (?, ?)",
            (*values, first, last),
        )
        found = sorted(points | set(ends))
    return [(at_ns, Decimal(micro).scaleb(-MICRO_DECIMALS)) for at_ns, micro in found]


def run_equity(connection: sqlite3.Connection, engine_id: str, run_id: int) -> list[Point]:
    """Return a run's equity at mid, at most 1,500 points, extremes kept."""
    return _curve(
        connection, "FROM run_equity WHERE engine_id = ? AND run = ?", (engine_id, run_id)
    )
