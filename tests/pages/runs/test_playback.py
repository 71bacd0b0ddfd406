"""A backtest watched again: its clock, what stood at a moment, and the page."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

from bench.bars import written
from engine.config import Config
from engine.domain.commands import RunJob
from engine.domain.jobs.playback import PlaybackJob
from engine.domain.legs import Leg
from engine.domain.orders import Side
from engine.jobs.run import JobContext, works
from pages.kit import names
from pages.runs.playback import Player, net, orders_at
from storage.run_orders import OrderLife
from tests.jobs.test_playback import SMA, claimed, played
from tests.pages.seen import texts
from tests.pages.test_jobs import left, press, run_engine

Opened = Callable[..., AppTest]
S = 1_000_000_000


@given(st.lists(st.tuples(st.integers(0, 5 * S), st.sampled_from([1, 10, 60, 1_000])), max_size=20))
def test_it_goes_on_by_its_speed_and_never_past_the_end(waits: list[tuple[int, int]]) -> None:
    player = Player(0, 0, 3_600 * S, speed=10)
    wall = expected = 0
    player.play(0)
    for wait, speed in waits:
        wall += wait
        expected = min(3_600 * S, expected + wait * player.speed)
        assert player.follow(wall) == expected
        assert player.plays is (expected < 3_600 * S)
        player.play_at(speed, wall)


def test_a_clock_of_the_wall_that_goes_back_moves_nothing_and_the_end_begins_anew() -> None:
    player = Player(100, 100, 200, speed=1)
    player.play(50)
    assert player.follow(10) == 100
    player.stand_at(1_000)
    assert (player.at_ns, player.plays) == (200, False)
    player.play(0)
    assert player.at_ns == 100


def life(number: int, placed: int, ended: int | None) -> OrderLife:
    return OrderLife(
        id=number, instrument="demo:X", side=Side.BUY, leg=Leg.YES, price=50, size=1_000,
        placed_ns=placed, ended_ns=ended,
    )  # fmt: skip


def fill(number: int, size: str, side: str = "buy", state: str = "confirmed") -> dict[str, object]:
    return {"order_id": number, "size": Decimal(size), "side": side, "leg": "yes", "state": state}


def test_an_order_stands_from_its_placing_to_its_end_less_what_was_filled_by_then() -> None:
    terms = {"price_decimals": 2, "size_decimals": 2, "listed_kind": "binary"}
    lives = [life(1, 10, 20), life(2, 10, None), life(3, 30, None)]
    assert [row["id"] for row in orders_at(lives, [], 9, terms)] == []
    assert [row["id"] for row in orders_at(lives, [], 19, terms)] == [1, 2]
    assert [row["id"] for row in orders_at(lives, [], 20, terms)] == [2]
    seen = [fill(2, "4"), fill(3, "10")]
    [row] = orders_at(lives, seen, 40, terms)
    assert (row["id"], row["filled"], row["size"], row["price"]) == (
        2, Decimal(4), Decimal(10), Decimal("0.5"),
    )  # fmt: skip
    assert [row["size"] for row in orders_at(lives, [], 40, names.UNLISTED)] == [None, None]


def test_what_failed_counts_as_nothing_bought() -> None:
    rows = [fill(1, "5"), fill(1, "2", "sell"), fill(1, "9", state="failed")]
    assert net(rows, "demo:X") == "3 YES"
    assert net([], "demo:X") == "nothing"


@pytest.mark.long
def test_prices_are_asked_for_then_watched_fill_by_fill(
    opened: Opened, config: Config, tmp_path: Path
) -> None:
    run_engine(config)
    number = played(config, written(tmp_path / "bars.csv", 400), **SMA)
    page = opened("runs", run=str(number), show="watch")
    assert "have not been read yet" in texts(page)
    press(page, "Read the prices")
    [command] = left(config)
    assert isinstance(command, RunJob)
    assert (command.job, json.loads(command.arguments)) == ("playback", {"run": number})
    works()["playback"](PlaybackJob(run=number), JobContext(config, claimed(config)))
    page = opened("runs", run=str(number), show="watch")
    assert "Nothing was filled up to this moment" in texts(page)
    press(page, "Next fill")
    shown = texts(page)
    assert "Fills (1 of" in shown
    assert "PAPER" in shown
    press(page, "Play")
    assert "Pause" in [button.label for button in page.button]
    press(page, "Pause")
    assert "Play" in [button.label for button in page.button]


def test_a_backtest_without_a_journal_says_how_to_get_one(
    opened: Opened, config: Config, tmp_path: Path
) -> None:
    number = played(config, written(tmp_path / "bars.csv", 200), keeps=False, **SMA)
    assert "No journal was kept" in texts(opened("runs", run=str(number), show="watch"))
