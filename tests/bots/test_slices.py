"""A live desk does a bounded number of work units a turn: counted here, never timed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from engine.bots.slices import AT_ONCE, MARKED_AT_ONCE, Slices
from engine.domain.bots import BotState
from engine.domain.events import BookMarked, ReferencePriced, TimerFired
from engine.domain.instruments import InstrumentId

MARKETS = 1_000
ORACLE = "oracle:btc"
MS = 1_000_000
S = 1_000 * MS
Make = Callable[..., Any]


@pytest.fixture
def script(make_script: Make) -> Any:
    return make_script(references=(ORACLE,), timer_ns=1_000 * S, replan_ns_min=50 * MS)


@pytest.fixture
def stage(make_stage: Make, make_bot: Make, script: Any) -> Any:
    """A desk with one bot in a thousand markets that follow one oracle."""
    stage = make_stage(make_bot(strategy=script, instruments_max=MARKETS))
    for number in range(MARKETS):
        stage.list(InstrumentId(f"venue:{number}"))
    stage.at(stage.now + 100 * MS)
    script.asked.clear()
    stage.inputs.clear()
    stage.core._slices = Slices()
    return stage


def oracle(stage: Any, price: float) -> None:
    event = ReferencePriced(key=ORACLE, price_e8=int(price * 1e8))
    stage.core.market(event, stage.now)


def turns(stage: Any, script: Any) -> list[int]:
    """Turn until nothing is left over; return how many markets each turn evaluated."""
    counts = []
    while stage.core.due_ns <= stage.now:
        before = len(script.asked)
        stage.effects += stage.core.turn(stage.now)
        counts.append(len(script.asked) - before)
        assert len(counts) < MARKETS
    return counts


def test_an_oracle_that_wakes_a_thousand_markets_is_answered_in_slices(
    stage: Any, script: Any
) -> None:
    oracle(stage, 100.0)
    counts = turns(stage, script)
    assert max(counts) == AT_ONCE
    assert sum(counts) == MARKETS
    assert len({name for name, *_ in script.asked}) == MARKETS
    assert not stage.core.crowded


def test_a_market_that_waits_and_is_woken_again_is_evaluated_once(stage: Any, script: Any) -> None:
    """An oracle that is faster than the desk piles nothing up."""
    oracle(stage, 100.0)
    for tick in range(5):
        stage.effects += stage.core.turn(stage.now)
        assert stage.core.crowded
        stage.now += 10 * MS
        oracle(stage, 101.0 + tick)
        assert len(stage.core._ready) <= MARKETS
    turns(stage, script)
    evaluated = [name for name, *_ in script.asked]
    assert len(set(evaluated)) == MARKETS
    assert len(evaluated) <= MARKETS + 5 * AT_ONCE


def test_a_desk_that_is_not_sliced_evaluates_all_in_one_turn(stage: Any, script: Any) -> None:
    stage.core._slices = None
    oracle(stage, 100.0)
    assert turns(stage, script) == [MARKETS]


def test_a_market_that_waits_is_not_evaluated_when_its_bot_was_paused(
    stage: Any, script: Any
) -> None:
    oracle(stage, 100.0)
    stage.effects += stage.core.turn(stage.now)
    stage.core.bots[0].state = BotState.PAUSED
    turns(stage, script)
    assert len(script.asked) == AT_ONCE


def test_a_thousand_marks_of_a_second_are_made_in_slices_before_the_clock_is_looked_at(
    stage: Any, script: Any, intent: Make
) -> None:
    script.say = lambda context, _: (intent(context, bid=4_700),)
    oracle(stage, 100.0)
    turns(stage, script)
    script.say = lambda *_: ()
    stage.inputs.clear()
    stage.now = stage.now - stage.now % S + S
    marks = []
    while stage.core.due_ns <= stage.now:
        before = sum(type(one) is BookMarked for one in stage.inputs)
        stage.effects += stage.core.turn(stage.now)
        marks.append(sum(type(one) is BookMarked for one in stage.inputs) - before)
    seconds = [n for n, one in enumerate(stage.inputs) if type(one) is TimerFired]
    assert max(marks) <= MARKED_AT_ONCE + AT_ONCE
    assert sum(marks) >= MARKETS
    assert len(seconds) == 1
    assert sum(type(one) is BookMarked for one in stage.inputs[: seconds[0]]) >= MARKETS
