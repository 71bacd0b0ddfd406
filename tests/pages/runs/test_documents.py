"""Several bots in one backtest: filled in from the bots here, refused in a sentence, sent whole."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from streamlit.testing.v1 import AppTest

from bench.bars import written
from engine.config import Config
from engine.domain.commands import RunJob
from engine.domain.jobs import ReplayJob
from engine.jobs.run import JobContext, works
from storage.database import writing
from storage.own_files import keep
from storage.settings import Saved, applied, save
from storage.users import ENGINE_ID
from tests.jobs.test_playback import claimed
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


def test_a_run_of_several_bots_shows_what_each_made_and_what_is_left_in_units(
    opened: Opened, config: Config, tmp_path: Path
) -> None:
    bars = {"bars": "1m"}
    job = ReplayJob(
        path=str(written(tmp_path / "bars.csv", 400)),
        bots={
            "trend": {
                "strategy": "sma_cross", "capital": 500,
                "parameters": bars | {"slow": 8, "fast": 3},
            },
            "lost": {"strategy": "dca", "capital": 1, "instruments": ["demo:nothing"]},
            "steps": {"strategy": "dca", "capital": 499, "parameters": bars | {"every": 10}},
        },
    )  # fmt: skip
    done = works()["replay"](job, JobContext(config, claimed(config)))
    page = opened("runs", run=str(done["run"]))
    shown = texts(page)
    assert "By bot" in shown
    assert "Bot lost names demo:nothing, which the recording does not have" in shown
    assert "sma_cross + dca on" in shown
    assert "Make a bot of it" not in shown
    made = next(one.value for one in page.dataframe if "unrealised" in one.value)
    left = next(one.value["left"] for one in page.dataframe if "left" in one.value)
    assert list(made["bot"]) == ["steps", "trend"]
    assert float(left.iloc[0]) > 0, "it is a size, and no count of increments"
