"""A backtest as a file: whole without a network, harmless, and its rows those that are stored."""

from __future__ import annotations

import csv
import io
import re
from decimal import Decimal

import pyarrow.parquet as pq

from engine.config import Config
from engine.domain.instruments import Mode
from pages.runs import report
from storage.database import writing
from storage.run_export import as_csv, as_parquet, whole_equity
from storage.runs import Run, RunKind, RunStatus, save_run

S = 1_000_000_000
HOSTILE = "<script>alert(1)</script>"


def test_a_report_holds_no_script_and_asks_nothing_of_a_network() -> None:
    text = report.document(
        HOSTILE,
        HOSTILE,
        [
            report.facts(HOSTILE, {HOSTILE: HOSTILE}),
            report.rows(HOSTILE, ["a_b", HOSTILE], [{"a_b": Decimal("1E-6"), HOSTILE: HOSTILE}]),
            report.curve(HOSTILE, [(S, Decimal(1)), (2 * S, Decimal(3))], HOSTILE),
        ],
    )
    assert "<script" not in text
    assert not re.search(r"(src|href|url|import|http)[=(:]", text)
    assert "<td>0.000001</td>" in text
    assert "a b" in text


def test_a_curve_is_drawn_from_its_lowest_to_its_highest() -> None:
    drawn = report.curve("Equity", [(0, Decimal(5)), (S, Decimal(1)), (2 * S, Decimal(9))], "USD")
    assert 'points="8.0,130.0 500.0,252.0 992.0,8.0"' in drawn
    assert "lowest 1.00, highest 9.00, last 9.00 USD" in drawn
    assert "polyline" in report.curve("flat", [(0, Decimal(1))], "USD")
    assert "no equity curve" in report.curve("none", [], "USD")


def test_equity_leaves_with_every_point_as_csv_and_parquet(config: Config) -> None:
    run = Run(
        engine_id="replay", account="paper:replay", mode=Mode.PAPER, kind=RunKind.REPLAY,
        recording="day", bot="b", strategy="s", started_ns=1, status=RunStatus.DONE,
    )  # fmt: skip
    points = [(n * S, 10**9 + n) for n in range(2_000)]
    with writing(config.state_path) as connection:
        number = save_run(connection, run, equity=points)
        rows = whole_equity(connection, "replay", number)
    read = list(csv.DictReader(io.StringIO(as_csv(rows).decode())))
    assert [(int(r["at_ns"]), Decimal(r["equity"]) * 10**6) for r in read] == points
    table = pq.read_table(io.BytesIO(as_parquet(rows)))
    assert [int(one * 10**6) for one in table["equity"].to_pylist()] == [p for _, p in points]


def test_a_cell_that_a_spreadsheet_would_run_is_text() -> None:
    assert as_csv([{"name": "=1+1", "n": -1}]) == b"name,n\n'=1+1,-1\n"
    assert as_csv([]) == b""
