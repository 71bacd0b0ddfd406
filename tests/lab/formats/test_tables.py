"""A Parquet file is read as the same table in CSV is, without what is not looked at of it."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from engine.errors import BadInput
from engine.lab.formats.importing import ImportRequest, preview
from engine.lab.formats.tables import Meant, opened
from storage.datasets import DataKind

T0 = 1_700_000_000
ROWS = 9_000
MAPPING = {"time": "at", "price": "px"}


def written(folder: Path, *, back: int = 0) -> list[Path]:
    """Write one table of three markets as CSV and as Parquet; `back` = a row of B goes back."""
    symbols = ["A", " B ", "B", "BB"]
    columns = {
        "note": [f"n{n}" for n in range(ROWS)],
        "at": [T0 + (n if n != back else -5) for n in range(ROWS)],
        "symbol": [symbols[n % 4] for n in range(ROWS)],
        "px": [1 + n / 4 for n in range(ROWS)],
        "group": [n % 3 for n in range(ROWS)],
    }
    made, table = [folder / "t.csv", folder / "t.parquet"], pa.table(columns)
    pa_csv.write_csv(table, made[0])
    pq.write_table(table, made[1], row_group_size=2_000)
    return made


def read(path: Path, only: dict[str, str], rows: int = ROWS) -> tuple[list[tuple[int, ...]], str]:
    request = ImportRequest(
        files=(path,), instrument="x:A/B", kind=DataKind.PRICES, mapping=MAPPING, only=only
    )
    shown = preview(path, request, rows)
    return shown.rows, shown.refused.replace(path.name, "t")


@pytest.mark.parametrize(
    ("only", "back"),
    [
        ({"symbol": "BB"}, 0),
        ({"symbol": "B", "group": "1"}, 0),
        ({"group": "2", "symbol": "A"}, 0),
        ({"symbol": "BB"}, 4_003),
        ({"symbol": "B"}, 0),
        ({"symbol": "none"}, 0),
        ({"group": "7"}, 0),
        ({}, 0),
    ],
)
def test_rows_and_refusals_are_those_of_the_same_table_in_csv(
    tmp_path: Path, only: dict[str, str], back: int
) -> None:
    plain, parquet = written(tmp_path, back=back)
    rows, refused = read(parquet, only)
    # A line of the CSV stands one below its row.
    number = refused.partition("line ")[2].partition(":")[0]
    if number:
        refused = refused.replace(f"line {number}", f"line {int(number) + 1}")
    assert (rows, refused) == read(plain, only)
    assert rows or refused
    assert not back or f"line {back + 2}" in refused


def test_columns_that_are_not_looked_at_are_not_read(tmp_path: Path) -> None:
    _, parquet = written(tmp_path)
    narrowed, passed = opened(parquet).narrowed, list[str]()
    assert narrowed is not None
    found = list(narrowed(Meant({3}, [(2, "BB"), (4, "0")], passed.append)))
    assert found[:2] == [(4, ["", "", "BB", "1.75", "0"]), (16, ["", "", "BB", "4.75", "0"])]
    assert len(found) == ROWS // 12
    assert set(passed) == {"A", "B", "BB"}


def test_a_damaged_parquet_file_is_refused_with_its_row(tmp_path: Path) -> None:
    _, parquet = written(tmp_path)
    content = bytearray(parquet.read_bytes())
    content[200:2_000] = b"\xff" * 1_800
    parquet.write_bytes(content)
    with pytest.raises(BadInput, match=r"^t\.parquet, row 1: is damaged: "):
        read(parquet, {"symbol": "BB"})
