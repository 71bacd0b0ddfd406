import pytest

from engine.caches import markets
from engine.caches.markets import MarketCache
from engine.caches.views import KEYS_OBSERVED_MAX, OBSERVED_KEPT
from engine.domain.events import (
    BookChanged,
    BookDistrusted,
    BookProven,
    BookReplaced,
    FeedLost,
    InstrumentClosed,
    InstrumentListed,
    ReferencePriced,
    StrikeProven,
    TradePrinted,
)
from engine.domain.instruments import Instrument, InstrumentId, Kind, Side
from engine.domain.observed_events import Observed
from engine.domain.perpetual_events import MarkPriced
from engine.errors import BadInput, BrokenInvariant

ID = InstrumentId("polymarket:0xabc")


def instrument(name=ID, tick=100):
    return Instrument(
        id=name, kind=Kind.BINARY, currency="pUSD", price_decimals=4, size_decimals=6,
        tick=tick, lot=10_000,
    )  # fmt: skip


@pytest.fixture
def cache():
    cache = MarketCache()
    cache.receive(InstrumentListed(instrument=instrument()), 1)
    return cache


def snapshot(bids=((4900, 5),), asks=((5100, 7),)):
    return BookReplaced(instrument=ID, bids=bids, asks=asks)


def test_a_book_is_not_trusted_before_its_first_snapshot(cache):
    view = cache.views[ID]
    assert not view.trusted
    assert view.age_ns(10) is None
    cache.receive(snapshot(), 5)
    assert view.trusted
    assert (view.best_bid, view.best_ask, view.mid2) == (4900, 5100, 10_000)
    assert view.age_ns(12) == 7


def test_a_one_sided_book_keeps_the_last_two_sided_mid_and_its_time(cache):
    cache.receive(snapshot(), 5)
    cache.receive(BookChanged(instrument=ID, changes=((Side.SELL, 5100, 0),)), 9)
    view = cache.views[ID]
    assert view.best_ask is None
    assert (view.mid2, view.two_sided_ns, view.proof_ns) == (10_000, 5, 9)


def test_a_distrusted_book_is_trusted_again_only_by_a_snapshot(cache):
    cache.receive(snapshot(), 5)
    cache.receive(BookDistrusted(instrument=ID, reason="hash"), 6)
    cache.receive(BookChanged(instrument=ID, changes=((Side.BUY, 4900, 6),)), 7)
    assert not cache.views[ID].trusted
    assert cache.views[ID].distrust == "hash"
    cache.receive(snapshot(), 8)
    assert cache.views[ID].trusted


def test_a_lost_feed_distrusts_every_book_and_a_lost_instrument_its_own(cache):
    other = InstrumentId("polymarket:0xdef")
    cache.receive(InstrumentListed(instrument=instrument(other)), 1)
    cache.receive(snapshot(), 5)
    cache.receive(BookReplaced(instrument=other, bids=(), asks=()), 5)
    cache.receive(FeedLost(feed="market", instrument=other, reason="gap"), 6)
    assert cache.views[ID].trusted
    assert not cache.views[other].trusted
    cache.receive(FeedLost(feed="market", instrument=None, reason="closed"), 7)
    assert not cache.views[ID].trusted


def test_a_quiet_market_is_proven_without_a_change(cache):
    cache.receive(snapshot(), 5)
    cache.receive(BookProven(instrument=ID), 50)
    assert cache.views[ID].age_ns(51) == 1
    assert cache.views[ID].two_sided_ns == 5


def test_events_of_unlisted_instruments_are_counted_and_change_nothing(cache):
    other = InstrumentId("polymarket:0xdef")
    cache.receive(BookChanged(instrument=other, changes=()), 1)
    cache.receive(BookReplaced(instrument=other, bids=(), asks=()), 1)
    cache.receive(TradePrinted(instrument=other, price=1, size=1, aggressor=None), 1)
    assert cache.orphans == 3
    assert list(cache.views) == [ID]


def test_metadata_and_strikes_are_updated_in_place(cache):
    cache.receive(snapshot(), 5)
    cache.receive(InstrumentListed(instrument=instrument(tick=10)), 6)
    cache.receive(StrikeProven(instrument=ID, strike_e8=42, provenance="oracle"), 7)
    view = cache.views[ID]
    assert (view.instrument.tick, view.instrument.strike_e8) == (10, 42)
    assert view.trusted


def test_trades_references_and_closing_are_remembered(cache):
    cache.receive(TradePrinted(instrument=ID, price=5000, size=None, aggressor=None), 2)
    cache.receive(ReferencePriced(key="chainlink:btc/usd", price_e8=7, exchange_ns=1), 3)
    cache.receive(InstrumentClosed(instrument=ID), 4)
    assert cache.views[ID].last_trade == 5000
    assert cache.views[ID].closed
    reference = cache.references.get("chainlink:btc/usd")
    assert (reference.price_e8, reference.at_ns) == (7, 3)
    assert cache.references.get("binance:btcusdt") is None


def test_the_venues_mark_is_remembered_with_its_time_and_a_mark_of_0_is_refused(cache):
    assert cache.views[ID].mark_e8 is None
    cache.receive(MarkPriced(instrument=ID, mark_e8=6_500_012_345_678), 7)
    assert (cache.views[ID].mark_e8, cache.views[ID].marked_ns) == (6_500_012_345_678, 7)
    cache.receive(MarkPriced(instrument=InstrumentId("x:y"), mark_e8=1), 8)
    assert set(cache.views) == {ID}
    with pytest.raises(BadInput, match="a mark of 0 is not above 0"):
        MarkPriced(instrument=ID, mark_e8=0)
    with pytest.raises(BadInput, match="an index of -1"):
        MarkPriced(instrument=ID, mark_e8=1, index_e8=-1)


def test_the_venues_mark_stands_for_the_mid_until_the_book_has_both_sides(cache):
    view = cache.views[ID]
    cache.receive(MarkPriced(instrument=ID, mark_e8=30_000_000), 7)
    assert (view.mid2, view.two_sided_ns, view.trusted) == (6_000, 7, False)
    cache.receive(snapshot(), 8)
    mid2 = view.mid2
    cache.receive(MarkPriced(instrument=ID, mark_e8=30_000_000), 9)
    assert mid2 != 6_000
    assert (view.mid2, view.two_sided_ns) == (mid2, 8)
    cache.receive(BookReplaced(instrument=ID, bids=((4_800, 1),), asks=(), exchange_ns=None), 10)
    cache.receive(MarkPriced(instrument=ID, mark_e8=31_000_000), 11)
    assert (view.mid2, view.two_sided_ns) == (6_200, 11)


def test_forgetting_a_closed_instrument_keeps_the_cache_bounded(cache, monkeypatch):
    monkeypatch.setattr(markets, "INSTRUMENTS_MAX", 1)
    with pytest.raises(BrokenInvariant, match="more than 1 instruments"):
        cache.receive(InstrumentListed(instrument=instrument(InstrumentId("x:y"))), 2)
    cache.forget(ID)
    cache.receive(InstrumentListed(instrument=instrument(InstrumentId("x:y"))), 3)
    assert list(cache.views) == ["x:y"]


def said(key, value, at_ns=1):
    return Observed(key=key, value=value, at_ns=at_ns, trust=0.5, source="a script")


def test_observations_are_kept_by_key_the_last_ones_alone(cache):
    for number in range(OBSERVED_KEPT + 3):
        cache.receive(said("poll:senate", float(number)), 10 + number)
    last = cache.observed.last("poll:senate")
    assert last.event.value == OBSERVED_KEPT + 2
    assert last.received_ns == 10 + OBSERVED_KEPT + 2
    assert [one.event.value for one in cache.observed.kept("poll:senate")] == [
        float(number) for number in range(3, OBSERVED_KEPT + 3)
    ]
    assert cache.observed.last("poll:house") is None
    assert cache.observed.kept("poll:house") == ()


def test_beyond_the_most_keys_the_one_longest_unheard_of_is_forgotten(cache):
    for number in range(KEYS_OBSERVED_MAX):
        cache.receive(said(f"key:{number}", 1.0), number)
    cache.receive(said("key:0", 2.0), 5_000)
    cache.receive(said("key:new", 1.0), 5_001)
    assert cache.observed.last("key:1") is None
    assert cache.observed.last("key:0").event.value == 2.0
