"""What a run leaves the desk as: its equity and its fills, as CSV or Parquet, every row of them."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from sqlite3 import Connection

import pyarrow as pa
import pyarrow.parquet as pq

from storage.export import iso, write_csv
from storage.runs import RECORDS_MAX, run_fills
from storage.views import Row


def whole_equity(connection: Connection, engine_id: str, run_id: int) -> list[Row]:
    """Return every stored point of a run's equity, in the account's currency, oldest first."""
    rows = connection.execute(
        "SELECT at_ns, equity_micro FROM run_equity WHERE engine_id = ? AND run = ? ORDER BY at_ns",
        (engine_id, run_id),
    )
    return [
        {"at": iso(at_ns), "at_ns": at_ns, "equity": Decimal(micro).scaleb(-6)}
        for at_ns, micro in rows
    ]


def every_fill(path: Path) -> list[Row]:
    """Return every fill of a run's journal, oldest first; see `run_fills` for what it raises."""
    found = run_fills(path, most=RECORDS_MAX)
    return [{"at": iso(row["at_ns"]), **row} for row in reversed(found.rows)]


def as_csv(rows: Sequence[Mapping[str, object]]) -> bytes:
    """Return rows as CSV with a header; a cell that a spreadsheet would run is text."""
    if not rows:
        return b""
    text = io.StringIO()
    write_csv(text, list(rows[0]), iter(map(dict, rows)))
    return text.getvalue().encode()


def as_parquet(rows: Sequence[Mapping[str, object]]) -> bytes:
    """Return rows as Parquet, amounts as decimals."""
    target = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows)), target)
    return target.getvalue()
