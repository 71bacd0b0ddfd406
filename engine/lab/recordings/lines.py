"""Lines of plain or gzip files, streamed in chunks: the memory does not grow with the file."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec

from engine.errors import BadInput
from engine.feeds.bad_frame import UNREADABLE
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
    def torn(self) -> bool:
        """True where the stream has begun and not ended."""
        ...


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
        """Unpack a damaged chunk in small steps, up to the damage."""
        plain = []
        try:
            for at in range(0, len(chunk), SALVAGE_BYTES):
                plain.append(stream.decompress(chunk[at : at + SALVAGE_BYTES]))  # noqa: PERF401 - keeps what came before the error
        except zlib.error:
            pass
        return b"".join(plain)


def read_lines(path: Path, stats: RecordingStats) -> Iterator[tuple[int, bytes]]:
    """Yield (line number from 1, line without its end). Blank lines are left out.

    Adds to `stats.bytes_read`. Raises BadInput with the line where the file ends torn or is
    damaged; whole lines before that have been yielded.
    """
    number = 0
    held = b""
    with path.open("rb") as file:
        unpacker: Unpacker = _Gzip() if file.peek(2)[:2] == GZIP_MAGIC else _Plain()
        while not unpacker.damage and (chunk := file.read(CHUNK_BYTES)):
            stats.bytes_read += len(chunk)
            lines = (held + unpacker.unpack(chunk)).split(b"\n")
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
    if unpacker.torn or (held and not _whole(held)):
        raise BadInput(f"{where}: the file is truncated")
    if held:
        yield number + 1, held


def _whole(line: bytes) -> bool:
    """Return whether the unterminated last line is a complete JSON text."""
    try:
        msgspec.json.decode(line)
    except UNREADABLE:
        return False
    return True
