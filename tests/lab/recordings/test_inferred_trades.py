from engine.domain.fills import SizeSource
from engine.domain.instruments import Side
from engine.lab.recordings.inferred_trades import read_trade, size_at

BIDS = ((4_700, 50), (4_800, 300))
ASKS = ((5_300, 20), (5_200, 80))


def test_price_on_both_touches_is_ambiguous():
    after = (((4_700, 50), (4_800, 100)), ASKS)
    told = read_trade(4_800, (BIDS, ASKS), after)
    assert told == (4_800, None, None, SizeSource.UNKNOWN)


def test_bid_that_was_hit_fell_by_the_size():
    wide = (BIDS, ((5_300, 20),))
    after = (((4_700, 50), (4_800, 100)), wide[1])
    assert read_trade(4_800, wide, after) == (4_800, Side.SELL, 200, SizeSource.INFERRED)


def test_level_that_is_gone_fell_to_nothing():
    after = (((4_700, 50),), ASKS)
    wide = (BIDS, ((5_300, 20),))
    assert read_trade(4_800, wide, after) == (4_800, Side.SELL, 300, SizeSource.INFERRED)


def test_other_reading_of_the_price_is_the_complement():
    book = (((8_000, 9),), ((8_100, 9),))
    after = (((8_000, 4),), ((8_100, 9),))
    assert read_trade(2_000, book, after) == (8_000, Side.SELL, 5, SizeSource.INFERRED)


def test_touch_of_the_book_after_tells_the_side_where_the_one_before_does_not():
    after = (BIDS, ((5_300, 20), (5_100, 5)))
    taken = read_trade(5_100, (((4_700, 50),), ASKS), after)
    assert (taken.aggressor, taken.size, taken.source) == (Side.BUY, None, SizeSource.UNKNOWN)


def test_unknown_book_before_leaves_the_size_unknown():
    assert read_trade(4_700, None, (((4_700, 50),), ASKS)).size is None


def test_price_on_no_touch_is_the_reading_nearer_to_the_middle():
    book = (((8_000, 9),), ((8_300, 9),))
    assert read_trade(1_800, book, book) == (8_200, None, None, SizeSource.UNKNOWN)


def test_half_has_one_reading():
    book = (((5_000, 9),), ((5_100, 9),))
    assert read_trade(5_000, book, (((5_000, 4),), ((5_100, 9),))).size == 5


def test_size_at_finds_levels_of_either_order():
    assert [size_at(BIDS, price) for price in (4_700, 4_750, 4_800)] == [50, 0, 300]
    assert [size_at(ASKS, price) for price in (5_200, 5_250, 5_300)] == [80, 0, 20]
    assert size_at((), 5_000) == 0
    assert size_at(((5_000, 7),), 5_000) == 7
