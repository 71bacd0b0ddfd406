import gzip
import json
from collections import Counter

import pytest

from engine.domain.events import (
    BookDistrusted,
    BookReplaced,
    FeedLost,
    FeedRestored,
    InstrumentClosed,
    InstrumentListed,
    ReferencePriced,
)
from engine.errors import BadInput
from engine.lab.recordings.multifeed import MultifeedRecording, read_markets
from engine.lab.recordings.open import open_recording

CONDITION, UP, DOWN = "0x" + "ef" * 32, "1" * 77, "2" * 77
START_MS = 1_777_452_300_000


@pytest.fixture
def session(tmp_path, frames):
    """Writes one session: `write(*[(ms, connection, source, payload)])`."""

    def write(*lines, name="s1", **market):
        known = {
            "slug": f"btc-updown-15m-{START_MS // 1000}",
            "condition_id": CONDITION,
            "outcomes": [
                {"token_id": DOWN, "outcome": "Down"},
                {"token_id": UP, "outcome": "Up"},
            ],
            "start_ts": START_MS,
            "end_ts": START_MS + 900_000,
            "tick_size": 0.01,
            "min_order_size": 5.0,
            "fee_parameters": {
                "fees_enabled": True,
                "raw_fee_config": {
                    "exponent": 1,
                    "rate": 0.072,
                    "rebateRate": 0.2,
                    "takerOnly": True,
                },
            },
        }
        (tmp_path / f"{name}.markets.jsonl").write_text(json.dumps(known | market) + "\n")
        written = [
            {
                "source": source,
                "recv_wall_ts": ms,
                "recv_mono_ns": ms * 10**6 + 5,
                "ingest_seq": connection * 1_000_000,
                "payload": payload,
            }
            for ms, connection, source, payload in lines
        ]
        path = tmp_path / f"{name}.raw_messages.jsonl.gz"
        text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in written)
        path.write_bytes(gzip.compress(text.encode() + b"\n"))
        return path

    def book(ms, size="5"):
        frame = {"market": CONDITION, "asset_id": UP, "timestamp": str(ms), "hash": ""}
        frame |= {"bids": [{"price": "0.4", "size": size}], "asks": [], "tick_size": "0.01"}
        frame |= {"last_trade_price": "", "event_type": "book"}
        frame["hash"] = frames.book_hash(frame, "0.01", "")
        return json.dumps(frame, separators=(",", ":"))

    write.book = book
    return write


def play(*paths):
    recording = MultifeedRecording(paths)
    return recording, list(recording.events())


def test_session_lists_its_instruments_and_plays_its_frames(session):
    trade = json.dumps({"data": {"e": "trade", "s": "BTCUSDT", "p": "1.5", "T": START_MS}})
    path = session(
        (START_MS, 1, "polymarket_clob", session.book(START_MS)),
        (START_MS + 3, 1, "binance", trade),
    )
    recording, events = play(path)
    assert [type(event) for _, event in events] == [
        InstrumentListed,
        BookReplaced,
        ReferencePriced,
    ]
    listed = events[0][1].instrument
    assert listed.tokens == (UP, DOWN)
    assert (listed.tick, listed.size_min, listed.series) == (100, 5_000_000, "btc-updown-15m")
    assert (listed.fees.taker_rate_ppm, listed.fees.exponent) == (72_000, 1)
    assert (listed.starts_ns, listed.closes_ns) == (START_MS * 10**6, (START_MS + 900_000) * 10**6)
    assert events[-1][0] == (START_MS + 3) * 10**6 + 5
    assert recording.stats.markets == {listed.id}


def test_new_connection_is_a_loss_until_the_next_snapshot(session):
    path = session(
        (START_MS, 1, "polymarket_clob", session.book(START_MS)),
        (START_MS + 60_000, 2, "polymarket_clob", session.book(START_MS + 9)),
    )
    recording, events = play(path)
    assert [type(event) for _, event in events] == [
        InstrumentListed,
        BookReplaced,
        FeedLost,
        FeedRestored,
        BookReplaced,
    ]
    assert recording.stats.gaps == 1


def test_close_is_told_when_a_later_frame_passes_it(session):
    first = session((START_MS, 1, "polymarket_clob", session.book(START_MS)))
    later = session((START_MS + 950_000, 1, "binance", "{}"), name="s2", condition_id="0x2")
    _, events = play(later, first)
    closes = [now_ns for now_ns, event in events if type(event) is InstrumentClosed]
    assert closes == [(START_MS + 900_000) * 10**6]
    assert [now_ns for now_ns, _ in events] == sorted(now_ns for now_ns, _ in events)


def test_receive_times_that_run_back_are_counted_and_the_clock_stands(session):
    path = session(
        (START_MS + 5, 1, "polymarket_clob", session.book(START_MS)),
        (START_MS, 1, "polymarket_clob", session.book(START_MS + 1, "6")),
    )
    recording, events = play(path)
    assert recording.stats.out_of_order == 1
    assert events[-1][0] == events[0][0]


def test_unreadable_lines_and_frames_are_counted_with_their_place(session, tmp_path):
    path = session((START_MS, 1, "polymarket_clob", session.book(START_MS)))
    text = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(b'{"x":\n{"x":1}\n' + text))
    recording, events = play(path)
    assert type(events[-1][1]) is BookReplaced
    assert recording.stats.anomalies == {"broken json": 1, "unexpected line": 1}
    assert recording.stats.anomaly_lines["unexpected line"] == f"{path.name}:2"


def test_truncated_session_tells_what_is_whole(session):
    lines = [
        (START_MS + n, 1, "polymarket_clob", session.book(START_MS + n, str(n + 1)))
        for n in range(2_000)
    ]
    path = session(*lines)
    path.write_bytes(path.read_bytes()[:-1000])
    recording = MultifeedRecording([path])
    with pytest.raises(BadInput, match=r"line \d+: the file is truncated"):
        list(recording.events())
    assert recording.stats.events > 100


def test_session_without_its_markets_is_refused(session):
    path = session((START_MS, 1, "binance", "{}"))
    (path.parent / "s1.markets.jsonl").unlink()
    with pytest.raises(BadInput, match=r"s1\.markets\.jsonl, is missing"):
        read_markets(path)


@pytest.mark.parametrize(
    "market", [{"tick_size": "x"}, {"outcomes": []}, {"fee_parameters": {"fees_enabled": True}}]
)
def test_market_that_cannot_be_read_is_refused_with_its_line(session, market):
    path = session((START_MS, 1, "binance", "{}"), **market)
    with pytest.raises(BadInput, match=r"s1\.markets\.jsonl, line 1: not a market"):
        read_markets(path)


@pytest.mark.recordings
def test_recorded_sessions_are_proven_by_their_hashes(recordings):
    recording = open_recording(recordings / "polymarket_multifeed_raw")
    kinds = Counter(type(event) for _, event in recording.events())
    stats = recording.stats
    assert stats.frames == 2_592
    # 870 books and 85 price_change frames with two tokens each. Of one batch the recorder kept
    # only the first four frames: its eight hashes cannot be reached, and the book is distrusted.
    assert stats.hash_checked == 870 + 170
    assert (stats.books_checked, stats.books_matched) == (870, 870)
    assert stats.hash_mismatched == 8
    assert (stats.advertised_checked, stats.advertised_matched) == (170, 170)
    assert stats.anomalies == {"hash mismatch": 1, "fees without a taker schedule": 1}
    assert kinds[BookDistrusted] == 1
    assert kinds[ReferencePriced] == 1_825
    assert stats.bytes_read == stats.bytes_total
