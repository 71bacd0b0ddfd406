"""Where cancels come from, seen in the exchange; and the share that says the same of all."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.venues.demo.exchange import DemoExchange
from engine.venues.paper.queue import ahead_after
from studies.compare.queues import Cancels, Queues, share_of
from tests.venues.demo.builders import ANN, BOB, CAT, COIN, SHARE, buy_yes, exchange, put, sell_yes

CHANGED = {COIN}


@pytest.fixture
def made() -> DemoExchange:
    """Bob stands ahead of Ann with ten shares, Cat behind her with thirty."""
    made = exchange()
    put(made, BOB, buy_yes("first", 50, 10))
    put(made, ANN, buy_yes("ours", 50, 5))
    put(made, CAT, buy_yes("last", 50, 30))
    return made


def test_a_cancel_ahead_and_one_behind_are_told_apart(made: DemoExchange) -> None:
    queues = Queues(made, ANN)
    put(made, BOB, buy_yes("more", 50, 20))
    queues.step(CHANGED, ())
    made.cancel(BOB, buy_yes("more", 50, 20).identity, made.now_ns)
    queues.step(CHANGED, ())
    made.cancel(BOB, buy_yes("first", 50, 10).identity, made.now_ns)
    queues.step(CHANGED, ())
    ten, twenty, thirty = 10 * SHARE, 20 * SHARE, 30 * SHARE
    assert queues.found == [
        Cancels(ten, thirty + twenty, twenty, 0),
        Cancels(ten, thirty, ten, ten),
    ]


def test_where_nothing_stands_on_one_side_there_is_nothing_to_learn(made: DemoExchange) -> None:
    queues = Queues(made, ANN)
    made.cancel(BOB, buy_yes("first", 50, 10).identity, made.now_ns)
    queues.step(CHANGED, ())
    made.cancel(CAT, buy_yes("last", 50, 30).identity, made.now_ns)
    queues.step(CHANGED, ())
    assert queues.found == []


def test_what_traded_is_no_cancel(made: DemoExchange) -> None:
    queues = Queues(made, ANN)
    queues.step(CHANGED, ())
    made.convert(CAT, COIN, 50 * SHARE, made.now_ns)
    put(made, CAT, sell_yes("taker", 50, 10))
    queues.step(CHANGED, CHANGED)
    assert queues.found == []


def test_the_share_is_the_one_with_which_the_model_takes_as_much() -> None:
    whole = Cancels(6_000, 3_000, 3_000, 6_000 - ahead_after(75, 6_000, 9_000, 6_000))
    assert share_of([whole]) == pytest.approx(75, abs=0.1)
    assert share_of([Cancels(60, 30, 30, 20)]) == pytest.approx(50)
    assert share_of([Cancels(20, 80, 50, 0)]) == pytest.approx(0, abs=1e-6)
    assert share_of([whole, Cancels(20, 80, 50, 0)]) < 75
    assert math.isnan(share_of([]))


@given(st.lists(st.tuples(st.integers(1, 99), st.integers(1, 99), st.floats(0, 1)), min_size=1))
def test_the_share_stays_a_share(rows: list[tuple[int, int, float]]) -> None:
    cancels = [Cancels(a, b, a, round(a * part)) for a, b, part in rows]
    assert 0 <= share_of(cancels) <= 100
