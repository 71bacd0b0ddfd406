from collections import Counter
from itertools import islice

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.domain.events import (
    BookChanged,
    BookDistrusted,
    BookReplaced,
    FeedLost,
    FeedRestored,
    InstrumentClosed,
    InstrumentListed,
    InstrumentResolved,
    TradePrinted,
)
from engine.domain.fills import SizeSource
from engine.domain.instruments import Kind, Side
from engine.errors import BadInput
from engine.lab.recordings.btc5m import Btc5mRecording, read_tokens

BIDS = [("0.48", "300"), ("0.49", "100.5")]
ASKS = [("0.53", "200"), ("0.52", "80")]


def play(path, tokens=None):
    recording = Btc5mRecording([path], {} if tokens is None else tokens)
    return recording, list(recording.events())


def of(events, kind):
    return [event for _, event in events if type(event) is kind]


def test_first_frame_lists_the_instrument_and_loads_the_book(frames, pack):
    line = frames.line(frames.book(1, BIDS, ASKS, snapshot=True))
    recording, events = play(pack(line), {frames.condition: (frames.yes, frames.no)})
    listed = of(events, InstrumentListed)[0].instrument
    assert listed.id == f"polymarket:{frames.condition}"
    assert (listed.kind, listed.currency, listed.series) == (Kind.BINARY, "pUSD", "btc-updown-5m")
    assert (listed.tick, listed.lot, listed.size_min) == (100, 10_000, 5_000_000)
    assert listed.notional_min_micro == 1_000_000
    assert listed.tokens == (frames.yes, frames.no)
    assert listed.starts_ns == frames.start * 10**9
    assert listed.closes_ns == (frames.start + 300) * 10**9
    # 100 shares at 0.50: 100 · 0.07 · 0.25 = 1.75 pUSD.
    assert listed.taker_fee_micro(5_000, 100_000_000) == 1_750_000
    book = of(events, BookReplaced)[0]
    assert book.bids == ((4_800, 300_000_000), (4_900, 100_500_000))
    assert book.asks == ((5_300, 200_000_000), (5_200, 80_000_000))
    assert book.exchange_ns == (frames.start + 1) * 10**9
    assert not of(events, TradePrinted)
    assert (recording.stats.hash_checked, recording.stats.hash_matched) == (1, 1)


def test_trade_comes_before_the_book_it_left_behind(frames, pack):
    first = frames.book(1, BIDS, ASKS, snapshot=True)
    after = frames.book(2, [BIDS[0], ("0.49", "60")], ASKS, last="0.490")
    _, events = play(pack(frames.line(first), frames.line(after)))
    kinds = [type(event) for _, event in events]
    assert kinds[:4] == [InstrumentListed, BookReplaced, TradePrinted, BookChanged]
    assert of(events, BookChanged)[0].changes == ((Side.BUY, 4_900, 60_000_000),)
    trade = of(events, TradePrinted)[0]
    assert (trade.price, trade.size) == (4_900, 40_500_000)
    assert (trade.aggressor, trade.source) == (Side.SELL, SizeSource.INFERRED)


def test_price_in_the_complements_token_is_a_lifted_ask(frames, pack):
    first = frames.book(1, [("0.4", "5")], ASKS, snapshot=True)
    after = frames.book(2, [("0.4", "5")], ASKS[:1], last="0.480")
    _, events = play(pack(frames.line(first), frames.line(after)))
    trade = of(events, TradePrinted)[0]
    assert (trade.price, trade.aggressor, trade.size) == (5_200, Side.BUY, 80_000_000)


def test_trade_between_two_readings_has_neither_side_nor_size(frames, pack):
    first = frames.book(1, BIDS, [*ASKS, ("0.51", "5")], snapshot=True)
    after = frames.book(2, BIDS, ASKS, last="0.490")
    _, events = play(pack(frames.line(first), frames.line(after)))
    trade = of(events, TradePrinted)[0]
    assert (trade.price, trade.aggressor, trade.size) == (4_900, None, None)
    assert trade.source is SizeSource.UNKNOWN


def test_level_that_did_not_fall_leaves_the_size_unknown(frames, pack):
    first = frames.book(1, [("0.4", "5")], ASKS, snapshot=True)
    after = frames.book(2, [("0.4", "5")], [ASKS[0], ("0.52", "90")], last="0.520")
    _, events = play(pack(frames.line(first), frames.line(after)))
    trade = of(events, TradePrinted)[0]
    assert (trade.aggressor, trade.size, trade.source) == (Side.BUY, None, SizeSource.UNKNOWN)


def test_second_token_is_told_mirrored(frames, pack):
    bids, asks = [("0.2", "7")], [("0.3", "9")]
    line = frames.line(frames.book(1, bids, asks, token=frames.no, snapshot=True))
    _, events = play(pack(line), {frames.condition: (frames.yes, frames.no)})
    book = of(events, BookReplaced)[0]
    assert book.bids == ((7_000, 9_000_000),)
    assert book.asks == ((8_000, 7_000_000),)


def test_trade_told_by_both_tokens_is_one_trade(frames, pack):
    mirror_bids = [("0.47", "200"), ("0.48", "80")]
    mirror_asks = [("0.52", "300"), ("0.51", "60")]
    lines = [
        frames.line(frames.book(1, BIDS, ASKS, snapshot=True)),
        frames.line(frames.book(2, [BIDS[0], ("0.49", "60")], ASKS, last="0.490")),
        frames.line(frames.book(2, mirror_bids, mirror_asks, last="0.490", token=frames.no)),
    ]
    recording, events = play(pack(*lines), {frames.condition: (frames.yes, frames.no)})
    assert len(of(events, TradePrinted)) == 1
    assert len(of(events, BookReplaced)) == len(of(events, BookChanged)) == 1
    assert recording.stats.mirrored == 1
    assert recording.stats.hash_matched == 3


def test_finer_tick_is_recovered_and_listed_again(frames, pack):
    first = frames.book(1, BIDS, ASKS, snapshot=True)
    fine = frames.book(2, [("0.96", "5")], [("0.975", "5")], last="0.975", tick="0.001")
    _, events = play(pack(frames.line(first), frames.line(fine)))
    assert [listed.instrument.tick for listed in of(events, InstrumentListed)] == [100, 10]


def test_last_trade_price_far_from_the_book_is_still_found(frames, pack):
    first = frames.book(1, BIDS, ASKS, snapshot=True)
    after = frames.book(2, BIDS, ASKS, last="0.137", tick="0.001")
    recording, _ = play(pack(frames.line(first), frames.line(after)))
    assert recording.stats.hash_matched == 2


def test_hash_that_nothing_completes_distrusts_the_book_until_the_next_match(frames, pack):
    first = frames.book(1, BIDS, ASKS, snapshot=True)
    torn = frames.book(2, BIDS, ASKS, last="0.490") | {"hash": "0" * 40}
    good = frames.book(3, [BIDS[0], ("0.49", "1")], ASKS, last="0.490")
    lines = [frames.line(frame) for frame in (first, torn, good)]
    recording, events = play(pack(*lines))
    kinds = [type(event) for _, event in events]
    assert kinds[1:5] == [BookReplaced, BookDistrusted, TradePrinted, BookReplaced]
    # The book before the trade is not known any more: its fall is nobody's size.
    assert of(events, TradePrinted)[0].size is None
    assert recording.stats.hash_mismatched == 1
    assert recording.stats.anomalies == {"hash mismatch": 1}
    assert recording.stats.anomaly_lines == {"hash mismatch": "2026-04-13.jsonl.gz:2"}


def test_clock_is_the_later_of_receipt_and_stamp_and_never_runs_back(frames, pack):
    lines = [
        frames.line(frames.book(1, BIDS, ASKS, snapshot=True), late=0.5),
        frames.line(frames.book(1.2, BIDS, ASKS, last="0.490"), late=-0.06),
        frames.line(frames.book(2, BIDS, ASKS, last="0.490"), late=-0.06),
    ]
    _, events = play(pack(*lines))
    times = [now_ns - frames.start * 10**9 for now_ns, _ in events]
    assert times[:-1] == sorted(times[:-1])
    assert times[0] == 1_500_000_000
    assert times[2] == 1_500_000_000
    assert times[4] == 2_000_000_000


def test_stamp_that_no_clock_could_make_moves_no_clock(frames, pack):
    lines = [
        frames.line(frames.book(1, BIDS, ASKS, snapshot=True)),
        frames.line(frames.book(36_000, BIDS, ASKS[:1], last="0.520"), late=-35_998.0),
        frames.line(frames.book(3, BIDS, ASKS[:1], last="0.520")),
    ]
    recording, events = play(pack(*lines))
    assert recording.stats.anomalies == {"stamp ahead of its receipt": 1}
    times = {type(event): now_ns - frames.start * 10**9 for now_ns, event in events}
    assert times[BookDistrusted] == 2 * 10**9
    assert times[BookReplaced] == 3 * 10**9
    assert times[InstrumentClosed] == 300 * 10**9


def test_frame_older_than_the_snapshot_is_checked_but_not_told(frames, pack):
    lines = [
        frames.line(frames.book(2, BIDS, ASKS, snapshot=True)),
        frames.line(frames.book(1.99, BIDS, ASKS[:1], last="0.520")),
    ]
    recording, events = play(pack(*lines))
    assert len(of(events, BookReplaced)) == 1
    assert not of(events, TradePrinted)
    assert recording.stats.out_of_order == 1
    assert recording.stats.hash_matched == 2


def test_frame_read_twice_is_told_once(frames, pack):
    first = frames.line(frames.book(1, BIDS, ASKS, snapshot=True))
    again = frames.line(frames.book(2, BIDS, ASKS, last="0.490"))
    recording, events = play(pack(first, again, again))
    assert len(of(events, TradePrinted)) == 1
    assert recording.stats.duplicates == 1


def test_silence_loses_the_feed_and_the_next_frame_restores_it(frames, pack):
    lines = [
        frames.line(frames.book(1, BIDS, ASKS, snapshot=True)),
        frames.line(frames.book(20, [BIDS[0], ("0.49", "50")], ASKS, last="0.490")),
    ]
    recording, events = play(pack(*lines))
    kinds = [type(event) for _, event in events]
    assert kinds[2:6] == [FeedLost, FeedRestored, TradePrinted, BookReplaced]
    assert events[2][0] == (frames.start + 11) * 10**9
    assert of(events, TradePrinted)[0].size is None
    assert recording.stats.gaps == 2  # the second one lasts until the close
    assert recording.stats.gap_ns == 19 * 10**9 + 280 * 10**9


def test_quiet_before_the_window_is_no_gap(frames, pack):
    lines = [
        frames.line(frames.book(-190, BIDS, ASKS, snapshot=True)),
        frames.line(frames.book(0.5, BIDS, ASKS, last="0.490")),
    ]
    recording, events = play(pack(*lines))
    kinds = [type(event) for _, event in events]
    assert kinds[2:5] == [TradePrinted, BookChanged, FeedLost]
    assert events[4][0] == int((frames.start + 10.5) * 10**9)
    assert recording.stats.gaps == 1


def test_market_closes_on_time_and_is_never_resolved(frames, pack):
    lines = [
        frames.line(frames.book(299, [("0.99", "5")], [], snapshot=True)),
        frames.line(frames.book(301, [("0.99", "7")], [], last="0.990")),
    ]
    _, events = play(pack(*lines))
    kinds = [type(event) for _, event in events]
    assert kinds[2] is InstrumentClosed
    assert events[2][0] == (frames.start + 300) * 10**9
    assert InstrumentResolved not in kinds
    assert kinds.count(InstrumentClosed) == 1


def test_close_is_announced_even_where_the_recording_ends_before(frames, pack):
    _, events = play(pack(frames.line(frames.book(295, BIDS, ASKS, snapshot=True))))
    assert type(events[-1][1]) is InstrumentClosed
    assert events[-1][0] == (frames.start + 300) * 10**9


def test_empty_book_is_told_as_empty(frames, pack):
    _, events = play(pack(frames.line(frames.book(1, [], [], snapshot=True))))
    assert of(events, BookReplaced)[0].bids == ()
    assert of(events, BookReplaced)[0].asks == ()


@pytest.mark.parametrize(
    ("bids", "asks", "kind"),
    [
        ([("0.52", "1")], [("0.51", "1")], "crossed book"),
        ([("0.48", "0")], ASKS, "size zero"),
        ([("0.48", "-3")], ASKS, "size negative"),
        ([("0.48", "NaN")], ASKS, "size not a number"),
        ([("0.48", "1e3")], ASKS, "size not a number"),
        ([("0.48", "1.0000001")], ASKS, "size too fine"),
        ([("0", "1")], ASKS, "price out of range"),
        ([("1", "1")], ASKS, "price out of range"),
        ([("0.48", "1"), ("0.48", "1")], ASKS, "level twice"),
    ],
)
def test_impossible_book_is_counted_and_distrusted(frames, pack, bids, asks, kind):
    lines = [
        frames.line(frames.book(1, BIDS, ASKS, snapshot=True)),
        frames.line(frames.book(2, bids, asks, last="0.490")),
        frames.line(frames.book(3, BIDS, ASKS, last="0.490")),
    ]
    recording, events = play(pack(*lines))
    assert [type(event) for _, event in events][2] is BookDistrusted
    assert recording.stats.anomalies == {kind: 1}
    assert recording.stats.anomaly_lines[kind].endswith(":2")
    assert len(of(events, BookReplaced)) == 2


def test_broken_line_is_counted_and_spoils_no_size(frames, pack):
    lines = [
        frames.line(frames.book(1, BIDS, ASKS, snapshot=True)),
        b'{"recv_ts":17760',
        b'{"recv_ts":1,"slug":"x","raw":{}}',
        frames.line(frames.book(2, [BIDS[0], ("0.49", "1")], ASKS, last="0.490")),
    ]
    recording, events = play(pack(*lines))
    assert recording.stats.anomalies == {"broken json": 1, "unexpected shape": 1}
    assert of(events, TradePrinted)[0].size is None


def test_unknown_fields_and_event_types_are_counted_not_fatal(frames, pack):
    odd = frames.book(2, BIDS, ASKS, last="0.490") | {"event_type": "surprise"}
    lines = [
        frames.line(frames.book(1, BIDS, ASKS, snapshot=True)),
        frames.line(odd),
        frames.line(frames.book(3, BIDS, ASKS, last="0.490"))[:-1] + b',"new":1}',
    ]
    recording, events = play(pack(*lines))
    assert recording.stats.anomalies == {"unknown event type": 1, "unknown field": 1}
    assert len(of(events, BookReplaced)) == 2


def test_foreign_token_is_counted(frames, pack):
    lines = [
        frames.line(frames.book(1, BIDS, ASKS, snapshot=True)),
        frames.line(frames.book(2, BIDS, ASKS, token="9" * 77, snapshot=True)),
    ]
    recording, _ = play(pack(*lines), {frames.condition: (frames.yes, frames.no)})
    assert recording.stats.anomalies == {"third token": 1}


def test_table_of_another_recording_is_refused(tmp_path):
    path = tmp_path / "markets.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(BadInput, match=r"markets\.csv"):
        read_tokens(path)


@pytest.mark.long
@pytest.mark.recordings
def test_first_thirty_thousand_recorded_frames_all_match(recordings):
    folder = recordings / "polymarket_btc5m_l2"
    recording = Btc5mRecording(
        [folder / "raw" / "2026-04-13.jsonl.gz"], read_tokens(folder / "markets.csv")
    )
    kinds = Counter(type(event) for _, event in islice(recording.events(), 55_000))
    stats = recording.stats
    assert stats.hash_checked == stats.hash_matched > 29_000
    assert not stats.anomalies
    assert kinds[TradePrinted] > 27_000


@pytest.mark.recordings
@pytest.mark.soak
@pytest.mark.timeout(600)
def test_every_frame_of_both_days_matches_its_hash(recordings):
    folder = recordings / "polymarket_btc5m_l2"
    paths = sorted((folder / "raw").glob("*.jsonl.gz"))
    recording = Btc5mRecording(paths, read_tokens(folder / "markets.csv"))
    kinds: Counter[type] = Counter()
    last_ns = 0
    for now_ns, event in recording.events():
        assert now_ns >= last_ns
        last_ns = now_ns
        kinds[type(event)] += 1
    stats = recording.stats
    assert (stats.hash_checked, stats.hash_matched) == (221_242, 221_242)
    assert stats.frames == 221_242
    assert len(stats.markets) == kinds[InstrumentClosed] == 85
    assert not stats.anomalies
    assert kinds[InstrumentResolved] == 0
    books = kinds[BookReplaced] + kinds[BookChanged]
    assert books + stats.mirrored + stats.out_of_order + stats.duplicates == 221_242
    assert stats.bytes_read == stats.bytes_total


@pytest.mark.long
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_damage_to_a_line_stops_the_recording(frames, pack, data):
    lines = [frames.line(frames.book(1, BIDS, ASKS, snapshot=True))]
    lines += [frames.line(frames.book(n, BIDS, ASKS[:n], last="0.490")) for n in (2, 3)]
    for n, line in enumerate(lines):
        torn = bytearray(line)
        for _ in range(data.draw(st.integers(0, 2))):
            at = data.draw(st.integers(0, len(torn) - 1))
            torn[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
        lines[n] = bytes(torn)
    recording, events = play(pack(*lines))
    times = [now_ns for now_ns, _ in events]
    assert times == sorted(times)
    stats = recording.stats
    assert stats.hash_matched + stats.hash_mismatched == stats.hash_checked
