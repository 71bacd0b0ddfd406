"""The Reports page: an empty one says what makes a report, a kept one is read and downloaded."""

from __future__ import annotations

import time
from collections.abc import Callable

from streamlit.testing.v1 import AppTest

from engine.config import Config
from engine.domain.commands import RunJob
from engine.domain.instruments import Mode
from engine.domain.jobs.report import ReportPeriod
from storage.database import transaction, writing
from storage.pnl_days import PnlDay, put_days
from storage.report_figures import made_report
from storage.reports import put_report
from storage.users import ENGINE_ID
from tests.pages.seen import texts
from tests.pages.test_asking import desk, left, press

__all__ = ["desk"]

Opened = Callable[..., AppTest]


def test_an_empty_page_says_when_one_is_made_and_makes_one_now(
    opened: Opened, desk: Config
) -> None:
    page = opened("reports")
    assert "No report was made yet" in texts(page)
    press(page, "Make it now")
    ((kind, fields),) = left(desk)
    assert (kind, fields["job"]) == (RunJob.__name__, "report")
    assert fields["arguments"] == '{"period": "today"}'


def test_a_kept_report_is_read_whole_and_downloaded_as_one_page(
    opened: Opened, desk: Config
) -> None:
    with writing(desk.state_path) as connection, transaction(connection):
        day = PnlDay(
            day="2026-03-10", account="demo", bot="maker", mode=Mode.DEMO, currency="pUSD",
            realised_micro=8_000_000, unrealised_micro=0, fees_micro=0, pnl_micro=8_000_000,
            made_ns=1,
        )  # fmt: skip
        put_days(connection, ENGINE_ID, [day])
        for period in ReportPeriod:
            found = made_report(connection, ENGINE_ID, period, time.time_ns(), desk.home)
            put_report(connection, ENGINE_ID, found)
    page = opened("reports", report=found.name)
    shown = texts(page)
    assert "Flight report, monthly" in shown
    assert "PnL per owner" in shown
    assert "DEMO" in shown
    (row,) = page.dataframe[1].value.to_dict("records")
    assert (row["day"], row["mode"], str(row["pnl"])) == ("2026-03-10", "demo", "8.0")
    (button,) = page.get("download_button")
    assert button.label == "Download to print"
