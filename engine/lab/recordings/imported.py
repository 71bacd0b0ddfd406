"""A raw recording is read once: what it told is kept in our own format, and told from there later.

    imports/KEY.tape   blocks as the tape's (`engine/runtime/tape_format.py`), an entry each
    entry "import"     JSON of a `ImportHead`, first
    entry "told"       msgpack of a `ImportPart`: (now_ns, event) in the order they were told
    entry "counts"     JSON of the `ImportCounts`, last: what is without it was never finished

KEY is a digest of every byte that decides what is told: the raw files, and the code that reads
them. A file that changed, or a reader that did, has another key and is imported anew; a damaged
import is found before anything is told from it.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from engine import log
from engine.clock import WallClock
from engine.domain.events import Event, MarketEvent
from engine.errors import BadInput
from engine.lab.recordings.door import Recording, RecordingStats
from engine.runtime.tape_format import FILE_MAGIC, SUFFIX, Torn, block_bytes, blocks, entries_of

READERS = (
    "engine.domain",
    "engine.feeds",
    "engine.lab.recordings",
    "engine.venues.polymarket.market",
)
"""Packages whose code decides what a raw file tells."""

TOLD_MAX = 1_000
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
    """Some of what was told. `frames` had been read by the end of it."""

    frames: int
    told: tuple[tuple[int, MarketEvent], ...]


class ImportCounts(msgspec.Struct, frozen=True, kw_only=True):
    """What was counted and verified while the raw files were read."""

    stats: dict[str, Any]
    torn: str
    """Where the raw recording cannot be read on, and why; empty = it was read to its end."""


_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(ImportPart).decode


def with_import(
    raw: Recording, files: tuple[Path, ...], folder: Path, *, size_max: int | None
) -> Recording:
    """Return what tells the same as `raw`, from its import in `folder` where there is one.

    `files` are all that decide what is told, `size_max` the cap on inferred sizes. Where there is
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
    """A raw recording, told from its import.

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
        told: list[tuple[int, Event]] = []
        torn: BadInput | None = None
        try:
            try:
                for one in self._raw.events():
                    told.append(one)
                    if len(told) == TOLD_MAX:
                        writer.told(self.stats.frames, told)
                        told = []
                    yield one
            except BadInput as error:
                torn = error
            writer.told(self.stats.frames, told)
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

    def told(self, frames: int, told: list[tuple[int, Event]]) -> None:
        if told:
            self._entry("told", told[-1][0], _pack((frames, told)))

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


def _forget_others(kept: Path) -> None:
    """Delete the imports used longest ago, until all of them fit."""
    found = [path for path in kept.parent.glob(f"*{SUFFIX}") if path != kept]
    room = BYTES_MAX - kept.stat().st_size
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
    digest = hashlib.blake2b(digest_size=16)
    for name in READERS:
        (folder,) = importlib.import_module(name).__path__
        for path in sorted(Path(folder).glob("*.py")):
            digest.update(path.name.encode() + path.read_bytes())
    return digest.digest()
