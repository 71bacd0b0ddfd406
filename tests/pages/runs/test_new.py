"""A new backtest from its own page: the form, what it asks of the worker, what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable

from streamlit.testing.v1 import AppTest

from engine.config import Config
from engine.domain.commands import RunJob
from storage.own_files import keep
from tests.pages.seen import texts
from tests.pages.test_jobs import left, press, run_engine

Opened = Callable[..., AppTest]


def test_a_backtest_of_a_file_that_was_brought_is_asked_for_with_its_costs(
    opened: Opened, config: Config
) -> None:
    run_engine(config)
    keep(config.data_folder, "BTC.csv", b"time,open")
    page = opened("runs")
    assert "BTC.csv" in texts(page)
    page.number_input(key="new_backtest_replay_BTC.csv_slippage_bps").set_value(5.0)
    page.text_input(key="new_backtest_replay_BTC.csv_since").set_value("2026-03-01")
    page.number_input(key="new_backtest_market_maker_levels").set_value(3)
    press(page, "Start backtest")
    [command] = left(config)
    assert isinstance(command, RunJob)
    assert command.job == "replay"
    assert json.loads(command.arguments) == {
        "path": "BTC.csv",
        "strategy": "market_maker",
        "parameters": {"levels": 3},
        "limits": {},
        "slippage_bps": 5.0,
        "since": "2026-03-01",
    }


def test_a_backtest_of_nothing_is_refused_and_nothing_is_sent(
    opened: Opened, config: Config
) -> None:
    run_engine(config)
    page = opened("runs")
    press(page, "Start backtest")
    assert "it must not be empty" in texts(page)
    assert left(config) == []


def test_without_an_engine_no_backtest_can_be_started(opened: Opened) -> None:
    assert "No engine is running" in texts(opened("runs"))
