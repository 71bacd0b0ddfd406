import pytest

from engine.domain.fills import SizeSource
from engine.domain.instruments import Side
from engine.errors import BadInput
from engine.lab.recordings.inferred_trades import read_trade, size_at, size_cap

BIDS = ((4_700, 50), (4_800, 300))
ASKS = ((5_300, 20), (5_200, 80))


def test_price_on_both_touches_is_ambiguous():
    after = (((4_700, 50), (4_800, 100)), ASKS)
    trade = read_trade(4_800, (BIDS, ASKS), after)
    assert trade == (4_800, None, None, SizeSource.UNKNOWN)


def test_bid_that_was_hit_fell_by_the_size():
    wide = (BIDS, ((5_300, 20),))
    after = (((4_700, 50), (4_800, 100)), wide[1])
    assert read_trade(4_800, wide, after) == (4_800, Side.SELL, 200, SizeSource.INFERRED)


def test_cap_bounds_a_size_and_makes_none_up():
    wide = (BIDS, ((5_300, 20),))
    after = (((4_700, 50), (4_800, 100)), wide[1])
    assert read_trade(4_800, wide, after, 120) == (4_800, Side.SELL, 120, SizeSource.INFERRED)
    assert read_trade(4_800, wide, after, 500).size == 200
    assert read_trade(4_700, None, (((4_700, 50),), ASKS), 120).size is None


@pytest.mark.parametrize(("text", "cap"), [("p50", 10_000_000), ("2.5", 2_500_000), ("411", None)])
def test_cap_is_a_quantile_of_real_prints_or_shares(text, cap):
    assert size_cap(text) == (cap or size_cap("p99"))


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "p42", "many", "", "1e12", "0.0000001"])
def test_cap_that_cannot_be_is_refused_with_what_can(text):
    with pytest.raises(BadInput, match=r"number of shares above 0.*p95 \(104\.17 shares\)"):
        size_cap(text)


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
