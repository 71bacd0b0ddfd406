"""The naive maker: which of its fills count, and against which mid."""

from __future__ import annotations

import math

import pytest

from engine.venues.demo.exchange import DemoExchange
from studies.calibration import MARKOUT_S, NaiveMaker, markout_stats
from tests.venues.demo.builders import BOB, CAT, COIN, S, buy_no, buy_yes, exchange, put


@pytest.fixture
def made() -> DemoExchange:
    """A running market, one cent wide: Bob bids 50 cents, Cat asks 51."""
    made = exchange()
    made.listing.prove_strike(COIN, 1, "test")
    put(made, BOB, buy_yes("bid", 50, 10))
    put(made, CAT, buy_no("ask", 49, 10))
    return made


def marked(made: DemoExchange, maker: NaiveMaker) -> list[float]:
    start_ns = made.now_ns
    for second in range(2, 3 + MARKOUT_S):
        made.advance(start_ns + second * S)
        maker.second(made.now_ns, second)
    return maker.markouts


@pytest.mark.parametrize("shares", [12, 15, 40], ids=["in part", "wholly", "and beyond"])
def test_a_fill_counts_however_much_of_the_quote_it_takes(
    made: DemoExchange, shares: float
) -> None:
    maker = NaiveMaker(made)
    maker.second(made.now_ns, 1)
    # Bob's ten shares stand ahead of the five of the quote; he comes back two cents lower.
    put(made, CAT, buy_no("taker", 50, shares))
    made.cancel(CAT, buy_no("taker", 50, shares).identity, made.now_ns)
    put(made, BOB, buy_yes("lower", 48, 10))
    made.cancel(CAT, buy_no("ask", 49, 10).identity, made.now_ns)
    put(made, CAT, buy_no("near", 51, 10))
    (markout,) = marked(made, maker)
    assert markout == pytest.approx(-1.5)


def test_nothing_filled_is_nothing_marked(made: DemoExchange) -> None:
    maker = NaiveMaker(made)
    maker.second(made.now_ns, 1)
    assert marked(made, maker) == []
    assert math.isnan(markout_stats([])[1])


def test_the_mean_comes_with_its_error() -> None:
    assert markout_stats([-1.0, -3.0]) == (2, -2.0, 1.0)
