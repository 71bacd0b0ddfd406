"""A watch that begins anew tells nothing twice: what stood stands until it is looked at again."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.watch.probes import Probe
from engine.watch.probes import engine as engine_probe
from engine.watch.probes.programs import ProgramsProbe
from engine.watch.send import Outcome, SendOrder
from tests.watch.desks import MINUTE, Recorder, Watched
from tests.watch.stated import Stated, balance, holding, idle_bot, limit
from tests.watch.test_every_kind import Shown, engine, program, short


def low(stated: Stated) -> None:
    balance(stated, 90_000_000)


def near(stated: Stated) -> None:
    limit(stated, "exposure_market_max", 90_000_000)


def unredeemed(stated: Stated) -> None:
    holding(stated, payout=1_000_000)


def cut(stated: Stated) -> None:
    stated.detail = {"private_lost": {"demo": {"mode": "demo", "why": "it is cut"}}}


def slow(stated: Stated) -> None:
    stated.detail = {"turn_p99_us": 80_000.0}


STATED: dict[str, Callable[[Stated], None]] = {
    "balance_low": low,
    "limit_near": near,
    "redeemable": unredeemed,
    "bot_idle": idle_bot,
    "connection_lost": cut,
    "latency": slow,
}


@pytest.mark.sampled(2)
@pytest.mark.parametrize("name", STATED)
def test_a_condition_that_still_stands_is_neither_over_nor_told_again(
    name: str, tmp_path: Path
) -> None:
    stated = Stated(tmp_path / "home")
    stated.desk.settle({"rules": {"every": {"kinds": [name], "channels": ["phone"]}}})
    STATED[name](stated)
    stated.turn(33 * MINUTE, every=60)
    before = stated.desk.sends.titles()
    assert len(before) == 1
    stated.desk.again(5, stopped=True)
    stated.turn(33 * MINUTE, every=60)
    assert stated.desk.sends.titles() == before
    assert stated.kinds() == [name]


def test_a_condition_of_an_engine_that_is_gone_stands_over_a_start_of_the_watch(
    tmp_path: Path,
) -> None:
    stated = Stated(tmp_path / "home")
    balance(stated, 90_000_000)
    stated.turn(60)
    stated.desk.now_ns += 10 * MINUTE * 10**9
    stated.desk.again(5, stopped=True)
    stated.desk.turn(10 * MINUTE, every=30)
    assert stated.desk.sends.titles() == ["[WARNING] The balance is low"]


def test_what_ended_while_no_watch_ran_is_over(tmp_path: Path) -> None:
    stated = Stated(tmp_path / "home")
    balance(stated, 90_000_000)
    stated.turn(60)
    balance(stated, 900_000_000)
    stated.desk.again(5, stopped=True)
    stated.turn(20 * MINUTE, every=30)
    assert stated.desk.sends.titles() == [
        "[WARNING] The balance is low", "[over] The balance is low",
    ]  # fmt: skip


PROBES: dict[str, Callable[[], Probe]] = {
    "engine_dead": lambda: engine("FATAL"),
    "engine_stopped": lambda: engine("STOPPED"),
    "engine_hung": lambda: engine("RUNNING", 46, pid=os.getpid()),
    "worker_down": lambda: Shown(ProgramsProbe(), programs={"worker": program("FATAL")}),
}


@pytest.mark.sampled(1)
@pytest.mark.parametrize("name", PROBES)
def test_a_program_that_is_still_down_is_neither_over_nor_told_again(
    name: str, desk: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_probe, "boot_ns", lambda: 1)
    desk._probes = {"one": PROBES[name]()}
    desk.again(0, stopped=True)
    desk.turn(60)
    desk._probes = {"one": PROBES[name]()}
    before = desk.sends.titles()
    assert len(before) == 1
    desk.again(5, stopped=True)
    desk.turn(3 * MINUTE)
    assert desk.sends.titles() == before


def test_memory_that_is_still_short_is_told_once(desk: Watched) -> None:
    short(desk)
    before = desk.sends.titles()
    assert before == ["[WARNING] Too little memory is free"]
    desk.again(5, stopped=True)
    short(desk)
    assert desk.sends.titles() == before


def test_a_channel_that_still_fails_is_told_once(tmp_path: Path) -> None:
    desk = Watched(tmp_path / "home", Failing())
    desk.add_channel("good")
    desk.add_channel("bad")
    desk.again(0, stopped=True)
    desk.raise_("kill")
    desk.turn(5 * MINUTE, every=5)
    failing = "[WARNING] A channel does not deliver"
    assert desk.sends.titles("good").count(failing) == 1
    desk.again(5, stopped=True)
    desk.turn(60 * MINUTE, every=30)
    assert desk.sends.titles("good").count(failing) == 1
    assert not [one for one in desk.sends.titles("good") if "[over]" in one]


class Failing(Recorder):
    """Keeps what left; the channel `bad` refuses."""

    def start(self, name: str, order: SendOrder) -> bool:
        self.answers = {"bad": Outcome(error="refused")}
        return super().start(name, order)
