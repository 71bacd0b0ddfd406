import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.domain.books import Book
from engine.domain.events import (
    BookChanged,
    BookDistrusted,
    BookProven,
    BookReplaced,
    FeedLost,
    FeedRestored,
    InstrumentClosed,
    InstrumentListed,
    InstrumentResolved,
    TradePrinted,
)
from engine.domain.fills import SizeSource
from engine.domain.instruments import Side
from engine.errors import BrokenInvariant
from engine.feeds.counts import FeedCounts
from engine.venues.polymarket.market import core as core_module
from engine.venues.polymarket.market.core import BATCH_NS, FORGET_AFTER_NS, MarketFeedCore
from engine.venues.polymarket.market.metadata import binary

MS = 1_000_000


def kinds(events):
    return [type(event) for event in events]


def test_snapshot_is_told_in_yes_space(core, channel, play):
    events = play(core, channel.book(channel.open_ms))
    assert kinds(events) == [BookReplaced]
    assert events[0].bids == ((4_700, 50_000_000), (4_800, 300_000_000))
    assert events[0].asks == ((5_300, 20_500_000), (5_200, 80_000_000))
    assert events[0].exchange_ns == channel.open_ms * MS
    assert core.counts.hash_matched == 1


def test_no_token_alone_is_told_mirrored(core, channel, play):
    events = play(core, channel.book(channel.open_ms, channel.no))
    assert events[0].bids == ((4_700, 50_000_000), (4_800, 300_000_000))
    assert events[0].asks == ((5_300, 20_500_000), (5_200, 80_000_000))


def test_yes_token_takes_over_from_no(core, channel, play):
    both = [channel.book(channel.open_ms, token) for token in (channel.no, channel.yes)]
    assert kinds(play(core, *both)) == [BookReplaced, BookReplaced]
    later = channel.book(channel.open_ms + 1, channel.no)
    assert play(core, later) == []


def test_array_of_books_is_taken_as_one_frame(core, channel, play):
    frame = b"[%b,%b]" % tuple(channel.book(channel.open_ms, t) for t in (channel.yes, channel.no))
    assert kinds(play(core, frame)) == [BookReplaced]
    assert core.counts.hash_matched == 2


def test_rest_book_has_no_event_type(core, channel, play):
    book = json.loads(channel.book(channel.open_ms))
    del book["event_type"]
    rest = json.dumps(book | {"min_order_size": "5", "neg_risk": False}, separators=(",", ":"))
    assert kinds(play(core, rest.encode())) == [BookReplaced]


def test_book_sent_with_white_space_has_the_same_hash(core, channel, play):
    spaced = json.dumps(json.loads(channel.book(channel.open_ms)), indent=1).encode()
    assert kinds(play(core, spaced)) == [BookReplaced]
    after = channel.change(channel.open_ms + 1, ("BUY", "0.49", "9"))
    assert kinds(play(core, *after)) == [BookChanged]


def test_equal_book_again_is_proof_without_change(loaded, channel, play):
    assert kinds(play(loaded, channel.book(channel.open_ms))) == [BookProven]


def test_empty_book_is_real(core, channel, play):
    channel.bids.clear()
    channel.asks.clear()
    events = play(core, channel.book(channel.open_ms))
    assert (events[0].bids, events[0].asks) == ((), ())


def test_change_of_one_level_is_told_once_though_both_tokens_tell_it(loaded, channel, play):
    events = play(loaded, *channel.change(channel.open_ms + 5, ("BUY", "0.49", "10")))
    assert kinds(events) == [BookChanged]
    assert events[0].changes == ((Side.BUY, 4_900, 10_000_000),)
    assert events[0].exchange_ns == (channel.open_ms + 5) * MS
    counts = loaded.counts
    assert (counts.advertised_checked, counts.advertised_matched) == (2, 2)
    assert counts.batches_complete == 1


def test_batch_is_told_whole_and_only_when_its_hash_matches(loaded, channel, play):
    frames = channel.change(
        channel.open_ms + 5, ("SELL", "0.48", "7"), ("BUY", "0.48", "0"), ("SELL", "0.52", "0")
    )
    assert play(loaded, *frames[:2]) == []  # locked for a moment, and told to nobody
    events = play(loaded, frames[2])
    assert kinds(events) == [BookChanged]
    assert set(events[0].changes) == {
        (Side.SELL, 4_800, 7_000_000),
        (Side.BUY, 4_800, 0),
        (Side.SELL, 5_200, 0),
    }


def test_batch_cut_short_is_distrusted_when_its_time_is_up(loaded, channel, play):
    frames = channel.change(channel.open_ms + 5, ("BUY", "0.49", "9"), ("BUY", "0.47", "0"))
    now_ns = channel.open_ms * MS
    assert play(loaded, frames[0]) == []
    assert loaded.due_ns == now_ns + BATCH_NS
    assert loaded.advance(now_ns + BATCH_NS - 1) == []
    events = loaded.advance(now_ns + BATCH_NS)
    assert kinds(events) == [BookDistrusted]
    assert loaded.counts.hash_mismatched == 2
    assert loaded.counts.anomalies["hash mismatch"] == 1


def test_next_batch_ends_an_open_one(loaded, channel, play):
    cut = channel.change(channel.open_ms + 5, ("BUY", "0.49", "9"), ("BUY", "0.47", "0"))[:1]
    after = channel.change(channel.open_ms + 6, ("BUY", "0.46", "5"))
    assert kinds(play(loaded, *cut, *after)) == [BookDistrusted]


def test_torn_book_is_told_whole_once_a_later_hash_proves_it(loaded, channel, play):
    cut = channel.change(channel.open_ms + 5, ("BUY", "0.49", "9"), ("BUY", "0.47", "0"))[:1]
    again = channel.change(channel.open_ms + 6, ("BUY", "0.47", "0"))
    events = play(loaded, *cut, *again)
    assert kinds(events) == [BookDistrusted, BookReplaced]
    assert events[1].bids == ((4_800, 300_000_000), (4_900, 9_000_000))


def test_torn_book_stays_silent_until_a_snapshot(loaded, channel, play):
    cut = channel.change(channel.open_ms + 5, ("BUY", "0.49", "9"), ("BUY", "0.47", "0"))[:1]
    more = channel.change(channel.open_ms + 6, ("BUY", "0.46", "5"))
    snapshot = channel.book(channel.open_ms + 7)
    events = play(loaded, *cut, *more, snapshot)
    assert kinds(events) == [BookDistrusted, BookReplaced]


def test_unseen_trade_is_proven_by_the_hash(loaded, channel, play):
    channel.last = "0.520"
    frames = channel.change(channel.open_ms + 5, ("SELL", "0.52", "30"))
    assert play(loaded, *frames) == []
    events = loaded.advance(channel.open_ms * MS + BATCH_NS)
    assert kinds(events) == [BookChanged]
    assert loaded.counts.last_prices_recovered == 1
    assert loaded.counts.hash_mismatched == 0


def test_trade_print_completes_the_batch_it_caused(loaded, channel, play):
    channel.last = "0.520"
    change = channel.change(channel.open_ms + 5, ("SELL", "0.52", "30"))
    trade = channel.trade(channel.open_ms + 5, "0.52", "50", "BUY")
    events = play(loaded, *change, trade)
    assert kinds(events) == [TradePrinted, BookChanged]
    assert (events[0].price, events[0].size, events[0].aggressor) == (5_200, 50 * MS, Side.BUY)
    assert events[0].source is SizeSource.TAPED


def test_trade_of_the_no_token_is_mirrored_and_its_echo_dropped(loaded, channel, play):
    no = channel.trade(channel.open_ms + 5, "0.48", "50", "SELL", channel.no)
    yes = channel.trade(channel.open_ms + 5, "0.52", "50", "BUY", channel.yes)
    events = play(loaded, no, yes)
    assert kinds(events) == [TradePrinted]
    assert (events[0].price, events[0].aggressor) == (5_200, Side.BUY)
    assert loaded.counts.mirrored == 1


def test_two_equal_trades_of_one_token_are_two_trades(loaded, channel, play):
    trade = channel.trade(channel.open_ms + 5, "0.52", "50", "BUY")
    assert kinds(play(loaded, trade, trade)) == [TradePrinted, TradePrinted]


def test_book_after_a_trade_proves_the_last_price_it_leaves_out(loaded, channel, play):
    channel.last = "0.520"
    channel.set("SELL", "0.52", "30")
    events = play(loaded, channel.book(channel.open_ms + 5, short=True))
    assert kinds(events) == [BookReplaced]
    assert loaded.counts.hash_mismatched == 0


def test_book_ends_the_open_batch_of_its_token(loaded, channel, play):
    frames = channel.change(channel.open_ms + 5, ("BUY", "0.49", "9"), ("BUY", "0.47", "0"))
    books = [channel.book(channel.open_ms + 5, token) for token in (channel.yes, channel.no)]
    assert kinds(play(loaded, frames[0], *books)) == [BookReplaced]
    assert loaded.advance(channel.open_ms * MS + BATCH_NS) == []


def test_book_older_than_the_last_change_is_not_taken(loaded, channel, play):
    old = channel.book(channel.open_ms)
    events = play(loaded, *channel.change(channel.open_ms + 5, ("BUY", "0.49", "9")), old)
    assert kinds(events) == [BookChanged]
    assert loaded.counts.out_of_order == 1


def test_change_older_than_the_book_is_not_taken(loaded, channel, play):
    old = channel.change(channel.open_ms - 5, ("BUY", "0.49", "9"))
    assert play(loaded, *old) == []
    assert loaded.counts.out_of_order == 2


def test_wrong_hash_distrusts_the_book(loaded, channel, play):
    bad = channel.book(channel.open_ms + 1, hash="0" * 40)
    assert kinds(play(loaded, bad)) == [BookDistrusted]
    assert kinds(play(loaded, channel.book(channel.open_ms + 2))) == [BookReplaced]


def test_crossed_book_is_never_told(loaded, channel, play):
    channel.set("BUY", "0.6", "5")
    assert kinds(play(loaded, channel.book(channel.open_ms + 1))) == [BookDistrusted]
    assert loaded.counts.anomalies == {"crossed book": 1}


def test_batch_that_ends_crossed_is_never_told(loaded, channel, play):
    events = play(loaded, *channel.change(channel.open_ms + 1, ("BUY", "0.6", "5")))
    assert kinds(events) == [BookDistrusted]


@pytest.mark.parametrize(
    ("field", "value", "kind"),
    [
        ("size", "-1", "size negative"),
        ("size", "NaN", "size not a number"),
        ("size", "0.0000001", "size too fine"),
        ("price", "0", "price out of range"),
        ("price", "1.2", "price out of range"),
        ("side", "LEFT", "unknown side"),
        ("asset_id", "9" * 77, "token of another market"),
    ],
)
def test_impossible_change_tears_the_book(loaded, channel, play, field, value, kind):
    entries = channel.entries(channel.open_ms + 1, "BUY", "0.49", "9")
    entries[1][field] = value
    events = play(loaded, channel.changed(channel.open_ms + 1, entries))
    assert kinds(events) == [BookDistrusted]
    assert loaded.counts.anomalies == {kind: 1}


@pytest.mark.parametrize(
    ("frame", "kind"),
    [
        (b"{", "broken json"),
        (b"[{", "broken json"),
        (b"INVALID OPERATION", "broken json"),
        (b'"x"', "unexpected shape"),
        (b"[1]", "unexpected shape"),
        (b'{"event_type":"surprise"}', "unknown event type 'surprise'"),
        (b"{}", "unknown event type ''"),
        (b'{"event_type":"book"}', "unexpected shape of book"),
        (b'{"x":1,"event_type":"price_change"}', "unexpected shape of price_change"),
    ],
)
def test_unreadable_frame_is_counted_and_stops_nothing(loaded, channel, play, frame, kind):
    assert play(loaded, frame) == []
    assert loaded.counts.anomalies == {kind: 1}
    change = channel.change(channel.open_ms + 5, ("BUY", "0.49", "9"))
    assert kinds(play(loaded, *change)) == [BookChanged]


@pytest.mark.parametrize("text", [b"PONG", b"", b"\n"])
def test_keepalive_text_is_nothing(loaded, play, text):
    assert play(loaded, text) == []
    assert not loaded.counts.anomalies


def test_best_bid_ask_is_known_and_unused(loaded, play):
    assert play(loaded, b'{"event_type":"best_bid_ask","best_bid":"0.1"}') == []
    assert not loaded.counts.anomalies


def test_new_field_is_counted_and_stops_nothing(core, channel, play):
    assert kinds(play(core, channel.book(channel.open_ms, version="v3"))) == [BookReplaced]
    assert core.counts.anomalies == {"unknown field in book": 1}


def test_token_nobody_watches_is_counted(channel, play):
    core = MarketFeedCore(FeedCounts())
    assert play(core, channel.book(channel.open_ms)) == []
    assert core.counts.anomalies == {"token not watched": 1}


def test_change_before_the_first_book_waits_for_it(core, channel, play):
    assert play(core, *channel.change(channel.open_ms, ("BUY", "0.49", "9"))) == []
    assert core.counts.anomalies == {"change before the first book": 2}


def test_new_tick_voids_the_book_until_the_next_one(loaded, channel, play):
    frames = []
    for token in (channel.yes, channel.no):
        frame = {"event_type": "tick_size_change", "market": channel.condition, "asset_id": token}
        frame |= {"old_tick_size": "0.01", "new_tick_size": "0.001", "timestamp": "1"}
        frames.append(json.dumps(frame).encode())
    channel.tick = "0.001"
    events = play(loaded, *frames, channel.book(channel.open_ms + 1))
    assert kinds(events) == [InstrumentListed, BookDistrusted, BookReplaced]
    assert events[0].instrument.tick == 10


def test_book_with_another_tick_lists_the_instrument_again(loaded, channel, play):
    channel.tick = "0.001"
    events = play(loaded, channel.book(channel.open_ms + 1))
    assert kinds(events) == [InstrumentListed, BookReplaced]


def new_tick(channel, tick, ms):
    """The frames of a new grid, one a token; the channel's books are of that grid from now on."""
    frame = {"event_type": "tick_size_change", "market": channel.condition, "timestamp": str(ms)}
    frame |= {"old_tick_size": channel.tick, "new_tick_size": tick}
    channel.tick = tick
    tokens = ({"asset_id": token} for token in (channel.yes, channel.no))
    return [json.dumps(frame | token).encode() for token in tokens]


ORDERS = list(itertools.permutations(range(4)))


@pytest.mark.parametrize("tick", ["0.001", "0.0025"])
@pytest.mark.parametrize("order", ORDERS, ids=str)
def test_no_order_of_frames_around_a_new_tick_loses_a_hash(loaded, channel, play, order, tick):
    """A short book names no tick; the two frames of the new tick come before, between or after."""
    ms = channel.open_ms + 10
    ticks = new_tick(channel, tick, ms)
    channel.set("BUY", "0.49", "9")
    books = [channel.book(ms + 1, token, short=True) for token in (channel.yes, channel.no)]
    frames = [*ticks, *books]
    events = play(loaded, *(frames[at] for at in order))
    events += play(loaded, *channel.change(ms + 5, ("BUY", "0.495", "3")))
    counts = loaded.counts
    assert (counts.hash_mismatched, counts.anomalies.get("hash mismatch")) == (0, None)
    assert counts.hash_matched == counts.hash_checked == 6
    listings = [event.instrument.tick for event in events if type(event) is InstrumentListed]
    assert listings == [round(float(tick) * 10_000)]
    assert kinds(events)[-1] is BookChanged


@given(st.permutations(range(5)), st.booleans())
@settings(max_examples=60, deadline=None)
def test_a_batch_that_overtakes_its_new_tick_is_no_torn_one(channels, fees, order, states_last):
    """The same with a batch among them: what follows is whole, with the new grid."""
    channel = channels({"0.47": "50", "0.48": "300"}, {"0.53": "20.5", "0.52": "80"})
    instrument = binary(channel.condition, (channel.yes, channel.no), tick="0.01", fees=fees)
    core = MarketFeedCore(FeedCounts())
    core.watch(instrument, "0.01")
    now_ns = channel.open_ms * MS
    for token in (channel.yes, channel.no):
        core.receive(channel.book(channel.open_ms, token), now_ns)
    ms = channel.open_ms + 10
    ticks = new_tick(channel, "0.001", ms)
    stated = {"last_trade_price": channel.last} if states_last else {}
    books = [channel.book(ms, token, short=True, **stated) for token in (channel.yes, channel.no)]
    frames = [*ticks, *books, *channel.change(ms + 1, ("BUY", "0.495", "3"))]
    for at in order:
        core.receive(frames[at], now_ns)
    core.advance(now_ns + BATCH_NS)
    core.receive(channel.book(ms + 2), now_ns + BATCH_NS)
    assert core.counts.hash_mismatched == 0
    market = core.watched(instrument.id)
    assert market.trusted
    assert market.instrument.tick == 10
    assert market.primary().sides()[0][-1] == (4_950, 3_000_000)


def test_a_book_of_the_old_tick_that_comes_late_is_history(loaded, channel, play, instrument):
    late = channel.book(channel.open_ms + 9, short=True)
    played = play(loaded, *new_tick(channel, "0.001", channel.open_ms + 10))
    assert kinds(played) == [InstrumentListed, BookDistrusted]
    assert play(loaded, late) == []
    assert loaded.counts.hash_mismatched == 0
    assert loaded.watched(instrument.id).instrument.tick == 10
    assert kinds(play(loaded, channel.book(channel.open_ms + 11))) == [BookReplaced]


def test_a_frame_of_an_older_grid_that_comes_late_changes_nothing(loaded, channel, play):
    late = new_tick(channel, "0.001", channel.open_ms + 10)
    channel.tick = "0.0001"
    events = play(loaded, channel.book(channel.open_ms + 20, short=True), *late)
    assert kinds(events) == [InstrumentListed, BookReplaced]
    assert events[0].instrument.tick == 1


def test_lost_connection_needs_new_snapshots(loaded, channel, play):
    lost = loaded.lose("closed by the venue")
    assert kinds(lost) == [FeedLost]
    assert lost[0].instrument is None
    assert play(loaded, *channel.change(channel.open_ms + 1, ("BUY", "0.49", "9"))) == []
    events = play(loaded, channel.book(channel.open_ms + 2))
    assert kinds(events) == [FeedRestored, BookReplaced]


def test_market_closes_on_time_and_is_forgotten_later(loaded, channel, instrument):
    closes_ns = instrument.closes_ns
    assert loaded.due_ns == closes_ns
    assert loaded.advance(closes_ns) == [InstrumentClosed(instrument=instrument.id)]
    assert loaded.due_ns == closes_ns + FORGET_AFTER_NS
    loaded.advance(closes_ns + FORGET_AFTER_NS)
    assert loaded.receive(channel.book(channel.open_ms + 9), 0) == []
    assert loaded.counts.anomalies == {"token not watched": 1}


def test_watching_twice_is_watching_once(core, instrument):
    assert core.watch(instrument, "0.01") == []


def test_more_markets_than_the_maximum_halt(core, instrument, monkeypatch):
    monkeypatch.setattr(core_module, "MARKETS_MAX", 1)
    other = binary("0xee", ("3", "4"), tick="0.01", fees=instrument.fees)
    with pytest.raises(BrokenInvariant, match="markets watched"):
        core.watch(other, "0.01")


@pytest.mark.parametrize(("winner", "payout"), [("yes", 1_000_000), ("no", 0)])
def test_resolution_is_told_from_the_venues_word(loaded, channel, play, winner, payout):
    frame = {"event_type": "market_resolved", "market": channel.condition, "timestamp": "1"}
    frame["winning_asset_id"] = getattr(channel, winner)
    events = play(loaded, json.dumps(frame).encode())
    assert kinds(events) == [InstrumentResolved]
    assert events[0].payout_yes_micro == payout


def test_resolution_without_a_winner_among_the_tokens_closes_the_market(
    loaded, channel, instrument, play
):
    """Nothing is quoted in it any more; what it pays is asked for."""
    frame = {"event_type": "market_resolved", "market": channel.condition, "timestamp": "1"}
    text = json.dumps(frame | {"winning_asset_id": "", "winning_outcome": ""}).encode()
    assert play(loaded, text, text) == [InstrumentClosed(instrument=instrument.id)]
    assert loaded.counts.anomalies == {"winner is none of the tokens": 2}
    assert kinds(play(loaded, json.dumps(frame | {"winning_asset_id": channel.yes}).encode())) == [
        InstrumentResolved
    ]
    assert loaded.advance(instrument.closes_ns) == []


@pytest.mark.parametrize("stamp", ["1795575000456789", "1795575000", "9" * 18, "0"])
def test_a_stamp_of_another_unit_costs_its_own_frame_alone(loaded, channel, play, stamp):
    odd = [
        channel.trade(stamp, "0.51", "5", "BUY"),
        channel.changed(stamp, channel.entries(1, "BUY", "0.49", "9")),
        json.dumps(json.loads(channel.book(1)) | {"timestamp": stamp}).encode(),
    ]
    trades = [channel.trade(channel.open_ms + at, "0.51", "5", "BUY") for at in (1, 2)]
    events = play(loaded, trades[0], *odd, trades[1])
    assert kinds(events) == [TradePrinted, TradePrinted]
    assert loaded.counts.anomalies == {"timestamp not in milliseconds": 3}


def test_a_stamp_of_next_year_does_not_make_every_later_book_old(loaded, channel, play):
    later = channel.open_ms + 366 * 86_400_000
    assert play(loaded, channel.book(later)) == []
    assert loaded.counts.anomalies == {"timestamp in the future": 1}
    assert kinds(play(loaded, channel.book(channel.open_ms + 1))) == [BookReplaced]


def test_resolution_of_a_market_nobody_watches_is_nothing(loaded, play):
    frame = b'{"event_type":"market_resolved","market":"0x","timestamp":"1","winning_asset_id":"1"}'
    assert play(loaded, frame) == []
    assert not loaded.counts.anomalies


def test_new_market_is_listed(core, play):
    frame = {
        "event_type": "new_market",
        "market": "0xnew",
        "slug": "eth-updown-5m-1777452900",
        "assets_ids": ["5", "6"],
        "outcomes": ["Up", "Down"],
        "timestamp": "1777366979485",
        "order_price_min_tick_size": "0.01",
        "fees_enabled": True,
        "fee_schedule": {"exponent": "1", "rate": "0.072", "rebate_rate": "0.2"},
    }
    events = play(core, json.dumps(frame).encode())
    assert kinds(events) == [InstrumentListed]
    listed = events[0].instrument
    assert (listed.series, listed.tokens) == ("eth-updown-5m", ("5", "6"))
    assert (listed.fees.taker_rate_ppm, listed.fees.exponent) == (72_000, 1)
    assert listed.closes_ns - listed.starts_ns == 300 * 10**9
    frame["fee_schedule"] = None
    assert play(core, json.dumps(frame).encode()) == []
    assert core.counts.anomalies == {"fees without a taker schedule": 1}


PRICES = [f"{p / 100:.2f}".rstrip("0") for p in range(1, 100)]


@pytest.mark.long
@settings(max_examples=60)
@given(
    steps=st.lists(
        st.lists(
            st.tuples(st.sampled_from(range(99)), st.sampled_from(["0", "1", "2.5", "0.000001"])),
            min_size=1,
            max_size=4,
            unique_by=lambda step: step[0],
        ),
        max_size=12,
    )
)
def test_told_changes_keep_a_book_equal_to_the_venues(channels, fees, steps):
    channel = channels({"0.3": "5"}, {"0.7": "5"})
    core = MarketFeedCore(FeedCounts())
    tokens = (channel.yes, channel.no)
    core.watch(binary(channel.condition, tokens, tick="0.01", fees=fees), "0.01")
    book = Book()
    ms = channel.open_ms
    frames = [channel.book(ms, channel.yes), channel.book(ms, channel.no)]
    for step in steps:
        ms += 1
        # Prices below a half are bids, the rest asks: never crossed.
        frames += channel.change(
            ms, *(("BUY" if at < 49 else "SELL", PRICES[at], size) for at, size in step)
        )
    for frame in frames:
        for event in core.receive(frame, ms * MS):
            if type(event) is BookReplaced:
                book.replace(event.bids, event.asks)
            else:
                book.apply(event.changes)
    micro = {p: round(float(s) * 10**6) for p, s in (channel.bids | channel.asks).items()}
    ours = {f"{p / 10_000:.2f}".rstrip("0"): s for p, s in (book.bids | book.asks).items()}
    assert ours == micro
    assert core.counts.hash_mismatched == 0


@pytest.mark.long
@settings(max_examples=100)
@given(data=st.data())
def test_no_damage_to_a_frame_stops_the_channel(channels, fees, data):
    channel = channels({"0.47": "50", "0.48": "300"}, {"0.52": "80"})
    core = MarketFeedCore(FeedCounts())
    tokens = (channel.yes, channel.no)
    core.watch(binary(channel.condition, tokens, tick="0.01", fees=fees), "0.01")
    ms = channel.open_ms
    frames = [channel.book(ms, channel.yes), channel.book(ms, channel.no)]
    frames += channel.change(ms + 1, ("BUY", "0.49", "9"), ("SELL", "0.52", "0"))
    frames += [channel.trade(ms + 2, "0.52", "5", "BUY"), channel.book(ms + 3, short=True)]
    for frame in frames:
        torn = bytearray(frame)
        for _ in range(data.draw(st.integers(0, 2))):
            at = data.draw(st.integers(0, len(torn) - 1))
            torn[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
        for event in core.receive(bytes(torn), ms * MS):
            if type(event) is BookReplaced:
                assert all(size > 0 for _, size in event.bids + event.asks)
                assert not (event.bids and event.asks) or event.bids[-1] < event.asks[-1]
    core.advance(ms * MS + BATCH_NS)
