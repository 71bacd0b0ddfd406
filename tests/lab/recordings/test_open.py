import gzip
import json

import pytest

from engine.domain.events import BookReplaced
from engine.errors import BadInput, ConfigError
from engine.lab.recordings.btc5m import Btc5mRecording
from engine.lab.recordings.multifeed import MultifeedRecording
from engine.lab.recordings.open import open_recording

BIDS = [("0.48", "300")]
ASKS = [("0.52", "80")]


def events_of(recording, kind):
    return [event for _, event in recording.events() if type(event) is kind]


def test_folder_with_days_opens_all_of_them_with_its_table_of_tokens(frames, tmp_path):
    raw = tmp_path / "raw"
    raw.mkdir()
    day = frames.line(frames.book(1, BIDS, ASKS, token=frames.no, snapshot=True))
    later = frames.line(frames.book(2, BIDS, ASKS, token=frames.no))
    (raw / "2026-04-14.jsonl").write_bytes(later + b"\n")
    (raw / "2026-04-13.jsonl.gz").write_bytes(gzip.compress(day + b"\n"))
    (tmp_path / "markets.csv").write_text(
        f"market_condition_id,token0,token1\n{frames.condition},{frames.yes},{frames.no}\n"
    )
    recording = open_recording(tmp_path)
    assert isinstance(recording, Btc5mRecording)
    books = events_of(recording, BookReplaced)
    assert [book.bids for book in books] == [((4_800, 80_000_000),)]
    assert recording.stats.frames == 2
    assert recording.stats.bytes_read == recording.stats.bytes_total > 0


def test_single_file_is_known_by_its_lines(frames, pack):
    path = pack(b"garbage", frames.line(frames.book(1, BIDS, ASKS, snapshot=True)))
    recording = open_recording(path)
    assert len(events_of(recording, BookReplaced)) == 1
    assert recording.stats.anomalies == {"broken json": 1}


def test_session_file_is_known_by_its_lines(tmp_path):
    line = {"source": "x", "recv_wall_ts": 1, "recv_mono_ns": 1, "ingest_seq": 1, "payload": ""}
    (tmp_path / "a.raw_messages.jsonl").write_text(json.dumps(line) + "\n")
    (tmp_path / "a.markets.jsonl").write_text("")
    assert isinstance(open_recording(tmp_path), MultifeedRecording)
    with pytest.raises(ConfigError, match="has the venue's own prints, none is inferred"):
        open_recording(tmp_path, 5)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b'{"hello":1}\n', r"x\.jsonl, line 1: not a line of any recording"),
        (b"\x00\x01\x02", r"x\.jsonl, line 1: the file is truncated"),
        (b"", r"x\.jsonl, line 1: not a line"),
        (b"price,size\n1,2\n", r"x\.jsonl, line 1: not a line"),
    ],
)
def test_foreign_file_is_refused_with_a_sentence(tmp_path, content, sentence):
    path = tmp_path / "x.jsonl"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=sentence):
        open_recording(path)


def test_nothing_there_is_refused(tmp_path):
    with pytest.raises(BadInput, match="no such file"):
        open_recording(tmp_path / "gone")
    with pytest.raises(BadInput, match="holds no recording"):
        open_recording(tmp_path)


def test_two_kinds_in_one_folder_are_refused(frames, tmp_path):
    line = {"source": "x", "recv_wall_ts": 1, "payload": ""}
    (tmp_path / "a.jsonl").write_text(json.dumps(line) + "\n")
    book = frames.line(frames.book(1, BIDS, ASKS, snapshot=True))
    (tmp_path / "b.jsonl").write_bytes(book + b"\n")
    with pytest.raises(BadInput, match="several kinds"):
        open_recording(tmp_path)


@pytest.mark.recordings
@pytest.mark.parametrize(
    ("folder", "kind"),
    [("polymarket_btc5m_l2", Btc5mRecording), ("polymarket_multifeed_raw", MultifeedRecording)],
)
def test_recorded_folders_are_known(recordings, folder, kind):
    assert isinstance(open_recording(recordings / folder), kind)


@pytest.mark.recordings
def test_foreign_recordings_are_refused(recordings):
    with pytest.raises(BadInput, match="line 1"):
        open_recording(recordings / "README.md")


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (b'{"recv_ts":"2026-04-13T00:00:00Z","slug":"s","raw":{}}', "recv_ts is the text .*number"),
        (b'{"source":"x","recv_wall_ts":"2026-04-13","payload":""}', "recv_wall_ts .*milliseconds"),
        (b'{"hello":1}', "recv_ts, slug and raw .* source, recv_wall_ts and payload"),
    ],
)
def test_what_is_not_read_is_refused_with_what_would_be(tmp_path, line, sentence):
    (tmp_path / "x.jsonl").write_bytes(line + b"\n")
    with pytest.raises(BadInput, match=sentence):
        open_recording(tmp_path / "x.jsonl")


def test_a_recording_beside_sessions_is_not_ignored(frames, tmp_path):
    (tmp_path / "a.markets.jsonl").write_bytes(b"")
    (tmp_path / "a.raw_messages.jsonl").write_bytes(
        b'{"run_id":"r","source":"binance","recv_wall_ts":1,"recv_mono_ns":1,"ingest_seq":1,'
        b'"payload":"{}"}\n'
    )
    (tmp_path / "notes.jsonl").write_bytes(b'{"hello":1}\n')
    open_recording(tmp_path)
    (tmp_path / "b.jsonl").write_bytes(b'{"recv_ts":1.0,"slug":"s","raw":{}}\n')
    with pytest.raises(BadInput, match=r"several kinds \(btc5m, multifeed\)"):
        open_recording(tmp_path)


def test_lines_beside_a_tape_are_not_ignored(tmp_path):
    (tmp_path / f"{1:020}.tape").write_bytes(b"")
    (tmp_path / "b.jsonl").write_bytes(b'{"recv_ts":1.0,"slug":"s","raw":{}}\n')
    with pytest.raises(BadInput, match=r"several kinds \(tape, btc5m\)"):
        open_recording(tmp_path)
