import bz2
import gzip
import io
import lzma
import sqlite3
import tarfile
import zipfile
from pathlib import Path

import pytest
import zstandard

from engine.errors import BadInput
from engine.lab.recordings.door import RecordingStats
from engine.lab.recordings.lines import CHUNK_BYTES, LINE_BYTES_MAX, read_lines


def read(path: Path):
    stats = RecordingStats()
    return list(read_lines(path, stats)), stats


def collect(path: Path):
    """What was told before the error, and the error's text."""
    pairs = []
    with pytest.raises(BadInput) as error:
        pairs.extend(_tee(pairs, path))
    return pairs, str(error.value)


def _tee(pairs, path):
    for line in read_lines(path, RecordingStats()):
        pairs.append(line)
    return ()


def test_plain_and_packed_lines_are_the_same(tmp_path):
    lines = [f'{{"n":{n},"pad":"{"x" * 500}"}}'.encode() for n in range(2_000)]
    plain, packed = tmp_path / "a.jsonl", tmp_path / "a.jsonl.gz"
    plain.write_bytes(b"\n".join(lines) + b"\n")
    packed.write_bytes(gzip.compress(b"\n".join(lines) + b"\n"))
    pairs, stats = read(plain)
    assert pairs == read(packed)[0] == list(enumerate(lines, 1))
    assert stats.bytes_read == plain.stat().st_size > CHUNK_BYTES


def test_members_packed_one_after_another_are_one_file(tmp_path):
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(b"1\n2\n") + gzip.compress(b"3\n") + b"\0" * 100)
    assert [line for _, line in read(path)[0]] == [b"1", b"2", b"3"]


def test_blank_lines_count_but_are_not_told(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"1\n\n3")
    assert read(path)[0] == [(1, b"1"), (3, b"3")]


def test_truncated_gzip_tells_what_is_whole_and_names_the_line(tmp_path):
    path = tmp_path / "a.gz"
    lines = b"".join(b'{"n":%d}\n' % n for n in range(1_000))
    path.write_bytes(gzip.compress(lines)[:-40])
    pairs, text = collect(path)
    assert 0 < len(pairs) < 1_000
    assert text == f"a.gz, line {len(pairs) + 1}: the file is truncated"


def test_damaged_gzip_tells_what_came_before_the_damage(tmp_path):
    path = tmp_path / "a.gz"
    packed = bytearray(gzip.compress(b"".join(b'{"n":%d}\n' % n for n in range(9_000))))
    packed[-8] ^= 0xFF  # the stored checksum
    path.write_bytes(packed)
    pairs, text = collect(path)
    assert len(pairs) > 8_000
    assert "the compressed data is damaged" in text


def test_plain_file_cut_inside_a_line_is_truncated(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"n":1}\n{"n":')
    pairs, text = collect(path)
    assert pairs == [(1, b'{"n":1}')]
    assert text == "a.jsonl, line 2: the file is truncated"


def test_endless_line_is_refused(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"x" * (LINE_BYTES_MAX + CHUNK_BYTES))
    assert "longer than any frame" in collect(path)[1]


def test_memory_does_not_grow_with_the_file(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"n":1}\n' * 100_000)
    stats = RecordingStats()
    lines = read_lines(path, stats)
    next(lines)
    assert stats.bytes_read == CHUNK_BYTES


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "packed"])
def test_mark_at_the_beginning_costs_no_line(tmp_path, pack):
    path = tmp_path / "a.jsonl"
    path.write_bytes(pack(b'\xef\xbb\xbf{"n":1}\n{"n":2}\n'))
    assert read(path)[0] == [(1, b'{"n":1}'), (2, b'{"n":2}')]


def foreign_files():
    line = b'{"n":1}\n'
    packed, taped = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("day.jsonl", line)
    with tarfile.open(fileobj=taped, mode="w") as archive:
        member = tarfile.TarInfo("day.jsonl")
        member.size = len(line)
        archive.addfile(member, io.BytesIO(line))
    database = sqlite3.connect(":memory:")
    database.execute("CREATE TABLE frames (line)")
    stored = database.serialize()
    database.close()
    return {
        "is a zip archive; unpack it first": packed.getvalue(),
        "is a tar archive; unpack it first": taped.getvalue(),
        "is an SQLite database": stored,
        "is packed with zstd; unpack it first": zstandard.compress(line),
        "is packed with bzip2; unpack it first": bz2.compress(line),
        "is packed with xz; unpack it first": lzma.compress(line),
    }


@pytest.mark.parametrize(("said", "content"), foreign_files().items(), ids=lambda v: str(v)[:20])
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "packed"])
def test_file_that_is_none_of_lines_is_named_as_what_it_is(tmp_path, said, content, pack):
    path = tmp_path / "day.jsonl"
    path.write_bytes(pack(content))
    pairs, text = collect(path)
    assert pairs == []
    assert text.startswith(f"day.jsonl {said}")
