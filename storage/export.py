"""Exports: rows of one mode and period as a person reads them, streamed to CSV or JSON.

Amounts, prices and sizes are written as decimals in the units the pages show. A price or size whose
instrument that was never listed stays empty, its whole number stands beside it as `…_raw`. A time
stands as ISO 8601 in UTC before its nanoseconds, which a spreadsheet rounds.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple, TextIO

import sqlite_utils

from engine.domain.instruments import Mode
from engine.domain.jobs import Exported, ExportFormat
from engine.domain.money import MICRO_DECIMALS
from engine.domain.plain import PlainDict
from storage.database import connect_reader, storage_errors
from storage.views import LISTED, shown
from storage.views.bets import NET
from storage.views.round_trips import NET as TRIP_NET

PROGRESS_EVERY_ROWS = 1_000
UNITS = ("price_decimals", "size_decimals")


class _Rows(NamedTuple):
    """How the rows of one table are read; the table is called as what is exported."""

    at: str
    """The column of the time that a period is of."""
    of_mode: bool = True
    instrument: bool = False
    """Of an instrument: its title in words stands beside it."""
    prices: tuple[str, ...] = ()
    sizes: tuple[str, ...] = ()
    net: str = ""
    """SQL of what a row made in micro-units; empty = it has no such sum."""


_ROWS = {
    Exported.ORDERS: _Rows(
        "created_ns", instrument=True, prices=("price",), sizes=("size", "filled", "voided")
    ),
    Exported.FILLS: _Rows("at_ns", instrument=True, prices=("price",), sizes=("size", "fee_size")),
    Exported.POSITIONS: _Rows(
        "updated_ns", instrument=True, sizes=("settled", "pending", "bought", "sold")
    ),
    Exported.BETS: _Rows(
        "closed_ns", instrument=True, sizes=("yes", "no", "bought", "sold", "merged"), net=NET
    ),
    Exported.ROUND_TRIPS: _Rows(
        "closed_ns",
        instrument=True,
        sizes=("size", "entered", "exited", "liquidated"),
        net=TRIP_NET,
    ),
    Exported.FUNDING: _Rows("at_ns", instrument=True),
    Exported.REDEMPTIONS: _Rows("at_ns", instrument=True),
    Exported.CONVERSIONS: _Rows("at_ns", instrument=True, sizes=("size",)),
    Exported.CASH: _Rows("at_ns", instrument=True, sizes=("tokens",)),
    Exported.EQUITY: _Rows("at_ns"),
    Exported.ALERTS: _Rows("first_ns"),
    Exported.COMMANDS: _Rows("created_ns", of_mode=False),
    Exported.AUDIT: _Rows("at_ns", of_mode=False),
    Exported.RUNS: _Rows("started_ns"),
}


def export(
    state: Path,
    target: Path,
    *,
    what: Exported,
    mode: Mode,
    since_ns: int,
    until_ns: int,
    form: ExportFormat,
    on_progress: Callable[[int, int], None],
) -> int:
    """Write the rows from `since_ns` on and before `until_ns`; give how many there are.

    The file appears under its name when it is whole. Raises StorageError.
    """
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    unfinished = target.with_name(f".{target.name}.unfinished")
    write = write_csv if form is ExportFormat.CSV else _json
    with closing(connect_reader(state)) as connection, storage_errors(state):
        connection.execute("BEGIN")
        rows, total, names = _rows(
            sqlite_utils.Database(connection, recursive_triggers=False),
            what,
            (mode, since_ns, until_ns),
        )
        try:
            with unfinished.open("w", encoding="utf-8", newline="") as file:
                count = write(file, names, _with_progress(rows, total, on_progress))
            unfinished.replace(target)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
    return count


def _rows(
    database: sqlite_utils.Database, what: Exported, asked: tuple[Mode, int, int]
) -> tuple[Iterator[dict[str, object]], int, list[str]]:
    one, (mode, since_ns, until_ns) = _ROWS[what], asked
    where = f"t.{one.at} >= :since AND t.{one.at} < :until"
    if one.of_mode:
        where += " AND t.mode = :mode"
    values = {"since": since_ns, "until": until_ns, "mode": str(mode)}
    more, joined = {}, ""
    if one.instrument:
        more = {name: f"i.{name}" for name in UNITS} | {"title": "n.title"}
        joined = f"{LISTED} LEFT JOIN titles n USING (engine_id, instrument)"
    if one.net:
        more["net_micro"] = one.net
    counted = database.query(
        f"SELECT count(*) AS n FROM {what} t WHERE {where}",  # noqa: S608 names of our own
        values,
    )
    columns = ", ".join(["t.*", *(f"{sql} AS {name}" for name, sql in more.items())])
    found = database.query(
        f"SELECT {columns} FROM {what} t {joined} WHERE {where} ORDER BY t.{one.at}",  # noqa: S608 names of our own
        values,
    )
    names = [*database.table(str(what)).columns_dict, *more]
    return (
        (_readable(row, one) for row in found),
        int(next(iter(counted))["n"]),
        list(_readable(dict.fromkeys(names), one)),
    )


def _readable(row: PlainDict, one: _Rows) -> PlainDict:
    """Return a row with decimals, the whole numbers beside them, and times as text and in ns."""
    price, size = (row.pop(name, None) for name in UNITS)
    made: PlainDict = {}
    for name, value in row.items():
        if name.endswith("_micro"):
            made[name.removesuffix("_micro")] = _text(value, MICRO_DECIMALS)
        elif name in one.prices:
            made |= {name: _text(value, price), f"{name}_raw": value}
        elif name in one.sizes:
            made |= {name: _text(value, size), f"{name}_raw": value}
        elif name == "fee_amount":
            made |= {name: _text(value, row.get("fee_decimals")), f"{name}_raw": value}
        elif name.endswith("_ns"):
            made |= {name.removesuffix("_ns"): iso(value), name: value}
        else:
            made[name] = value
    return made


def _text(value: int | None, decimals: int | None) -> str | None:
    """Return an amount as text: a float would round it, and JSON has no other decimals."""
    found = shown(value, decimals)
    return None if found is None else f"{found:f}"


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def iso(at_ns: int | None) -> str | None:
    """Return a time in UTC to the microsecond, None for no time."""
    if not at_ns:
        return None
    moment = EPOCH + timedelta(microseconds=at_ns // 1_000)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _with_progress(
    rows: Iterator[dict[str, object]], total: int, on_progress: Callable[[int, int], None]
) -> Iterator[dict[str, object]]:
    for number, row in enumerate(rows):
        if number % PROGRESS_EVERY_ROWS == 0:
            on_progress(number, total)
        yield row


FORMULA = re.compile(r"[=+@\t\r]|-(?!\d+(\.\d+)?\Z)")
"""How a cell begins that a spreadsheet would run. Names come from venues, and so from anybody."""


def _cell(value: object) -> object:
    """Return a value as a cell that is text where it is one."""
    return f"'{value}" if isinstance(value, str) and FORMULA.match(value) else value


def write_csv(file: TextIO, names: list[str], rows: Iterator[dict[str, object]]) -> int:
    writer = csv.DictWriter(file, names, lineterminator="\n")
    writer.writeheader()
    count = 0
    for row in rows:
        writer.writerow({name: _cell(value) for name, value in row.items()})
        count += 1
    return count


def _json(file: TextIO, names: list[str], rows: Iterator[dict[str, object]]) -> int:
    del names
    count = 0
    file.write("[")
    for row in rows:
        file.write(",\n" if count else "\n")
        json.dump(row, file, ensure_ascii=False)
        count += 1
    file.write("\n]\n")
    return count
