from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from engine.config import Config
from engine.domain.instruments import Mode
from storage.database import writing
from storage.projection import register_account
from storage.runs import Run, RunKind, RunMarket, RunStatus, save_run

PAGES = Path(__file__).resolve().parents[2] / "pages"

RUN = Run(
    engine_id="replay",
    account="paper:replay",
    kind=RunKind.REPLAY,
    recording="recordings/2026-04-13.jsonl.gz",
    bot="replay-market_maker",
    strategy="market_maker",
    parameters='{"strategy": {"levels": 2}}',
    started_ns=1_776_000_000_000_000_000,
    finished_ns=1_776_000_009_000_000_000,
    status=RunStatus.DONE,
    digest="ab" * 32,
    frames=120_000,
    orders=640,
    fills=31,
    fees_micro=120_000,
    pnl_micro=-2_500_000,
    result=json.dumps(
        {
            "pnl_resolved": -1.5,
            "pnl_unresolved": -1.0,
            "denials": {"stale_data": 3},
            "residuals": {},
        }
    ),
)
MARKET = RunMarket(
    instrument="polymarket:0xdd",
    orders=640,
    fills=31,
    fees_micro=120_000,
    realised_micro=-1_500_000,
    unresolved_micro=-1_000_000,
    position_left=4_000_000,
    resolved=False,
)
CURVE = [(1_775_000_000_000_000_000 + n * 10**9, 1_000_000_000 - n * 1_000) for n in range(2_500)]

Opened = Callable[..., AppTest]


@pytest.fixture
def opened(config: Config) -> Opened:
    def open_page(name: str, **query: str) -> AppTest:
        page = AppTest.from_file(str(PAGES / f"{name}.py"), default_timeout=30)
        page.session_state["who"] = "operator"
        for key, value in query.items():
            page.query_params[key] = value
        page.run()
        assert not page.exception, page.exception
        return page

    return open_page


def store_run(config: Config) -> int:
    with writing(config.state_path) as connection:
        return save_run(connection, RUN, equity=CURVE, markets=[MARKET])


def run_engine(config: Config, **columns: object) -> None:
    """Write the heartbeat of an engine that lives: this process."""
    row = {
        "engine_id": "pitboss",
        "state": "running",
        "heartbeat_ns": time.time_ns() + 10**9,
        "started_ns": 1,
        "pid": os.getpid(),
        "version": "1",
        "latched": 0,
        "detail": "{}",
        **columns,
    }
    marks = ", ".join("?" * len(row))
    with writing(config.state_path) as connection:
        connection.execute(
            f"INSERT OR REPLACE INTO engine_state ({', '.join(row)}) VALUES ({marks})",
            tuple(row.values()),
        )
        register_account(
            connection,
            engine_id="pitboss",
            account="paper:a",
            mode=Mode.PAPER,
            venue="paper",
            currency="USD",
        )


def texts(page: AppTest) -> str:
    """Return every text of a page."""
    parts = [str(node.proto) for node in page.main if hasattr(node, "proto")]
    return "\n".join(parts)


def test_runs_without_any_say_what_to_do_next(opened: Opened) -> None:
    assert "python -m engine replay PATH" in texts(opened("runs"))


def test_a_stored_run_is_listed_with_its_figures(opened: Opened, config: Config) -> None:
    store_run(config)
    frame = opened("runs").dataframe[0].value
    row = frame.iloc[0]
    assert (row["pnl"], row["orders"], row["fills"], row["status"]) == (-2.5, 640, 31, "done")
    assert row["name"] == "2026-04-13.jsonl.gz"


def test_the_filter_narrows_the_runs(opened: Opened, config: Config) -> None:
    store_run(config)
    page = opened("runs")
    page.text_input(key="runs_filter").set_value("no such thing").run()
    assert "No run fits" in texts(page)


def test_a_run_opens_with_curve_markets_and_reasons(opened: Opened, config: Config) -> None:
    number = store_run(config)
    page = opened("runs", run=str(number))
    metrics = {metric.label: metric.value for metric in page.metric}
    assert metrics["PnL"] == "\N{MINUS SIGN}2.50"
    assert metrics["Of it resolved"] == "\N{MINUS SIGN}1.50"
    assert metrics["Deepest drawdown"] == "2.50"
    market = page.dataframe[0].value.iloc[0]
    assert (market["instrument"], market["total"]) == ("polymarket:0xdd", -2.5)
    assert market["left"] == "4,000,000 increments"
    shown = texts(page)
    assert "stale_data" in shown
    assert "ab" * 32 in shown
    assert "strategy.levels" in shown
    assert "this run did not report it" in shown
    figure = json.loads(page.get("plotly_chart")[0].proto.spec)
    assert figure["layout"]["uirevision"] == "run_equity"


def test_a_run_that_is_not_there_is_told(opened: Opened) -> None:
    assert "There is no such run" in texts(opened("runs", run="77"))


def test_runs_with_one_digest_are_tied_together(opened: Opened, config: Config) -> None:
    first, second = store_run(config), store_run(config)
    assert f"run={first}" in texts(opened("runs", run=str(second)))


def test_overview_without_an_engine_says_so_and_what_works(opened: Opened) -> None:
    shown = texts(opened("overview"))
    assert "No engine has ever run" in shown
    assert "python -m engine replay" in shown


def test_overview_of_a_running_engine_shows_its_account(opened: Opened, config: Config) -> None:
    run_engine(config)
    with writing(config.state_path) as connection:
        connection.execute(
            "INSERT INTO equity VALUES ('pitboss', 'paper:a', ?, 'paper', 'USD', 990000000, "
            "991000000, 900000000, 1000000000, 1010000000)",
            (time.time_ns(),),
        )
    page = opened("overview")
    metrics = {metric.label: metric.value for metric in page.metric}
    assert metrics == {
        "Equity": "990.00 USD",
        "Since 00:00 UTC": "\N{MINUS SIGN}10.00 USD",
        "Below the peak": "20.00 USD",
        "Cash": "900.00 USD",
    }
    assert "Nothing is held" in texts(page)


def test_an_unreadable_database_is_told_in_place_of_figures(opened: Opened, config: Config) -> None:
    config.state_path.write_bytes(b"no database " * 1_000)
    page = opened("overview")
    assert "cannot be read" in page.error[0].value
    assert not page.metric
