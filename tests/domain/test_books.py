from hypothesis import given
from hypothesis import strategies as st

from engine.domain.books import Book, microprice
from engine.domain.instruments import Side

changes = st.lists(
    st.tuples(st.sampled_from(Side), st.integers(1, 30), st.integers(0, 5)), max_size=80
)


def naive(steps):
    sides = {Side.BUY: {}, Side.SELL: {}}
    for side, price, size in steps:
        sides[side][price] = size
    return [{p: s for p, s in sides[side].items() if s} for side in (Side.BUY, Side.SELL)]


@given(changes)
def test_a_book_of_changes_equals_a_dictionary_that_remembers_the_last_size(steps):
    book = Book()
    for side, price, size in steps:
        book.apply(((side, price, size),))
    bids, asks = naive(steps)
    assert (book.bids, book.asks) == (bids, asks)
    assert book.bid_prices == sorted(bids)
    assert book.ask_prices == sorted(asks)
    assert book.best_bid == max(bids, default=None)
    assert book.best_ask == min(asks, default=None)
    assert book.crossed == bool(bids and asks and max(bids) >= min(asks))
    assert book.depth(Side.BUY, 3) == sorted(bids.items(), reverse=True)[:3]
    assert book.depth(Side.SELL, 3) == sorted(asks.items())[:3]


@given(changes)
def test_a_batch_gives_the_same_book_as_its_changes_one_by_one(steps):
    batch, single = Book(), Book()
    batch.apply(steps)
    for step in steps:
        single.apply((step,))
    assert (batch.bids, batch.asks) == (single.bids, single.asks)
    assert (batch.bid_prices, batch.ask_prices) == (single.bid_prices, single.ask_prices)


@given(changes, changes)
def test_a_snapshot_forgets_everything_before_it(before, after):
    book = Book()
    book.apply(before)
    bids, asks = naive(after)
    book.replace(bids.items(), asks.items())
    assert (book.bids, book.asks) == (bids, asks)
    assert book.bid_prices == sorted(bids)


def test_levels_of_size_zero_are_left_out_of_a_snapshot():
    book = Book()
    book.replace([(10, 0), (9, 3)], [(11, 0)])
    assert book.best_bid == 9
    assert book.best_ask is None
    assert book.bids == {9: 3}


def test_removing_a_level_that_is_not_there_changes_nothing():
    book = Book()
    book.apply(((Side.SELL, 5, 0),))
    assert book.ask_prices == []


def test_equal_sizes_give_the_mid() -> None:
    assert microprice(4900, 10, 5100, 10) == 5000


def test_a_heavy_bid_pushes_towards_the_ask() -> None:
    assert microprice(4900, 30, 5100, 10) == 5050


@given(st.integers(1, 9_998), st.integers(1, 500), st.integers(1, 10**12), st.integers(1, 10**12))
def test_microprice_lies_between_bid_and_ask(bid: int, gap: int, left: int, right: int) -> None:
    assert bid <= microprice(bid, left, bid + gap, right) <= bid + gap
