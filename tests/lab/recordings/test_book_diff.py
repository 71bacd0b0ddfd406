from hypothesis import given
from hypothesis import strategies as st

from engine.domain.books import Book
from engine.lab.recordings.inferred_trades import changes_between

levels = st.dictionaries(st.integers(1, 40), st.integers(1, 4), max_size=25)


def sides(bids, asks):
    return tuple(sorted(bids.items())), tuple(sorted(asks.items(), reverse=True))


@given(levels, levels, levels, levels)
def test_the_changes_turn_the_first_book_into_the_second(bids, asks, later_bids, later_asks):
    before, after = sides(bids, asks), sides(later_bids, later_asks)
    book = Book()
    book.replace(*before)
    book.apply(changes_between(before, after))
    assert (book.bids, book.asks) == (later_bids, later_asks)
    assert book.bid_prices == sorted(later_bids)


@given(levels, levels)
def test_equal_books_have_no_changes_even_where_their_levels_are_other_objects(bids, asks):
    again = tuple(tuple((price, size) for price, size in side) for side in sides(bids, asks))
    assert changes_between(sides(bids, asks), again) == ()


def test_a_level_that_went_is_told_with_size_zero():
    assert changes_between((((10, 5),), ()), ((), ())) == (("buy", 10, 0),)
