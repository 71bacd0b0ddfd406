"""The twins of orders that rest in the exchange: same place, same takers, same end."""

from __future__ import annotations

import pytest

from engine.venues.demo.exchange import DemoExchange
from studies.compare.day import Twins
from studies.compare.run import papers
from tests.venues.demo.builders import ANN, BOB, CAT, SHARE, buy_no, buy_yes, exchange, put


@pytest.fixture
def made() -> DemoExchange:
    """Bob bids 50 cents for ten shares."""
    made = exchange()
    made.take_public()
    return made


def twins_of(made: DemoExchange) -> Twins:
    twins = Twins(made, ANN, papers())
    twins.receive([(made.now_ns, event) for event in made.opening()])
    return twins


def look(made: DemoExchange, twins: Twins) -> None:
    twins.receive(made.take_public())
    twins.follow(made.now_ns)


def filled(twins: Twins) -> list[float]:
    return [figures.filled / SHARE for figures in twins.figures.values()]


def test_a_twin_waits_behind_others_and_not_behind_its_own_order(made: DemoExchange) -> None:
    put(made, BOB, buy_yes("first", 50, 10))
    twins = twins_of(made)
    made.take_public()
    put(made, ANN, buy_yes("ours", 50, 5))
    look(made, twins)
    put(made, CAT, buy_no("taker", 50, 7))
    look(made, twins)
    assert filled(twins) == [0, 0, 0]
    put(made, CAT, buy_no("next", 50, 5))
    look(made, twins)
    assert filled(twins) == [2, 2, 2]
    assert {figures.placed for figures in twins.figures.values()} == {5 * SHARE}


def test_a_twin_of_a_cancelled_order_ends_with_it(made: DemoExchange) -> None:
    put(made, BOB, buy_yes("other", 49, 10))
    twins = twins_of(made)
    made.take_public()
    put(made, ANN, buy_yes("ours", 50, 5))
    look(made, twins)
    made.cancel(ANN, buy_yes("ours", 50, 5).identity, made.now_ns)
    look(made, twins)
    put(made, CAT, buy_no("taker", 51, 8))
    look(made, twins)
    assert filled(twins) == [0, 0, 0]


def test_a_late_twin_stays_until_the_next_order_of_its_side(made: DemoExchange) -> None:
    put(made, BOB, buy_yes("first", 50, 20))
    put(made, BOB, buy_yes("below", 49, 50))
    twins = twins_of(made)
    made.take_public()
    put(made, ANN, buy_yes("ours", 50, 10))
    look(made, twins)
    put(made, BOB, buy_yes("behind", 50, 20))
    look(made, twins)
    # What stood ahead is gone, and the public feed does not say that it stood ahead.
    made.cancel(BOB, buy_yes("first", 50, 20).identity, made.now_ns)
    look(made, twins)
    put(made, CAT, buy_no("taker", 50, 15))
    look(made, twins)
    pessimistic, realistic, optimistic = filled(twins)
    assert (pessimistic, optimistic) == (0, 10)
    assert 0 < realistic < 10
    put(made, CAT, buy_no("next", 50, 20))
    look(made, twins)
    assert filled(twins) == [10, 10, 10]


def test_the_next_order_ends_a_late_twin(made: DemoExchange) -> None:
    put(made, BOB, buy_yes("first", 50, 20))
    twins = twins_of(made)
    made.take_public()
    put(made, ANN, buy_yes("ours", 50, 10))
    look(made, twins)
    put(made, BOB, buy_yes("behind", 50, 20))
    look(made, twins)
    made.cancel(BOB, buy_yes("first", 50, 20).identity, made.now_ns)
    put(made, CAT, buy_no("taker", 50, 10))
    look(made, twins)
    before = filled(twins)
    put(made, ANN, buy_yes("again", 48, 10))
    look(made, twins)
    put(made, CAT, buy_no("next", 50, 20))
    look(made, twins)
    assert filled(twins) == before
