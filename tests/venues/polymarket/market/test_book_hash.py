import hashlib

import pytest

from engine.venues.polymarket.market.book_hash import (
    GRID,
    completes,
    end_of,
    ends,
    find,
    head_of,
    price_text,
    stem,
    thousandths,
    touches,
)

TEXT = (
    '{"market":"0xab","asset_id":"77","timestamp":"1776081408433","hash":"",'
    '"bids":[{"price":"0.01","size":"5"}],"asks":[],"min_order_size":"5","tick_size":"0.01",'
    '"neg_risk":false,"last_trade_price":"0.480"}'
)


def root():
    head = head_of("0xab", "77")
    return stem(head, "1776081408433", b'[{"price":"0.01","size":"5"}]', b"[]")


def test_hash_is_sha1_of_exactly_this_text():
    expected = hashlib.sha1(TEXT.encode()).hexdigest()
    assert completes(root(), expected, end_of("0.01", "0.480"))
    assert not completes(root(), expected, end_of("0.001", "0.480"))
    assert not completes(root(), expected, end_of("0.01", "0.480", neg_risk=True))


def test_search_finds_what_was_left_out():
    expected = hashlib.sha1(TEXT.encode()).hexdigest()
    assert find(root(), expected, ends("0.01"), GRID) == 480
    assert find(root(), expected, ends("0.001"), GRID) is None
    assert find(root(), expected, ends("0.01"), (1, 2, 3)) is None


def test_grid_is_every_thousandth_once_whole_cents_first():
    assert sorted(GRID) == list(range(1_001))
    assert GRID[:3] == (0, 10, 20)


def test_touches_come_in_both_readings():
    book = (((4_800, 1),), ((5_300, 1),))
    assert touches(book, ((), ())) == [480, 520, 470, 530]


@pytest.mark.parametrize("text", ["0.000", "0.480", "1.000"])
def test_last_price_round_trips(text):
    assert price_text(thousandths(text)) == text


@pytest.mark.parametrize("text", ["", "0.5", "0.5000", "1.001", "0,500", "-.500", "0.5x0"])
def test_other_spellings_are_no_last_price(text):
    assert thousandths(text) is None
