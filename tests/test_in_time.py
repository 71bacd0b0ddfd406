"""A plug-in's file, constructor or restore that never ends is interrupted where it is."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from engine import in_time as module
from engine import plugins
from engine.bots.bot import Bot
from engine.contracts.strategy import check_strategy
from engine.domain.instruments import AccountId, BotId
from engine.errors import BadInput, TookTooLong
from engine.in_time import in_time
from engine.strategies import registry
from engine.strategies.registry import build, declared_of, restore_state
from tests.kit.plugins import installed_from, write

BOT = BotId("b")


@pytest.fixture(autouse=True)
def no_callbacks_of_the_collector() -> Iterator[None]:
    """What is raised in this thread may arrive in a callback of another library, and is lost."""
    kept = gc.callbacks[:]
    gc.callbacks.clear()
    yield
    gc.callbacks[:] = kept


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BUDGET_S", 0.2)
    monkeypatch.setattr(module, "IMPORT_S", 0.2)
    monkeypatch.setattr(plugins, "IMPORT_S", 0.2)
    monkeypatch.setattr("engine.contracts.strategy.BUDGET_S", 0.3)


def loops() -> None:
    number = 0
    while True:
        number += 1


def catches() -> str:
    with suppress(BaseException):
        loops()
    return "gone on"


def test_what_ends_in_its_time_is_given_and_what_it_raises_is_raised() -> None:
    assert in_time(lambda: 7, "seven") == 7
    with pytest.raises(ZeroDivisionError):
        in_time(lambda: 1 / 0, "nothing")


@pytest.mark.parametrize("call", [loops, catches])
def test_what_does_not_end_is_interrupted_and_nothing_is_raised_later(
    call: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SPINS", 1_000)
    began_s = time.monotonic()
    with pytest.raises(TookTooLong, match=r"its making took longer than 0\.2 s"):
        in_time(call, "its making")
    assert time.monotonic() - began_s < 5.0
    until_s = time.monotonic() + 0.7
    while time.monotonic() < until_s:
        pass
    assert not [one for one in threading.enumerate() if one.name == "in time" and one.is_alive()]


def test_another_thread_than_the_main_one_is_interrupted_too() -> None:
    said: list[str] = []

    def run() -> None:
        try:
            in_time(loops, "a job's import")
        except TookTooLong as error:
            said.append(str(error))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(5.0)
    (text,) = said
    assert "interrupted in loops, line " in text


def test_what_cannot_be_interrupted_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HARD_S", 0.3)
    stuck: list[bool] = []
    with pytest.raises(TookTooLong):  # a lock waits outside the interpreter
        in_time(lambda: time.sleep(1.0), "its making", on_stuck=lambda: stuck.append(True))
    assert stuck == [True]


HEAD = """
from __future__ import annotations
from engine.strategies.market_maker.strategy import MarketMaker

class Bad(MarketMaker):
    '''Loops.'''
    name = "NAME"
"""
LOOPS = {
    "loops_made": HEAD + "    def __init__(self, parameters, bot):\n        while True: pass\n",
    "loops_back": HEAD + "    def restore(self, state):\n        while True: pass\n",
    "loops_said": HEAD
    + """
    @property
    def timer_ns(self):
        while True: pass

    @timer_ns.setter
    def timer_ns(self, given):
        pass
""",
    "says_wrong": HEAD
    + """
    @property
    def timer_ns(self):
        return 0.5

    @timer_ns.setter
    def timer_ns(self, given):
        pass
""",
    "loops_asked": HEAD + "    def evaluate(self, context, now_ns):\n        while True: pass\n",
    "loops_read": "while True:\n    pass\n",
}


@pytest.fixture
def bad(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    files = {
        f"bad/strategies/{name}.py": text.replace("NAME", name) for name, text in LOOPS.items()
    }
    with installed_from(monkeypatch, write(tmp_path / "plugins", files)):
        found = registry._found()
        monkeypatch.setattr(registry, "STRATEGIES", found)
        yield found


def test_a_file_that_loops_at_its_import_is_left_out_with_file_and_line(bad: Any) -> None:
    assert {"loops_made", "loops_back"} <= bad.keys()
    assert "loops_read" not in bad
    (said,) = [one.sentence for one in plugins.problems() if "loops_read" in str(one.file)]
    assert "loops_read.py:" in said
    assert "its import of plugins.bad.strategies.loops_read took longer than" in said


def test_a_constructor_and_a_restore_that_loop_are_refused_in_a_sentence(bad: Any) -> None:
    with pytest.raises(BadInput, match=r"the making of loops_made took longer .* in __init__"):
        build("loops_made", {}, BOT, bad["loops_made"])
    strategy = build("loops_back", {}, BOT, bad["loops_back"])
    with pytest.raises(TookTooLong, match=r"the restore of loops_back took .* in restore"):
        restore_state(strategy, b"x")


def test_what_a_plug_in_declares_is_read_once_in_its_time_and_of_its_kind(bad: Any) -> None:
    with pytest.raises(TookTooLong, match=r"what loops_said declares took .* in timer_ns"):
        Bot(name=BOT, account=AccountId("a"), capital_micro=1,
            strategy=build("loops_said", {}, BOT, bad["loops_said"]))  # fmt: skip
    with pytest.raises(BadInput, match=r"says_wrong cannot be made: its timer_ns is 0\.5: it must"):
        declared_of(build("says_wrong", {}, BOT, bad["says_wrong"]))
    (said,) = check_strategy(bad["loops_said"])
    assert "what loops_said declares took longer than" in said


@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("loops_made", "it cannot be built with its defaults: the making of loops_made took"),
        ("loops_asked", "it raises: TurnOverdue in evaluate"),
        ("loops_back", "it does not take back what it gave as its state: the restore of"),
    ],
)
def test_check_says_of_each_loop_what_it_is(bad: Any, name: str, said: str) -> None:
    assert any(said in one for one in check_strategy(bad[name]))
