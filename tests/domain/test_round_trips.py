"""Round trips against a naive list of them, and the edges: through flat, resolved, still open."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.round_trips import RoundTrips

S = 1_000_000_000
fill = st.tuples(st.booleans(), st.integers(1, 50), st.integers(1, 9), st.integers(0, 3))


def told(fills: list[tuple[bool, int, int, int]]) -> RoundTrips:
    made = RoundTrips()
    for at, (bought, price, size, fee) in enumerate(fills):
        made.on_fill(
            "m", bought=bought, price=float(price), size=float(size), fee=float(fee), now_ns=at * S
        )
    return made


def naive(fills: list[tuple[bool, int, int, int]]) -> list[tuple[float, float]]:
    """Unit by unit: the position's path, cut where it is at zero."""
    trips, position, cash, opened = [], 0, 0.0, 0
    for at, (bought, price, size, fee) in enumerate(fills):
        for _ in range(size):
            if position == 0:
                opened = at
            position += 1 if bought else -1
            cash += (-price if bought else price) - fee / size
            if position == 0:
                trips.append((cash, float(at - opened)))
                cash = 0.0
    return trips


@given(st.lists(fill, max_size=40))
def test_round_trips_are_those_of_a_naive_walk(fills: list[tuple[bool, int, int, int]]) -> None:
    made, wanted = told(fills), naive(fills)
    assert made.count == len(wanted)
    assert made.results == pytest.approx([cash for cash, _ in wanted], abs=1e-6)
    assert made.held_s == [held for _, held in wanted]
    assert made.traded == sum(price * size for _, price, size, _ in fills)


def test_figures_are_of_the_results() -> None:
    found = told([(True, 10, 2, 1), (False, 15, 2, 1), (True, 10, 1, 0), (False, 9, 1, 0)])
    assert found.results == [8.0, -1.0]
    summary = found.summary()
    assert (summary["count"], summary["win_rate"], summary["expectancy"]) == (2, 0.5, 3.5)
    assert (summary["profit_factor"], summary["held_s_median"]) == (8.0, 1.0)


def test_a_resolved_market_ends_a_round_trip_and_an_open_one_counts_as_none() -> None:
    made = told([(True, 10, 2, 1)])
    assert (made.summary()["count"], made.summary()["open"]) == (0, 1)
    assert made.summary()["expectancy"] is None
    made.on_resolved("m", 1.0, 60 * S)
    made.on_resolved("other", 1.0, 60 * S)
    assert made.results == [-19.0]
    assert made.held_s == [60.0]
