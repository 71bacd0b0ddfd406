"""What kind of recording a path holds, told from its content."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import msgspec

from engine.errors import BadInput, ConfigError
from engine.feeds.bad_frame import UNREADABLE
from engine.lab.recordings.btc5m import Btc5mRecording, TokenTable, read_tokens
from engine.lab.recordings.door import Recording, RecordingStats
from engine.lab.recordings.lines import read_lines
from engine.lab.recordings.multifeed import MESSAGES, MultifeedRecording
from engine.lab.recordings.taped import TapedRecording
from engine.runtime.tape_format import segments

SNIFFED_LINES = 20
"""Lines looked at before a file is called foreign: the first may be damaged."""

FILES_MAX = 10_000
"""Files taken from one folder."""


class _Shape(msgspec.Struct):
    """The keys by which lines of the formats differ."""

    recv_ts: msgspec.Raw = msgspec.Raw()
    slug: msgspec.Raw = msgspec.Raw()
    raw: msgspec.Raw = msgspec.Raw()
    source: msgspec.Raw = msgspec.Raw()
    recv_wall_ts: msgspec.Raw = msgspec.Raw()
    payload: msgspec.Raw = msgspec.Raw()


_shape = msgspec.json.Decoder(_Shape).decode


def open_recording(path: Path, size_max: int | None = None) -> Recording:
    """Open a file, or a folder with all its days or sessions in order.

    `size_max` caps trade sizes that are read from falling levels. Raises BadInput with one sentence
    where nothing there is a recording we can read, ConfigError where it has no such sizes.
    """
    recording = _opened(path, size_max)
    if size_max is not None and not isinstance(recording, Btc5mRecording):
        raise ConfigError(f"--trade-size-cap: {path} has the venue's own prints, none is inferred")
    return recording


def _opened(path: Path, size_max: int | None) -> Recording:
    if not path.exists():
        raise BadInput(f"{path}: there is no such file or folder")
    if path.is_dir() and segments(path):
        return TapedRecording(path)
    files = _files(path)
    if not files:
        raise BadInput(f"{path}: holds no recording (*.jsonl, *.jsonl.gz or *.tape)")
    kinds = {_kind(file) for file in files}
    if len(kinds) > 1:
        raise BadInput(f"{path}: holds recordings of several kinds ({', '.join(sorted(kinds))})")
    if kinds == {"multifeed"}:
        return MultifeedRecording(files)
    return Btc5mRecording(files, _tokens_beside(files[0]), size_max)


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    folder = path / "raw" if (path / "raw").is_dir() else path
    named = sorted(folder.glob("*.jsonl")) + sorted(folder.glob("*.jsonl.gz"))
    if len(named) > FILES_MAX:
        raise BadInput(f"{path}: more than {FILES_MAX} files")
    sessions = [file for file in named if MESSAGES in file.name]
    return sessions or sorted(named, key=lambda file: file.name)


def _kind(file: Path) -> str:
    """Return the format of a file by its first readable lines. Raises BadInput."""
    for _, line in _first_lines(file):
        try:
            shape = _shape(line)
        except UNREADABLE:
            continue
        if _has(shape.recv_ts, shape.slug, shape.raw):
            return "btc5m"
        if _has(shape.source, shape.recv_wall_ts, shape.payload):
            return "multifeed"
    raise BadInput(f"{file.name}, line 1: not a line of any recording we can read")


def _first_lines(file: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the first lines; a torn end is the reader's to report, after what is whole."""
    lines = read_lines(file, RecordingStats())
    found = 0
    try:
        for line in islice(lines, SNIFFED_LINES):
            found += 1
            yield line
    except BadInput:
        if not found:
            raise


def _has(*values: msgspec.Raw) -> bool:
    return all(len(bytes(value)) for value in values)


def _tokens_beside(file: Path) -> TokenTable:
    """Return the table of tokens beside a file or one folder above, or none."""
    for folder in (file.parent, file.parent.parent):
        table = folder / "markets.csv"
        if table.is_file():
            return read_tokens(table)
    return {}
