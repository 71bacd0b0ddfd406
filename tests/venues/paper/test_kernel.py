"""The compiled arithmetic against the plain one, at sizes where 64 bits would overflow, too."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.lab.replay import kernel_code
from engine.venues.paper import kernel, queue
from engine.venues.paper.columns import BID, LAST, OP, OTHER, PRICE, SIZE, SIZE_MAX, SOLD, WIDTH

sizes = st.one_of(st.integers(0, 50), st.integers(0, SIZE_MAX))


@pytest.fixture(autouse=True, scope="module")
def _compiled() -> Iterator[None]:
    """Let the kernel's functions be compiled ones here: their numbers have 64 bits."""
    plain = dict(vars(kernel))
    kernel_code.jitted()
    yield
    vars(kernel).update(plain)


@settings(deadline=None, max_examples=300)
@given(part=sizes, of=sizes, whole=st.integers(1, SIZE_MAX))
def test_share_is_exact(part: int, of: int, whole: int) -> None:
    part, of = min(part, whole), min(of, whole)
    assert kernel.share(part, of, whole) == part * of // whole


@settings(deadline=None, max_examples=300)
@given(percent=st.integers(0, 100), ahead=sizes, standing=sizes, after=sizes)
def test_what_is_ahead_is_what_the_plain_queue_says(
    percent: int, ahead: int, standing: int, after: int
) -> None:
    after = min(after, standing)
    expected = queue.ahead_after(percent, ahead, standing, after)
    assert kernel.ahead_after(percent, ahead, standing, after) == expected


def test_a_print_waits_for_its_fall_equally_long() -> None:
    assert kernel.PRINT_NS_MAX == queue.PRINT_NS_MAX


def rows(*given_: tuple[int, int, int, int]) -> np.ndarray:
    table = np.zeros((len(given_), WIDTH), np.int64)
    table[:, (OP, PRICE, SIZE, LAST)] = given_
    return table


@pytest.mark.parametrize(
    ("given_", "end"),
    [
        (((BID, 5, 1, 1),), 1),
        (((BID, 5, 1, 0), (BID, 6, 1, 1)), 2),
        (((SOLD, 5, 1, 1),), 1),
        (((OTHER, 0, 0, 1),), 0),
        (((-1, 5, 1, 1),), 0),
        (((BID, 10, 1, 1),), 0),
        (((BID, -1, 1, 1),), 0),
        (((BID, 5, SIZE_MAX + 1, 1),), 0),
        (((BID, 5, -1, 1),), 0),
        (((BID, 5, 1, 0), (SOLD, 6, 1, 1)), 0),
        (((SOLD, 6, 1, 0), (BID, 5, 1, 1)), 0),
        (((BID, 5, 1, 0),), 0),
        (((BID, 5, 1, 0),) * kernel.CHANGES_MAX + ((BID, 5, 1, 1),), 0),
    ],
)
def test_only_whole_events_within_the_grid_are_taken(
    given_: tuple[tuple[int, int, int, int], ...], end: int
) -> None:
    assert kernel.end_of(rows(*given_), 0, 10) == end
