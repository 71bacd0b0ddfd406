"""What pages read: prepared rows, as dicts, at most a screenful or 1,500 points at once.

Every function takes a reader's connection (`storage.database.reading`). Money, prices and sizes
come as `Decimal` in the units a person knows; a price whose instrument was never listed is None and
its whole number stands beside it in `price_raw`. Modes never mix: where money is summed or drawn,
the mode is an argument.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from sqlite3 import Connection
from typing import Any

from engine.domain.money import MICRO_DECIMALS
from storage.database import dicts
from storage.seen import count_seen, seen_waiting

ROWS_MAX = 500
"""Most rows of one table."""

Row = dict[str, Any]

UNITS = "i.price_decimals, i.size_decimals, i.kind AS listed_kind, i.currency"
LISTED = "LEFT JOIN instruments i ON i.engine_id = t.engine_id AND i.id = t.instrument"


def shown(value: int | None, decimals: int | None) -> Decimal | None:
    """Return a whole number as a person writes it, None where either is not known."""
    if value is None or decimals is None:
        return None
    return Decimal(value).scaleb(-decimals)


def query(connection: Connection, sql: str, values: Sequence[object]) -> list[Row]:
    """Return a query's rows as dicts, every `…_micro` as an amount under the name without it."""
    found = dicts(connection, sql, values)
    for row in found:
        for name in [name for name in row if name.endswith("_micro")]:
            row[name.removesuffix("_micro")] = shown(row.pop(name), MICRO_DECIMALS)
    return found


def in_units(rows: list[Row], prices: Sequence[str], sizes: Sequence[str]) -> list[Row]:
    """Replace prices and sizes by what a person reads, keeping the whole number as `…_raw`."""
    for row in rows:
        for names, unit in ((prices, "price_decimals"), (sizes, "size_decimals")):
            for name in names:
                row[f"{name}_raw"] = row[name]
                row[name] = shown(row[name], row[unit])
    return rows


PageKey = tuple[Any, ...]
"""What a row is sorted by, in order: where a page of a table ended."""


def page(
    connection: Connection,
    engine_id: str,
    source: str,
    where: str = "",
    values: Sequence[object] = (),
    *,
    key: Sequence[str],
    before: PageKey | None,
    columns: str = "*",
    most: int | None = None,
) -> list[Row]:
    """Return the first `most` (None = `ROWS_MAX`) rows behind a page that ended at `before`.

    `before` None = the very first page.

    `source` is a table called t, with what is joined to it. Rows are sorted downwards by `key`,
    which tells them apart: none is lost or shown twice.
    """
    if before is not None:
        where += f" AND ({', '.join(key)}) < ({', '.join('?' * len(key))})"
    return query(
        connection,
        f"SELECT {columns} FROM {source} WHERE t.engine_id = ?{where} "  # noqa: S608 our own words
        f"ORDER BY {', '.join(f'{name} DESC' for name in key)} LIMIT ?",
        (engine_id, *values, *(before or ()), most or ROWS_MAX),
    )


# -- trading ---------------------------------------------------------------------------------------


def bots(connection: Connection, engine_id: str) -> list[Row]:
    return query(connection, "SELECT * FROM bots WHERE engine_id = ? ORDER BY name", (engine_id,))


def order(connection: Connection, engine_id: str, account: str, number: int) -> Row | None:
    """Return one order, None where there is none."""
    found = query(
        connection,
        f"SELECT t.*, {UNITS} FROM orders t {LISTED} "  # noqa: S608 our own words
        "WHERE t.engine_id = ? AND t.account = ? AND t.id = ?",
        (engine_id, account, number),
    )
    return in_units(found, ("price",), ("size", "filled", "voided"))[0] if found else None


# -- runs ------------------------------------------------------------------------------------------


SWEEP_MAX = 1_000
"""Most sets of one sweep."""


def runs(
    connection: Connection,
    engine_id: str,
    before: PageKey | None = None,
    *,
    sweep: int | None = None,
    tag: str = "",
) -> list[Row]:
    """Return runs of any kind, newest first, without their results but for their currency.

    `sweep` = those of one parameter sweep alone, all of them. `tag` = those with this tag alone.
    """
    columns = (
        "id, kind, mode, account, recording, bot, strategy, parameters, job, started_ns, "
        "finished_ns, status, error, digest, frames, orders, fills, fees_micro, pnl_micro, "
        "events_per_s, peak_rss_mb, "
        "CASE WHEN json_valid(result) THEN json_extract(result, '$.currency') END AS currency"
    )
    where, values, most = "", tuple[int | str, ...](), None
    if tag:
        where = (
            " AND id IN (SELECT n.run FROM run_notes n, json_each(n.tags) g "
            "WHERE json_valid(n.tags) AND g.value = ?)"
        )
        values = (tag,)
    if sweep is not None:
        where += " AND json_valid(parameters) AND json_extract(parameters, '$.sweep.id') = ?"
        values, most = (*values, sweep), SWEEP_MAX
    return page(
        connection,
        engine_id,
        "runs t",
        where,
        values,
        key=("started_ns", "id"),
        before=before,
        columns=columns,
        most=most,
    )


def run(connection: Connection, engine_id: str, run_id: int) -> Row | None:
    """Return one run with its result, None where there is none."""
    found = query(
        connection, "SELECT * FROM runs WHERE engine_id = ? AND id = ?", (engine_id, run_id)
    )
    return found[0] if found else None


def run_markets(connection: Connection, engine_id: str, run_id: int) -> list[Row]:
    """Return what every market brought in a run, in the recording's order of names.

    Runs belong to no engine that lists markets: a market's units are those any engine here knows.
    """
    found = query(
        connection,
        f"SELECT t.*, {UNITS} FROM run_markets t "  # noqa: S608 our own words
        "LEFT JOIN (SELECT *, max(updated_ns) FROM instruments GROUP BY id) i "
        "ON i.id = t.instrument WHERE t.engine_id = ? AND t.run = ? ORDER BY t.instrument",
        (engine_id, run_id),
    )
    return in_units(found, (), ("position_left",))


# -- people and the engine ------------------------------------------------------------------------


def alerts(
    connection: Connection,
    engine_id: str,
    *,
    unseen_only: bool = False,
    before: PageKey | None = None,
) -> list[Row]:
    """Return alerts, newest first; one is seen as soon as a person says so, engine or not."""
    seen = seen_waiting(connection, engine_id)
    where = " AND acked_ns IS NULL" * unseen_only
    if unseen_only and seen:
        where += f" AND id NOT IN ({', '.join(map(str, seen))})"
    rows = page(connection, engine_id, "alerts t", where, key=("last_ns", "id"), before=before)
    return count_seen(rows, seen)


def commands(connection: Connection, engine_id: str, before: PageKey | None = None) -> list[Row]:
    """Return commands with their life so far, newest first."""
    return page(connection, engine_id, "commands t", key=("created_ns", "id"), before=before)


def audit(connection: Connection, engine_id: str, before: PageKey | None = None) -> list[Row]:
    """Return who changed what, newest first."""
    return page(connection, engine_id, "audit t", key=("at_ns", "id"), before=before)


def jobs(connection: Connection, engine_id: str, before: PageKey | None = None) -> list[Row]:
    """Return the worker's jobs, newest first."""
    return page(connection, engine_id, "jobs t", key=("id",), before=before)


# -- curves for charts: thinned to extremes so that no peak is lost --------------------------------

POINTS_MAX = 1_500
"""Most points of one curve (dashboard: charts stay quick)."""

Point = tuple[int, Decimal]
"""(at_ns, amount in the currency)."""


def equity(
    connection: Connection,
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
    connection: Connection, where: str, values: tuple[object, ...], points_max: int = POINTS_MAX
) -> list[Point]:
    """Thin a curve out to the lowest and the highest point of each slice, and both its ends."""
    count, first, last = connection.execute(
        f"SELECT count(*), min(at_ns), max(at_ns) {where}", values
    ).fetchone()
    if count <= points_max:
        found = connection.execute(
            f"SELECT at_ns, equity_micro {where} ORDER BY at_ns", values
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
            f"SELECT at_ns, equity_micro {where} AND at_ns IN (?, ?)", (*values, first, last)
        )
        found = sorted(points | set(ends))
    return [(at_ns, Decimal(micro).scaleb(-MICRO_DECIMALS)) for at_ns, micro in found]


def run_equity(connection: Connection, engine_id: str, run_id: int) -> list[Point]:
    """Return a run's equity at mid, at most 1,500 points, extremes kept."""
    return _curve(
        connection, "FROM run_equity WHERE engine_id = ? AND run = ?", (engine_id, run_id)
    )
