"""Opens a recording: a path's content decides its kind; a raw one is read once."""

from __future__ import annotations

import hashlib
import importlib
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import cache
from itertools import islice
from pathlib import Path

import msgspec

from engine import log
from engine.clock import WallClock
from engine.domain.events import (
    BookChanged,
    Event,
    FeedLost,
    FeedRestored,
    InstrumentListed,
    MarketEvent,
    TradePrinted,
)
from engine.domain.instruments import Instrument, InstrumentId
from engine.domain.plain import PlainDict
from engine.domain.settings import CURRENCY
from engine.errors import BadInput, ConfigError
from engine.feeds.counts import UNREADABLE
from engine.lab.recordings.btc5m import Btc5mRecording, read_tokens
from engine.lab.recordings.door import Recording, RecordingStats
from engine.lab.recordings.lines import read_lines
from engine.lab.recordings.multifeed import MESSAGES, MultifeedRecording, markets_beside
from engine.lab.recordings.receive_times import Frame, ReceiveTimes
from engine.plugins import without_docs
from engine.runtime.tape_format import (
    BEGIN,
    EVENTS,
    FORMAT,
    Begin,
    TapeEntry,
    block_bytes,
    entries_of,
    unpack_begin,
    unpack_events,
)
from storage.tape_blocks import FILE_MAGIC, SUFFIX, Block, Torn, blocks, segments

SNIFFED_LINES = 20
"""Lines looked at before a file is called foreign: the first may be damaged."""

FORMATS = (
    "A line is a JSON object with recv_ts, slug and raw (books), or with source, recv_wall_ts and "
    "payload (frames of several feeds); a folder of *.tape is Pitboss's own"
)

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
        if beside := _lines_in(path):
            raise BadInput(_several(path, ["tape", *sorted({_kind(one) for one in beside})]))
        return TapedRecording(path), ()
    files = _files(path)
    if not files:
        raise BadInput(f"{path}: holds no recording (*.jsonl, *.jsonl.gz or *.tape)")
    kinds = {_kind(file) for file in files}
    if len(kinds) > 1:
        raise BadInput(_several(path, sorted(kinds)))
    if kinds == {"multifeed"}:
        return MultifeedRecording(files), (*files, *(markets_beside(file) for file in files))
    table = _table_beside(files[0])
    tokens = read_tokens(table) if table is not None else {}
    return Btc5mRecording(files, tokens, size_max), (*files, *([table] if table else []))


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    named = _lines_in(path / "raw" if (path / "raw").is_dir() else path)
    sessions = [file for file in named if MESSAGES in file.name]
    if not sessions:
        return sorted(named, key=lambda file: file.name)
    beside = {*sessions, *(markets_beside(file) for file in sessions)}
    others = [file for file in named if file not in beside]
    # What is no recording stands beside one without harm; a recording is never left out silently.
    return [*sessions, *(file for file in others if _is_recording(file))]


def _lines_in(folder: Path) -> list[Path]:
    named = sorted(folder.glob("*.jsonl")) + sorted(folder.glob("*.jsonl.gz"))
    if len(named) > FILES_MAX:
        raise BadInput(f"{folder}: more than {FILES_MAX} files")
    return named


def _is_recording(file: Path) -> bool:
    try:
        _kind(file)
    except BadInput:
        return False
    return True


def _several(path: Path, kinds: Sequence[str]) -> str:
    return (
        f"{path}: holds recordings of several kinds ({', '.join(kinds)}): give each a folder of "
        "its own, or name one file"
    )


def _kind(file: Path) -> str:
    """Return the format of a file by its first readable lines. Raises BadInput."""
    for _, line in _first_lines(file):
        try:
            shape = _shape(line)
        except UNREADABLE:
            continue
        if _has(shape.recv_ts, shape.slug, shape.raw):
            _numbered(file, "recv_ts", shape.recv_ts, "seconds")
            return "btc5m"
        if _has(shape.source, shape.recv_wall_ts, shape.payload):
            _numbered(file, "recv_wall_ts", shape.recv_wall_ts, "milliseconds")
            return "multifeed"
    raise BadInput(f"{file.name}, line 1: not a line of any recording we can read. {FORMATS}")


def _numbered(file: Path, name: str, raw: msgspec.Raw, unit: str) -> None:
    """Raise BadInput where a receive time is text, such as ISO 8601."""
    text = bytes(raw)
    if text.startswith(b'"'):
        shown = text[:40].decode("utf-8", "replace")
        raise BadInput(
            f"{file.name}: {name} is the text {shown}; a receive time is a number of {unit} "
            "since 1970 in UTC: write it so"
        )


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


def instrument_recorded(path: Path) -> Instrument | None:
    """Return the first instrument that the engine recorded; None = another format, or none is.

    All other formats hold Polymarket's markets. Raises BadInput where the recording is torn.
    """
    if path.is_dir() and segments(path):
        for _, event in TapedRecording(path).events():
            if isinstance(event, InstrumentListed):
                return event.instrument
    return None


def currency_recorded(path: Path) -> str:
    """Return the currency of the first market of a recording. Raises BadInput where it is torn."""
    first = instrument_recorded(path)
    return CURRENCY if first is None else first.currency


class TapedRecording:
    """One recording made by the engine, in the order in which it was received."""

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
        for frame, now_ns in ReceiveTimes(stats).timed(self._frames()):
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
                raise BadInput(f"{path}: is not a recording but a tape of {entry.kind!r}")
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


# -- A raw recording is read once: its events are kept in our own format ---------------------------
#
#     imports/KEY.tape   blocks as the tape's (`engine/runtime/tape_format.py`), an entry each
#     entry "import"     JSON of a `ImportHead`, first
#     entry "told"       msgpack of a `ImportPart`: (now_ns, event) in the order of reading
#     entry "counts"     JSON of the `ImportCounts`, last: what is without it was never finished
#
# KEY is a digest of every byte that decides the events: the raw files, and the code that reads
# them. A file that changed, or a reader that did, has another key and is imported anew; a damaged
# import is found before any event is yielded from it.

READERS = (
    "engine.domain",
    "engine.feeds",
    "engine.lab.recordings",
    "engine.venues.polymarket.market",
)
"""Packages whose code decides what a raw file tells."""

BATCH_MAX = 1_000
"""Events of one entry: about 300 kB before they are packed."""

BYTES_MAX = 2 * 1024**3
"""Most bytes of all imports together; the one used longest ago goes first."""

CHUNK_BYTES = 1024 * 1024
OWN = frozenset({"at", "bytes_read", "bytes_total", "imported_ns"})
"""ImportCounts that are about the file being read, and not about what it tells."""


class ImportHead(msgspec.Struct, frozen=True, kw_only=True):
    """What an import was made from, and when."""

    files: tuple[str, ...]
    made_ns: int


class ImportPart(msgspec.Struct, frozen=True, array_like=True):
    """Some of the events. `frames` had been read by the end of it."""

    frames: int
    told: tuple[tuple[int, MarketEvent], ...]


class ImportCounts(msgspec.Struct, frozen=True, kw_only=True):
    """What was counted and verified while the raw files were read."""

    stats: PlainDict
    torn: str
    """Where the raw recording cannot be read on, and why; empty = it was read to its end."""


_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(ImportPart).decode


def with_import(
    raw: Recording, files: tuple[Path, ...], folder: Path, *, size_max: int | None
) -> Recording:
    """Return what tells the same as `raw`, from its import in `folder` where there is one.

    `files` are all that decide the events, `size_max` the cap on inferred sizes. Where there is
    no import yet, playing to the end makes it.
    """
    path = folder / f"{_key(files, size_max)}{SUFFIX}"
    try:
        return ImportedRecording(path)
    except FileNotFoundError:
        pass
    except (BadInput, OSError) as error:
        log.get("import").warning("import.damaged", file=str(path), reason=str(error))
    return Importing(raw, path, tuple(file.name for file in files))


class ImportedRecording:
    """A raw recording, replayed from its import.

    Raises FileNotFoundError where there is none, BadInput or OSError where it cannot be believed.
    """

    def __init__(self, path: Path) -> None:
        self.stats = RecordingStats()
        self._path = path
        self._head, self._counts = _verified(path)
        self.stats.imported_ns = self._head.made_ns
        self.stats.bytes_total = path.stat().st_size
        with suppress(OSError):
            os.utime(path)  # used now: others go first

    def events(self) -> Iterator[tuple[int, Event]]:
        """Yield (now_ns, event). See `Recording`."""
        stats = self.stats
        with self._path.open("rb") as file:
            for block in blocks(file, self._path):
                for entry in entries_of(block):
                    if entry.kind != "told":
                        continue
                    part = _unpack(entry.payload)
                    yield from part.told
                    stats.frames = part.frames
                    stats.bytes_read = file.tell()
        for name, value in self._counts.stats.items():
            now = getattr(stats, name)
            setattr(stats, name, value if now is None or type(now) is int else type(now)(value))
        stats.bytes_read = stats.bytes_total
        if self._counts.torn:
            raise BadInput(self._counts.torn)


def _verified(path: Path) -> tuple[ImportHead, ImportCounts]:
    """Prove every block, and give both ends. Raises BadInput."""
    first = last = None
    try:
        with path.open("rb") as file:
            for block in blocks(file, path):
                first, last = first or block, block
        if first is None or last is None:
            raise BadInput(f"{path.name} is empty")
        (head,), (counts,) = entries_of(first), entries_of(last)
        if (head.kind, counts.kind) != ("import", "counts"):
            raise BadInput(f"{path.name} was not finished")
        return (
            msgspec.json.decode(head.payload, type=ImportHead),
            msgspec.json.decode(counts.payload, type=ImportCounts),
        )
    except (Torn, msgspec.MsgspecError, ValueError) as error:
        raise BadInput(f"{path.name} is damaged: {error}") from None


class Importing:
    """A raw recording that leaves its import behind when it was played to its end."""

    def __init__(self, raw: Recording, path: Path, files: tuple[str, ...]) -> None:
        self.stats = raw.stats
        self._raw = raw
        self._path = path
        self._files = files

    def events(self) -> Iterator[tuple[int, Event]]:
        """Yield (now_ns, event). See `Recording`."""
        writer = _Writer(self._path, self._files)
        batch: list[tuple[int, Event]] = []
        torn: BadInput | None = None
        try:
            try:
                for one in self._raw.events():
                    batch.append(one)
                    if len(batch) == BATCH_MAX:
                        writer.append(self.stats.frames, batch)
                        batch = []
                    yield one
            except BadInput as error:
                torn = error
            writer.append(self.stats.frames, batch)
            writer.finish(self.stats, "" if torn is None else str(torn))
        finally:
            writer.discard()
        if torn is not None:
            raise torn


class _Writer:
    """Writes an import beside its place, and moves it there whole. A refusing disk ends it."""

    def __init__(self, path: Path, files: tuple[str, ...]) -> None:
        self._path = path
        self._beside = path
        self._written = 0
        self._refused = ""
        head = ImportHead(files=files, made_ns=WallClock().now_ns())
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.")
            self._beside = Path(name)
            os.close(descriptor)
            self._beside.write_bytes(FILE_MAGIC)
        except OSError as error:
            self._refuse(error)
        self._entry("import", head.made_ns, msgspec.json.encode(head))

    def append(self, frames: int, batch: list[tuple[int, Event]]) -> None:
        if batch:
            self._entry("told", batch[-1][0], _pack((frames, batch)))

    def finish(self, stats: RecordingStats, torn: str) -> None:
        counts = ImportCounts(stats={name: getattr(stats, name) for name in _counted()}, torn=torn)
        self._entry("counts", stats.last_ns or 0, msgspec.json.encode(counts))
        if self._refused:
            return
        try:
            self._beside.replace(self._path)
            _forget_others(self._path)
        except OSError as error:
            self._refuse(error)

    def discard(self) -> None:
        """Leave nothing behind of an import that was not finished."""
        if self._beside != self._path:
            with suppress(OSError):
                self._beside.unlink(missing_ok=True)

    def _entry(self, kind: str, at_ns: int, payload: bytes) -> None:
        if self._refused:
            return
        self._written += 1
        try:
            with self._beside.open("ab") as file:
                file.write(block_bytes(self._written, [(kind, at_ns, payload)]))
        except OSError as error:
            self._refuse(error)

    def _refuse(self, error: OSError) -> None:
        """Go on without an import: it saves time, and nothing else."""
        self._refused = str(error)
        log.get("import").warning("import.refused", file=str(self._path), reason=str(error))
        self.discard()


def _counted() -> list[str]:
    kinds = RecordingStats.__mro__
    return [n for kind in kinds for n in getattr(kind, "__slots__", ()) if n not in OWN]


def _forget_others(newest: Path) -> None:
    """Delete the imports used longest ago, until all of them fit."""
    found = [path for path in newest.parent.glob(f"*{SUFFIX}") if path != newest]
    room = BYTES_MAX - newest.stat().st_size
    for path in sorted(found, key=lambda path: path.stat().st_mtime_ns, reverse=True):
        room -= path.stat().st_size
        if room < 0:
            path.unlink(missing_ok=True)


def _key(files: tuple[Path, ...], size_max: int | None) -> str:
    digest = hashlib.blake2b(_reader_digest(), digest_size=16)
    digest.update(repr((size_max, [file.name for file in files])).encode())
    for path in files:
        digest.update(path.stat().st_size.to_bytes(8, "big"))
        with path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                digest.update(chunk)
    return digest.hexdigest()


@cache
def _reader_digest() -> bytes:
    folders = [importlib.import_module(name).__path__[0] for name in READERS]
    return digest_of_code(path for one in folders for path in sorted(Path(one).glob("*.py")))


def digest_of_code(paths: Iterable[Path]) -> bytes:
    """Return a digest of what files of Python do: a comment or a docstring changes nothing."""
    digest = hashlib.blake2b(digest_size=16)
    for path in paths:
        digest.update(path.name.encode() + without_docs(path.read_bytes()))
    return digest.digest()
