"""Lines of plain or gzip files, streamed in chunks: the memory does not grow with the file."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec

from engine.errors import BadInput
from engine.feeds.counts import UNREADABLE
from engine.lab.recordings.door import RecordingStats

if TYPE_CHECKING:
    from zlib import _Decompress as Decompressor

CHUNK_BYTES = 64 * 1024
"""Compressed bytes read at once; market data unpacks to about twenty times that."""

LINE_BYTES_MAX = 8 * 1024 * 1024
"""A longer line is no frame of any venue: the file is foreign."""

SALVAGE_BYTES = 64
"""Step in which a damaged chunk is read up to its damage."""

GZIP_MAGIC = b"\x1f\x8b"
BOM = b"\xef\xbb\xbf"
"""What some editors write before a text; it says nothing."""

FOREIGN = (
    (0, b"PK\x03\x04", "is a zip archive; unpack it first"),
    (257, b"ustar", "is a tar archive; unpack it first"),
    (0, b"SQLite format 3\0", "is an SQLite database, not lines of JSON; export its frames first"),
    (0, b"PAR1", "is a Parquet file, not lines of JSON; export its frames first"),
    (0, b"\x28\xb5\x2f\xfd", "is packed with zstd; unpack it first"),
    (0, b"BZh", "is packed with bzip2; unpack it first"),
    (0, b"\xfd7zXZ\0", "is packed with xz; unpack it first"),
    (0, b"7z\xbc\xaf\x27\x1c", "is a 7z archive; unpack it first"),
    (0, b"TAPE1\n", "is one segment of a recording of our own; name the folder it lies in"),
)
"""Where which bytes stand in files that are no lines of text, and what is said of them."""


class Unpacker(Protocol):
    """Turns packed chunks into plain ones."""

    def unpack(self, chunk: bytes) -> bytes:
        """Return what the chunk adds; sets `damage` where it cannot be read to its end."""
        ...

    @property
    def damage(self) -> str:
        """What is wrong with the packed data; empty = nothing."""
        ...

    @property
    def torn(self) -> bool: ...


class _Plain:
    damage = ""
    torn = False

    def unpack(self, chunk: bytes) -> bytes:
        return chunk


class _Gzip:
    """Gzip members one after another, as `cat a.gz b.gz` makes them."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(wbits=31)
        self._begun = False
        self.damage = ""

    @property
    def torn(self) -> bool:
        return self._begun and not self._stream.eof

    def unpack(self, chunk: bytes) -> bytes:
        self._begun = True
        before = self._stream.copy()
        try:
            plain = self._stream.decompress(chunk)
            while self._stream.eof and self._stream.unused_data.strip(b"\0"):
                chunk = self._stream.unused_data
                self._stream = zlib.decompressobj(wbits=31)
                before = self._stream.copy()
                plain += self._stream.decompress(chunk)
        except zlib.error as error:
            self.damage = str(error)
            return self._salvage(before, chunk)
        return plain

    @staticmethod
    def _salvage(stream: Decompressor, chunk: bytes) -> bytes:
        plain = []
        try:
            for at in range(0, len(chunk), SALVAGE_BYTES):
                plain.append(stream.decompress(chunk[at : at + SALVAGE_BYTES]))  # noqa: PERF401 - keeps what came before the error
        except zlib.error:
            pass
        return b"".join(plain)


def is_json(line: bytes) -> bool:
    try:
        msgspec.json.decode(line)
    except UNREADABLE:
        return False
    return True


def read_lines(
    path: Path, stats: RecordingStats, whole: Callable[[bytes], bool] = is_json
) -> Iterator[tuple[int, bytes]]:
    """Yield (line number from 1, line without its end). Blank lines and a BOM are left out.

    `whole` judges a last line that has no end. Adds to `stats.bytes_read`. Raises BadInput where
    the file is none of lines, and with the line where it ends torn or is damaged; whole lines
    before that have been yielded.
    """
    number = 0
    held = b""
    begun = False
    with path.open("rb") as file:
        unpacker: Unpacker = _Gzip() if file.peek(2)[:2] == GZIP_MAGIC else _Plain()
        while not unpacker.damage and (chunk := file.read(CHUNK_BYTES)):
            stats.bytes_read += len(chunk)
            plain = unpacker.unpack(chunk)
            if plain and not begun:
                begun = True
                plain = _beginning(path, plain)
            lines = (held + plain).split(b"\n")
            held = lines.pop()
            if len(held) > LINE_BYTES_MAX:
                raise BadInput(f"{path.name}, line {number + 1}: longer than any frame")
            for line in lines:
                number += 1
                if line:
                    yield number, line
    where = f"{path.name}, line {number + 1}"
    if unpacker.damage:
        raise BadInput(f"{where}: the compressed data is damaged ({unpacker.damage})")
    if unpacker.torn or (held and not whole(held)):
        raise BadInput(f"{where}: the file is truncated")
    if held:
        yield number + 1, held


def _beginning(path: Path, plain: bytes) -> bytes:
    """Return the first bytes without a BOM. Raises BadInput for a file that is none of lines."""
    for at, magic, said in FOREIGN:
        if plain.startswith(magic, at):
            raise BadInput(f"{path.name} {said}")
    return plain.removeprefix(BOM)
