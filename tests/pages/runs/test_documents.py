"""Several bots in one backtest: filled in from the bots here, refused in a sentence, sent whole."""

from __future__ import annotations

import json
from collections.abc import Callable

from streamlit.testing.v1 import AppTest

from engine.config import Config
from engine.domain.commands import RunJob
from storage.database import writing
from storage.own_files import keep
from storage.settings import Saved, applied, save
from storage.users import ENGINE_ID
from tests.pages.seen import texts
from tests.pages.test_jobs import left, press, run_engine

Opened = Callable[..., AppTest]
TWO = {
    "trend": {"strategy": "market_maker", "capital": 400.0},
    "turns": {"strategy": "market_maker", "capital": 600.0},
}


def save_bots(config: Config) -> None:
    account = {"name": "demo", "venue": "demo", "mode": "demo", "starting_cash": 10_000.0}
    bots = {name: {"name": name, "account": "demo", **bot} for name, bot in TWO.items()}
    with writing(config.state_path) as connection:
        made = save(
            connection, engine_id=ENGINE_ID, who="test", base_version=0, now_ns=1,
            diff={"accounts": {"demo": account}, "bots": bots},
        )  # fmt: skip
        assert isinstance(made, Saved)
        applied(connection, ENGINE_ID, made.version, 1)


def test_bots_of_the_desk_fill_the_document_in_and_it_is_sent(
    opened: Opened, config: Config
) -> None:
    run_engine(config)
    save_bots(config)
    keep(config.data_folder, "BTC.csv", b"time,open")
    page = opened("runs")
    page.multiselect(key="document_bots").set_value(["trend", "turns"]).run()
    press(page, "Fill in")
    filled = json.loads(page.text_area(key="document_text").value or "")
    assert filled == {"path": "BTC.csv", "cash": 1_000.0, "bots": TWO}
    press(page, "Play the document")
    [command] = left(config)
    assert isinstance(command, RunJob)
    assert command.job == "replay"
    assert json.loads(command.arguments)["bots"] == TWO


def test_what_is_no_document_is_refused_and_nothing_is_sent(opened: Opened, config: Config) -> None:
    run_engine(config)
    page = opened("runs")
    page.text_area(key="document_text").set_value('{"path": "a", "bots": {"x": {}}}')
    press(page, "Play the document")
    assert "Not started: bot x: strategy" in texts(page)
    assert left(config) == []
