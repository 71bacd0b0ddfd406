"""The book alone: turns, prices, amounts; and the same against a book of ten lines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.instruments import Side
from engine.errors import BrokenInvariant
from engine.venues.demo.matching import MatchingBook
from tests.venues.demo.builders import live


def test_the_best_price_trades_first_and_at_its_own_price() -> None:
    book = MatchingBook()
    for number, level in ((1, 5_200), (2, 5_000), (3, 5_100)):
        book.rest(live(number, False, level, 10))
    matches = book.match(live(4, True, 5_100, 15))
    assert [(maker.number, maker.level, size) for maker, size in matches] == [
        (2, 5_000, 10),
        (3, 5_100, 5),
    ]
    assert book.best_ask == 5_100


def test_the_oldest_order_of_a_level_trades_first() -> None:
    book = MatchingBook()
    for number in (1, 2, 3):
        book.rest(live(number, True, 5_000, 10))
    first = book.resting()[0]
    book.remove(first)
    book.rest(first)
    matches = book.match(live(4, False, 5_000, 25))
    assert [(maker.number, size) for maker, size in matches] == [(2, 10), (3, 10), (1, 5)]


def test_changes_tell_each_touched_level_with_its_new_size() -> None:
    book = MatchingBook()
    book.rest(live(1, False, 5_000, 10))
    book.rest(live(2, False, 5_100, 10))
    assert book.take_changes() == ((Side.SELL, 5_000, 10), (Side.SELL, 5_100, 10))
    book.match(live(3, True, 5_100, 12))
    assert book.take_changes() == ((Side.SELL, 5_000, 0), (Side.SELL, 5_100, 8))
    assert book.take_changes() == ()


def test_an_order_that_crosses_may_not_rest() -> None:
    book = MatchingBook()
    book.rest(live(1, False, 5_000, 10))
    with pytest.raises(BrokenInvariant):
        book.rest(live(2, True, 5_000, 10))


def test_available_and_preview_change_nothing_and_agree() -> None:
    book = MatchingBook()
    for number, level in ((1, 5_000), (2, 4_900), (3, 4_800)):
        book.rest(live(number, True, level, 10))
    assert book.available(False, 4_900, 100) == 20
    assert book.preview(False, 4_900, 15) == [(5_000, 10), (4_900, 5)]
    assert book.available(False, 4_900, 15) == 15
    assert book.depth()[0] == ((5_000, 10), (4_900, 10), (4_800, 10))


def test_a_loaded_book_keeps_its_turns() -> None:
    book = MatchingBook()
    for number in (1, 2, 3):
        book.rest(live(number, True, 5_000, 10))
    book.match(live(4, False, 5_000, 4))
    other = MatchingBook()
    other.load(book.resting(), book.turn)
    assert other.depth() == book.depth()
    assert [maker.number for maker, _ in other.match(live(5, False, 5_000, 20))] == [1, 2, 3]
    assert other.count == 1


class NaiveBook:
    """Every resting order in one list; sorted anew for each match."""

    def __init__(self) -> None:
        self.orders: list[list[int]] = []  # [number, bid, level, remaining]

    def match(self, number: int, bid: bool, level: int, size: int) -> list[tuple[int, int]]:
        sign = 1 if bid else -1
        facing = [o for o in self.orders if bool(o[1]) != bid and sign * (level - o[2]) >= 0]
        facing.sort(key=lambda order: sign * order[2])  # stable: the oldest stays first
        matches = []
        for order in facing:
            traded = min(order[3], size)
            if traded:
                order[3] -= traded
                size -= traded
                matches.append((order[0], traded))
        self.orders = [order for order in self.orders if order[3]]
        if size:
            self.orders.append([number, bid, level, size])
        return matches


STEPS = st.lists(
    st.tuples(st.booleans(), st.integers(45, 55), st.integers(1, 30), st.integers(0, 3)),
    max_size=60,
)


@given(STEPS)
def test_the_book_matches_like_the_naive_one(steps: list[tuple[bool, int, int, int]]) -> None:
    book, naive = MatchingBook(), NaiveBook()
    for number, (bid, cents, size, removal) in enumerate(steps, start=1):
        resting = book.resting()
        if removal == 0 and resting:
            gone = resting[size % len(resting)]
            book.remove(gone)
            naive.orders = [order for order in naive.orders if order[0] != gone.number]
            continue
        order = live(number, bid, cents * 100, size)
        would = book.available(bid, order.level, size)
        matches = [(maker.number, traded) for maker, traded in book.match(order)]
        if order.remaining:
            book.rest(order)
        assert matches == naive.match(number, bid, cents * 100, size)
        assert would == sum(traded for _, traded in matches)
        kept = {order.number: order.remaining for order in book.resting()}
        assert kept == {order[0]: order[3] for order in naive.orders}
        assert book.count == len(kept)
        bids, asks = book.depth()
        assert not bids or not asks or bids[0][0] < asks[0][0]
