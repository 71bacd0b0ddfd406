"""Paper against truth on the Runs page: none yet, one in the list, one in full."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

from engine.config import Config
from engine.venues.paper.settings import FillModel
from pages.runs import reports
from studies.compare.queues import Cancels
from studies.compare.report import TRUTH, fitted
from studies.compare.run import CompareRequest, _report, store
from studies.compare.watch import MICRO, MakerFigures
from tests.pages.test_pages import texts

Opened = Callable[..., AppTest]


def day(filled: int) -> MakerFigures:
    return MakerFigures(
        orders=10, filled_orders=2, placed=100, filled=filled, wait_s=4.0, fills=2, marked=10,
        marked_gain=-5.0, pnl_micro=-3 * MICRO, digest="d",
    )  # fmt: skip


@pytest.fixture
def report(config: Config) -> int:
    """A stored report in which the pessimist fills half as much as the truth."""
    names = (TRUTH, *map(str, FillModel))
    days = {name: [day(10 if name == FillModel.PESSIMISTIC else 20)] * 3 for name in names}
    asked = CompareRequest(days=3, hours=0.5, seed=4)
    fit = fitted([[Cancels(50, 50, 20, 12)]] * 3, seed=1)
    found = _report(asked, days, days, fit) | {"elapsed_s": 1.0}
    return store(config, asked, found, (1_776_000_000 * 10**9, 1_776_000_009 * 10**9))


def test_without_a_report_it_says_how_one_is_made(opened: Opened) -> None:
    shown = texts(opened("runs"))
    assert "has not been compared with truth" in shown
    assert "python -m studies.compare" in shown
    assert "/jobs?kind=compare" in shown


def test_a_report_is_summed_up_in_a_sentence_and_is_no_row_of_money(
    opened: Opened, report: int
) -> None:
    page = opened("runs")
    shown = texts(page)
    assert f"run={report}" in shown
    said = "fill ratio of the same orders, fill ratio, time to fill, 5 s markout, PnL per demo day"
    assert f"The realistic model: {said}" in shown
    assert not page.dataframe


def test_a_report_opens_with_intervals_verdicts_and_charts(opened: Opened, report: int) -> None:
    page = opened("runs", run=str(report))
    assert not page.exception
    ratio = page.dataframe[1].value
    assert list(ratio["value"]) == ["20.00", "10.00", "20.00", "20.00"]
    assert ratio["verdict"][1] == reports.VERDICTS["off"]
    assert ratio["verdict"][2] == reports.VERDICTS["within"]
    assert len(page.get("plotly_chart")) == 6
    shown = texts(page)
    assert "60.00 %" in shown
    assert "pessimistic +0.00 (+0.00 to +0.00)" in shown
    assert "--days 3 --hours 0.5 --seed 4" in shown


def test_what_nobody_can_know_is_a_dash() -> None:
    unknown = {"value": None, "low": None, "high": None}
    assert reports.number(None) == reports.NOTHING
    assert reports.span(unknown) == f"{reports.NOTHING} to {reports.NOTHING}"
