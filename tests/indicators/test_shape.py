from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.books import Book
from engine.indicators.shape import book_microprice, microprice, order_imbalance


def book(bids: list[tuple[int, int]], asks: list[tuple[int, int]]) -> Book:
    made = Book()
    made.replace(bids, asks)
    return made


def test_equal_sizes_give_the_mid() -> None:
    assert microprice(4900, 10, 5100, 10) == 5000


def test_a_heavy_bid_pushes_towards_the_ask() -> None:
    assert microprice(4900, 30, 5100, 10) == 5050


@given(st.integers(1, 9_998), st.integers(1, 500), st.integers(1, 10**12), st.integers(1, 10**12))
def test_microprice_lies_between_bid_and_ask(bid: int, gap: int, left: int, right: int) -> None:
    assert bid <= microprice(bid, left, bid + gap, right) <= bid + gap


def test_book_microprice_reads_the_best_levels_only() -> None:
    assert book_microprice(book([(4900, 30), (4800, 99)], [(5100, 10), (5200, 1)])) == 5050


@pytest.mark.parametrize("sides", [([], [(5100, 1)]), ([(4900, 1)], []), ([], [])])
def test_a_one_sided_book_has_no_microprice(
    sides: tuple[list[tuple[int, int]], list[tuple[int, int]]],
) -> None:
    assert book_microprice(book(*sides)) is None


def test_imbalance_counts_the_asked_levels() -> None:
    made = book([(49, 30), (48, 70), (47, 1000)], [(51, 10), (52, 90)])
    assert order_imbalance(made, 1) == pytest.approx(0.5)
    assert order_imbalance(made, 2) == 0.0


def test_imbalance_of_one_side_is_one_and_of_nothing_unknown() -> None:
    assert order_imbalance(book([(49, 30)], []), 3) == 1.0
    assert order_imbalance(book([], [(51, 3)]), 3) == -1.0
    assert order_imbalance(book([], []), 3) is None
