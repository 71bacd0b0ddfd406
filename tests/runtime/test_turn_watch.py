"""Strategies that loop or leak: their own bot stops, the one beside it misses nothing."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.clock import WallClock
from engine.domain.bots import BotState
from engine.domain.events import InstrumentClosed
from engine.domain.inputs import BotFailed, Turned
from engine.domain.instruments import InstrumentId
from engine.domain.settings import BotSettings
from engine.in_time import TurnOverdue
from engine.runtime import turn_watch
from engine.runtime.turn_watch import HARD_LOOKS, TurnWatch, held_by
from storage.quarantine import quarantine, quarantined, release
from tests.bots.conftest import intent, make_bot, make_script, make_stage

__all__ = ["intent", "make_bot", "make_script", "make_stage"]

MS = 1_000_000
CLOCK = WallClock()
ONE, TWO = InstrumentId("venue:one"), InstrumentId("venue:two")
Make = Callable[..., Any]


def loops(*_: object) -> tuple[()]:
    number = 0
    while True:
        number += 1


def loops_and_catches(*_: object) -> tuple[()]:
    """Catch whatever ends the inner loop once; the next one ends it."""
    try:
        loops()
    except BaseException:  # noqa: BLE001 what a hostile plug-in would write
        loops()
    return ()


@pytest.fixture
def pair(make_stage: Make, make_bot: Make, make_script: Make) -> Any:
    bad = make_bot("bad", make_script(), instruments=frozenset({ONE}))
    good = make_bot("good", make_script(), instruments=frozenset({TWO}))
    stage = make_stage(bad, good)
    for one in (ONE, TWO):
        stage.list(one)
    return stage, bad, good


def made(stage: Any, home: Path, **changes: Any) -> TurnWatch:
    given: dict[str, Any] = {
        "clock": CLOCK,
        "thread": threading.get_ident(),
        "on_loop": lambda do: do(),
        "budget_s": 0.2,
    }
    return TurnWatch(lambda: [stage.core], home, **(given | changes))


def test_it_looks_no_more_however_what_it_looks_at_ended(pair: Any, tmp_path: Path) -> None:
    stage, _, _ = pair
    with suppress(GeneratorExit), made(stage, tmp_path):
        raise GeneratorExit
    (looking,) = (one for one in threading.enumerate() if one.name == "turns")
    looking.join(2.0)
    assert not looking.is_alive()


@pytest.mark.long
@pytest.mark.parametrize("wrong", [loops, loops_and_catches])
def test_a_strategy_that_loops_stops_alone(pair: Any, tmp_path: Path, wrong: Any) -> None:
    stage, bad, good = pair
    bad.strategy.say = wrong
    asked = len(good.strategy.asked)
    began_s = time.monotonic()
    with made(stage, tmp_path):
        stage.at(stage.now + 1_500 * MS)
    assert time.monotonic() - began_s < 4.0
    assert (bad.state, good.state) == (BotState.ERROR, BotState.RUNNING)
    assert bad.error.startswith("TurnOverdue in loops, line ")
    assert len(good.strategy.asked) > asked
    stage.at(stage.now + 3_000 * MS)
    assert good.state is BotState.RUNNING, "nothing is raised late"
    assert quarantined(tmp_path) == {}


@pytest.mark.parametrize("given", [None, (), "quote"])
def test_a_strategy_that_gives_no_evaluation_stops_alone(pair: Any, given: Any) -> None:
    stage, bad, good = pair
    bad.strategy.evaluate = lambda *_: given
    stage.at(stage.now + 1_500 * MS)
    assert (bad.state, good.state) == (BotState.ERROR, BotState.RUNNING)
    assert "has no attribute 'decision'" in bad.error


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, ""),
        ({"bot": "good"}, "evaluate gave an intent of 'good': it must be of 'bad'"),
        ({"instrument": TWO}, "evaluate wants 'venue:two', which is not its bot's"),
        ({"valid_until_ns": 1.5}, "evaluate gave an Evaluation that cannot be kept: Expected"),
        ({"bids": ((4_900, 1.5),)}, "evaluate gave an Evaluation that cannot be kept: Expected"),
    ],
)
def test_a_plug_in_that_wants_what_is_not_its_own_or_no_number_stops_alone(
    make_stage: Make, make_bot: Make, make_script: Make, intent: Make,
    monkeypatch: pytest.MonkeyPatch, changes: Any, said: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(make_script, "__module__", "plugins.mine.strategies.mine")
    bad = make_bot("bad", make_script(), instruments=frozenset({ONE}))
    stage = make_stage(bad)
    stage.list(ONE)

    def say(context: Any, now_ns: int) -> tuple[Any, ...]:
        del now_ns
        return (msgspec.structs.replace(intent(context, 4_900), **changes),)

    bad.strategy.say = say
    stage.at(stage.now + 1_500 * MS)
    assert bad.state is (BotState.ERROR if said else BotState.RUNNING)
    assert said in bad.error


def test_a_strategy_that_loops_while_it_forgets_a_market_stops_alone(
    pair: Any, tmp_path: Path
) -> None:
    stage, bad, good = pair
    bad.strategy.forget = loops
    with made(stage, tmp_path):
        stage.core.market(InstrumentClosed(instrument=ONE), stage.now)
    assert (bad.state, good.state) == (BotState.ERROR, BotState.RUNNING)
    assert bad.error.startswith("TurnOverdue in loops, line ")


def test_one_that_catches_what_was_to_end_it_and_goes_on_is_stopped_all_the_same(
    pair: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage, bad, good = pair
    monkeypatch.setattr("engine.bots.failing.SPINS", 1_000)

    def swallows(*_: object) -> tuple[()]:
        with suppress(BaseException):
            loops()
        return ()

    bad.strategy.say = swallows
    put: list[Any] = []
    stage.core._tape = lambda given, _: put.append(given)
    with made(stage, tmp_path):
        stage.at(stage.now + 1_500 * MS)
    assert (bad.state, good.state) == (BotState.ERROR, BotState.RUNNING)
    assert "its strategy caught what was to end it" in bad.error
    assert stage.core.overdue == []
    (failed,) = [one for one in put if isinstance(one, BotFailed)]
    assert failed.decision > 0


def test_what_was_ended_from_outside_is_on_the_tape_and_what_raises_again_is_not(
    pair: Any, tmp_path: Path
) -> None:
    stage, bad, good = pair
    put: list[Any] = []
    stage.core._tape = lambda given, _: put.append(given)

    def raises(*_: object) -> tuple[()]:
        raise ValueError("again and again")

    bad.strategy.say, good.strategy.say = loops, raises
    with made(stage, tmp_path):
        stage.at(stage.now + 1_500 * MS)
    assert (bad.state, good.state) == (BotState.ERROR, BotState.ERROR)
    (failed,) = [one for one in put if isinstance(one, BotFailed)]
    assert (failed.bot, failed.error) == (bad.name, bad.error)
    turned = [at for at, one in enumerate(put) if isinstance(one, Turned)]
    assert put.index(failed) - 1 in turned, "right behind its input"


def test_a_failure_between_two_inputs_is_an_input_of_its_own(pair: Any) -> None:
    stage, bad, _ = pair
    put: list[Any] = []
    stage.core._tape = lambda given, _: put.append(given)

    def raises() -> bytes:
        raise ValueError("no state")

    bad.strategy.state = raises
    stage.core.kept_state(bad, stage.now)
    (failed,) = [one for one in put if isinstance(one, BotFailed)]
    assert (failed.within, failed.error) == (False, bad.error)
    again, before = (list(stage.core.receive(failed, stage.now)) for _ in range(2))
    assert (again, before) == ([], []), "a bot that stopped does not stop again"
    stage.core.remove(bad, stage.now)
    stage.core.turn(stage.now)
    stage.core.receive(failed, stage.now)
    (alert,) = [one for one in stage.core.turn(stage.now) if getattr(one, "kind", "")]
    assert alert.text == f"bot bad stopped with an error: {failed.error}"


def test_a_call_that_just_ended_is_waited_for_and_its_bot_stops(pair: Any, tmp_path: Path) -> None:
    stage, bad, good = pair
    watch = TurnWatch(
        lambda: [stage.core],
        tmp_path,
        clock=CLOCK,
        thread=threading.get_ident(),
        on_loop=lambda do: do(),
    )

    def overdue(*_: object) -> tuple[()]:
        watch._interrupt(stage.core, stage.core.busy)
        return ()

    bad.strategy.say = overdue
    stage.at(stage.now + 1_500 * MS)
    assert (bad.state, good.state) == (BotState.ERROR, BotState.RUNNING)
    assert "TurnOverdue" in bad.error
    assert stage.core.overdue == []


def test_a_call_that_is_over_is_not_raised_into(pair: Any, tmp_path: Path) -> None:
    stage, bad, _ = pair
    watch = made(stage, tmp_path)
    watch._interrupt(stage.core, (bad, "an older call"))
    stage.at(stage.now + 1_500 * MS)
    assert bad.state is BotState.RUNNING
    assert stage.core.overdue == []


def test_one_that_cannot_be_interrupted_is_put_into_quarantine(pair: Any, tmp_path: Path) -> None:
    stage, bad, _ = pair
    watch = TurnWatch(
        lambda: [stage.core], tmp_path, clock=CLOCK, on_loop=lambda do: do(), budget_s=100.0
    )
    stage.core.busy = bad, "a call into a C function"
    for _ in range(HARD_LOOKS):
        watch.look()
    assert quarantined(tmp_path) == {}
    watch.look()
    assert list(quarantined(tmp_path)) == ["bad"]
    quarantine(tmp_path, "other", "because")
    release(tmp_path, "bad")
    assert quarantined(tmp_path) == {"other": "because"}
    (tmp_path / "quarantine.json").write_text("[", encoding="utf-8")
    assert quarantined(tmp_path) == {}


def test_a_plugin_that_holds_too_much_stops_alone(
    pair: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage, bad, good = pair
    bad.strategy.kept = [bytes(1_000) for _ in range(2_000)]
    watch = TurnWatch(
        lambda: [stage.core], tmp_path, clock=CLOCK, on_loop=lambda do: do(), bytes_max=1_000_000
    )
    watch.weigh()
    assert bad.state is BotState.RUNNING, "only plug-ins are weighed"
    monkeypatch.setattr(type(bad.strategy), "__module__", "plugins.leaky.strategies.leaky")
    watch.weigh()
    assert (bad.state, good.state) == (BotState.ERROR, BotState.RUNNING)
    assert "MemoryError" in bad.error
    assert held_by([bytes(1_000)] * 5, 10_000) < 2_000, "one object is counted once"


FILE = """
KEPT = []

class Leaky:
    seen = []

    def wish(self, cache=[]):
        {where}.append(bytes(2_000_000))
"""


@pytest.mark.parametrize("where", ["KEPT", "self.seen", "cache"])
def test_what_its_file_and_its_class_keep_is_weighed_too(where: str) -> None:
    module: dict[str, Any] = {"__name__": "plugins.leaky.strategies.leaky"}
    exec(FILE.format(where=where), module)
    leaky = module["Leaky"]()
    assert held_by(leaky, 1_000_000) < 100_000
    leaky.wish()
    assert held_by(leaky, 1_000_000) > 1_000_000


@pytest.mark.parametrize(
    ("held", "bytes_least"),
    [
        ([[0] * 300_000 for _ in range(20)], 20 * 300_000 * 8),
        ([(n, str(n)) for n in range(20_000)], 20_000 * 120),
        ({n: [n] for n in range(20_000)}, 20_000 * 64),
        (deque(float(n) for n in range(20_000)), 20_000 * 24),
        ({f"{n:30}" for n in range(20_000)}, 20_000 * 70),
    ],
)
def test_a_large_container_is_judged_by_a_sample(
    held: Any, bytes_least: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = []
    monkeypatch.setattr(
        turn_watch.sys, "getsizeof", lambda one: looked.append(0) or one.__sizeof__()
    )
    assert bytes_least < held_by(held, 1 << 40) < 4 * bytes_least
    assert len(looked) < 12_000, "the loop waits while this looks"


def test_one_object_many_times_is_not_many() -> None:
    assert held_by([bytes(100_000)] * 50_000, 1 << 40) < 8 * 50_000 + 3_000_000


def test_what_a_plugin_held_is_free_again(
    pair: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage, bad, _ = pair
    settings = BotSettings(name="bad", strategy="market_maker", account="demo", capital=100.0)
    bad.given = settings.model_dump_json().encode()
    held = bad.strategy.kept = frozenset([bytes(2_000_000)])
    gone = weakref.ref(held)
    del held
    monkeypatch.setattr(type(bad.strategy), "__module__", "plugins.leaky.strategies.leaky")
    made(stage, tmp_path, bytes_max=1_000_000).weigh()
    assert bad.state is BotState.ERROR
    gc.collect()
    assert gone() is None


def test_what_it_had_learned_and_cannot_read_is_left_to_be_said_at_its_start(
    pair: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage, bad, _ = pair
    settings = BotSettings(name="bad", strategy="market_maker", account="demo", capital=100.0)
    bad.given, failed = settings.model_dump_json().encode(), bad.strategy
    bad.strategy.kept = [bytes(1_000) for _ in range(2_000)]
    bad.keep(b"torn")
    monkeypatch.setattr(type(bad.strategy), "__module__", "plugins.leaky.strategies.leaky")
    made(stage, tmp_path, bytes_max=1_000_000).weigh()
    assert bad.strategy is not failed
    assert bad.kept == b"torn"


def test_no_except_exception_of_a_strategy_catches_it() -> None:
    assert not issubclass(TurnOverdue, Exception)
