"""Where a backtest traded: its chart, its fills, and why each order was placed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from bench.bars import written
from engine.config import Config
from engine.domain.jobs import ReplayJob
from engine.domain.legs import Leg
from engine.domain.orders import Side
from engine.jobs import kinds
from engine.jobs.run import JobContext, works
from pages.runs.played import lines, newest, standing
from storage.playback import FILE
from storage.run_orders import OrderLife
from tests.jobs.test_playback import claimed
from tests.pages.seen import texts

Opened = Callable[..., AppTest]
TERMS = {"price_decimals": 2, "size_decimals": 2, "listed_kind": "binary"}


def backtest(config: Config, path: Path) -> int:
    job = ReplayJob(
        path=str(path), strategy="sma_cross", parameters={"fast": 3, "slow": 8, "bars": "1m"}
    )
    done = works()["replay"](job, JobContext(config, claimed(config)))
    assert int(str(done["fills"])) > 1
    return int(str(done["run"]))


def life(number: int, placed: int, ended: int | None, leg: Leg = Leg.YES) -> OrderLife:
    return OrderLife(
        id=number, instrument="demo:X", side=Side.BUY, leg=leg, price=30, size=1_000,
        placed_ns=placed, ended_ns=ended,
    )  # fmt: skip


def test_orders_are_drawn_while_they_stood_and_no_longer_than_the_period() -> None:
    lives = [life(1, 0, 9), life(2, 5, 20), life(3, 15, None, Leg.NO), life(4, 31, None)]
    found = standing(lives, 10, 30)
    assert [one.id for one in found] == [2, 3]
    assert [tuple(one) for one in lines(found, TERMS, 10, 30)] == [
        (0.3, True, 10, 20),
        (0.7, False, 15, 30),
    ]
    assert lines(found, TERMS | {"price_decimals": None}, 10, 30) == []


def test_a_chart_of_thousands_of_fills_says_how_many_it_draws() -> None:
    assert newest(1_000, 11_179) == ", the newest 1,000 of 11,179"
    assert newest(1_000, 1_000) == ""


def test_a_backtest_of_more_fills_than_are_drawn_draws_the_newest(
    opened: Opened, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = backtest(config, written(tmp_path / "bars.csv", 400))
    monkeypatch.setattr("pages.runs.played.FILLS_DRAWN", 1)
    shown = texts(opened("runs", run=str(number)))
    assert "triangles are its fills, the newest 1 of " in shown
    assert "Slide to a part of the run for the others." in shown


def test_a_short_backtest_is_charted_at_once_and_each_order_says_why(
    opened: Opened, config: Config, tmp_path: Path
) -> None:
    number = backtest(config, written(tmp_path / "bars.csv", 400))
    page = opened("runs", run=str(number))
    shown = texts(page)
    assert "Price, orders and fills" in shown
    assert "PAPER · candles of" in shown
    assert "select one for why its order was placed" in shown
    assert "have not been read yet" not in shown
    assert "In resolved markets" not in shown  # a pair of coins has no outcome
    assert "Where it loses" not in shown
    page = opened("runs", run=str(number), order="1")
    shown = texts(page)
    assert "Order 1: BUY" in shown
    assert "wants to hold" in shown
    assert "Risk rules for this plan" in shown
    assert "the plan placed 1" in shown
    assert "PAPER" in shown
    assert page.dataframe[0].value["liquidity"].tolist() == ["taker"]
    page.segmented_control(key="run_order_about").set_value("Life").run()
    assert "journaled" in texts(page)
    assert "There is no order 999" in texts(opened("runs", run=str(number), order="999"))
    assert "There is no order x" in texts(opened("runs", run=str(number), order="x"))


def test_a_long_backtest_is_read_for_its_chart_when_a_person_asks(
    opened: Opened, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kinds, "CHARTED_EVENTS_MAX", 10)
    number = backtest(config, written(tmp_path / "bars.csv", 400))
    assert not [*config.runs_folder.glob(f"*/{FILE}")]
    assert "have not been read yet" in texts(opened("runs", run=str(number)))


def test_prices_that_cannot_be_kept_leave_the_backtest_as_it_is(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("storage.playback.Playback.save", full)
    assert backtest(config, written(tmp_path / "bars.csv", 400)) == 1
