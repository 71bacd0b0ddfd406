"""What kind of recording a path holds, told from its content."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import msgspec

from engine.domain.events import (
    BookChanged,
    Event,
    FeedLost,
    FeedRestored,
    InstrumentListed,
    TradePrinted,
)
from engine.domain.instruments import InstrumentId
from engine.errors import BadInput, ConfigError
from engine.feeds.counts import UNREADABLE
from engine.lab.recordings.btc5m import Btc5mRecording, read_tokens
from engine.lab.recordings.door import Recording, RecordingStats
from engine.lab.recordings.imported import with_import
from engine.lab.recordings.lines import read_lines
from engine.lab.recordings.multifeed import MESSAGES, MultifeedRecording, markets_beside
from engine.lab.recordings.receive_times import Frame, ReceiveTimes
from engine.runtime.tape_format import (
    BEGIN,
    EVENTS,
    FORMAT,
    Begin,
    Block,
    TapeEntry,
    Torn,
    blocks,
    entries_of,
    segments,
    unpack_begin,
    unpack_events,
)

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


def open_recording(
    path: Path, size_max: int | None = None, imports: Path | None = None
) -> Recording:
    """Open a file, or a folder with all its days or sessions in order.

    `size_max` caps trade sizes that are read from falling levels. `imports` is the folder in which
    raw recordings are kept once they were read; None = they are read as they are. Raises BadInput
    with one sentence where nothing there is a recording we can read, ConfigError where it has no
    such sizes.
    """
    recording, files = _opened(path, size_max)
    if size_max is not None and not isinstance(recording, Btc5mRecording):
        raise ConfigError(f"--trade-size-cap: {path} has the venue's own prints, none is inferred")
    if imports is None or not files:
        return recording
    return with_import(recording, files, imports, size_max=size_max)


def _opened(path: Path, size_max: int | None) -> tuple[Recording, tuple[Path, ...]]:
    """Return what is there, and every file that decides what a raw recording tells."""
    if not path.exists():
        raise BadInput(f"{path}: there is no such file or folder")
    if path.is_dir() and segments(path):
        return TapedRecording(path), ()
    files = _files(path)
    if not files:
        raise BadInput(f"{path}: holds no recording (*.jsonl, *.jsonl.gz or *.tape)")
    kinds = {_kind(file) for file in files}
    if len(kinds) > 1:
        raise BadInput(f"{path}: holds recordings of several kinds ({', '.join(sorted(kinds))})")
    if kinds == {"multifeed"}:
        return MultifeedRecording(files), (*files, *(markets_beside(file) for file in files))
    table = _table_beside(files[0])
    tokens = read_tokens(table) if table is not None else {}
    return Btc5mRecording(files, tokens, size_max), (*files, *([table] if table else []))


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


def _table_beside(file: Path) -> Path | None:
    tables = (folder / "markets.csv" for folder in (file.parent, file.parent.parent))
    return next((table for table in tables if table.is_file()), None)


# -- Reader of the recordings the engine makes itself: segments of events, block by block ----------

TORN = "torn end of a segment"


class TapedRecording:
    """One recording made by the engine, in the order in which it was heard."""

    def __init__(self, folder: Path) -> None:
        self.stats = RecordingStats()
        self._folder = folder
        self._segments = segments(folder)
        self.stats.bytes_total = sum(path.stat().st_size for path in self._segments)
        self._next = 1
        self._clock_ns = 0
        self._lost: dict[InstrumentId | None, int] = {}
        """Since when what was lost; None = the whole feed."""

    def events(self) -> Iterator[tuple[int, Event]]:
        """Yield (now_ns, event). See `Recording`.

        A segment that ends inside a block is a crash of the recorder: it is counted, and what was
        recorded afterwards begins with a gap. Raises BadInput where that is the recording's end.
        """
        stats = self.stats
        for frame, now_ns in ReceiveTimes(stats).told(self._frames()):
            stats.frames += 1
            stats.at = frame.at
            stats.out_of_order += frame.received_ns < self._clock_ns
            head, events = frame.line
            if head is not None:
                yield from self._begin(head)
                continue
            self._clock_ns = stats.last_ns = now_ns
            if stats.first_ns is None:
                stats.first_ns = now_ns
            stats.events += len(events)
            for event in events:
                self._look(event, now_ns)
                yield now_ns, event

    def _frames(self) -> Iterator[Frame]:
        """Yield every entry with its time; the line is (its head, its events)."""
        stats = self.stats
        for path in self._segments:
            before = stats.bytes_read
            try:
                with path.open("rb") as file:
                    for block in blocks(file, path):
                        self._follows(block, path)
                        for entry in entries_of(block):
                            yield self._frame(entry, path)
                        stats.bytes_read = before + file.tell()
            except Torn as error:
                if path == self._segments[-1]:
                    where = f"{path.name}, entry {self._next}"
                    raise BadInput(f"{where}: {TORN}, at byte {error.offset}") from None
                stats.anomaly(TORN)
            stats.bytes_read = before + path.stat().st_size

    def _follows(self, block: Block, path: Path) -> None:
        """Refuse a hole. Raises BadInput."""
        if block.first != self._next:
            raise BadInput(
                f"{path}: entries {self._next} to {block.first - 1} are missing; a segment of this "
                "recording was removed or damaged"
            )
        self._next = block.first + block.entries

    @staticmethod
    def _frame(entry: TapeEntry, path: Path) -> Frame:
        at = (path.name, entry.position)
        try:
            if entry.kind == BEGIN:
                return Frame(at, (unpack_begin(entry.payload), ()), entry.at_ns, fresh=False)
            if entry.kind != EVENTS or entry.position == 1:
                raise BadInput(f"{path}: is no recording but a tape of {entry.kind!r}")
            events = unpack_events(entry.payload)
        except msgspec.DecodeError as error:
            raise BadInput(f"{path}, entry {entry.position}: cannot be read: {error}") from error
        stamp_ns = max((getattr(event, "exchange_ns", None) or 0 for event in events), default=0)
        fresh = any(isinstance(event, BookChanged | TradePrinted) for event in events)
        return Frame(at, (None, events), entry.at_ns, stamp_ns, fresh and stamp_ns > 0)

    def _begin(self, head: Begin) -> Iterator[tuple[int, Event]]:
        """Check the head; tell a gap where there is one, at the last moment anything was known."""
        if head.format != FORMAT:
            raise BadInput(
                f"{self._folder}: has format {head.format}, this version reads {FORMAT}: it was "
                "made by a newer one"
            )
        if head.gap and self._clock_ns:
            lost = FeedLost(feed=head.feed, instrument=None, reason=head.gap)
            self.stats.events += 1
            self._look(lost, self._clock_ns)
            yield self._clock_ns, lost

    def _look(self, event: Event, now_ns: int) -> None:
        stats = self.stats
        if isinstance(event, FeedLost):
            stats.gaps += event.instrument not in self._lost
            self._lost.setdefault(event.instrument, now_ns)
        elif isinstance(event, FeedRestored):
            stats.gap_ns += now_ns - self._lost.pop(event.instrument, now_ns)
        elif isinstance(event, InstrumentListed):
            stats.markets.add(event.instrument.id)
