"""The tape's segments and blocks: each block is checksummed and complete in itself.

A torn end costs one block, a flipped byte is found. What a block's data holds is the engine's.

    segment  "TAPE1" and a line feed, then blocks
    block    header (magic, bytes, crc32, first position, entries, first and last at_ns), zstd bytes
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO
from zlib import crc32

import msgspec

from engine.errors import BadInput

FILE_MAGIC = b"TAPE1\n"
SUFFIX = ".tape"
_MAGIC = b"BLK1"
_HEADER = struct.Struct("<4sIIQIqq")
_SUMMED = struct.Struct("<IQIqq")


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """A block's header, proven against its data."""

    offset: int
    first: int
    entries: int
    first_ns: int
    last_ns: int
    data: bytes


class Torn(Exception):
    """The segment ends inside a block."""

    def __init__(self, offset: int) -> None:
        super().__init__(offset)
        self.offset = offset


POSITION_MAX = 1 << 53
"""No tape comes this far: a larger number is not the name of a segment."""


def segment_name(first: int) -> str:
    return f"{first:020d}{SUFFIX}"


def segments(folder: Path) -> list[Path]:
    """Return the segments of a tape, oldest first; anything else in its folder is not ours."""
    found = sorted(folder.glob("[0-9]" * 20 + SUFFIX))
    return [path for path in found if int(path.stem) < POSITION_MAX and path.is_file()]


def framed(data: bytes, first: int, entries: int, first_ns: int, last_ns: int) -> bytes:
    """Return a block: data with its header. `first` = the position of its first entry."""
    checksum = crc32(data, crc32(_SUMMED.pack(len(data), first, entries, first_ns, last_ns)))
    return _HEADER.pack(_MAGIC, len(data), checksum, first, entries, first_ns, last_ns) + data


def blocks(file: BinaryIO, path: Path) -> Iterator[Block]:
    """Give the blocks of a segment. Raises Torn at an unfinished one, BadInput at a damaged one."""
    if file.read(len(FILE_MAGIC)) != FILE_MAGIC:
        raise Torn(0)
    while True:
        offset = file.tell()
        head = file.read(_HEADER.size)
        if not head:
            return
        if len(head) < _HEADER.size:
            raise Torn(offset)
        magic, size, checksum, first, entries, first_ns, last_ns = _HEADER.unpack(head)
        data = file.read(size) if magic == _MAGIC else b""
        if magic == _MAGIC and len(data) < size:
            raise Torn(offset)
        summed = crc32(data, crc32(_SUMMED.pack(size, first, entries, first_ns, last_ns)))
        if magic != _MAGIC or summed != checksum:
            raise BadInput(f"{path} is damaged at byte {offset}: a block's checksum does not match")
        yield Block(
            offset=offset,
            first=first,
            entries=entries,
            first_ns=first_ns,
            last_ns=last_ns,
            data=data,
        )


def begun_ns(segment: Path) -> int | None:
    """Return the time of a segment's first entry, None where not even that can be read."""
    try:
        with segment.open("rb") as file:
            for block in blocks(file, segment):
                return block.first_ns
    except (Torn, BadInput, OSError):
        return None
    return None
