"""The tape's bytes: blocks of entries, each compressed, checksummed and complete in itself.

A torn end costs one block, a flipped byte is found.

    segment  "TAPE1" and a line feed, then blocks
    block    header (magic, bytes, crc32, first position, entries, first and last at_ns), zstd bytes
    entry    kind length (1), kind, at_ns (8), payload length (4), payload
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO
from zlib import crc32

import msgspec
import zstandard

from engine.domain.events import MarketEvent
from engine.errors import BadInput

FILE_MAGIC = b"TAPE1\n"
SUFFIX = ".tape"
BLOCK_BYTES = 256 * 1024
"""Payload of one block before compression; one entry may be larger and is a block of its own."""

ENTRY_BYTES_MAX = 64 * 1024 * 1024
QUIET_BYTES = BLOCK_BYTES // 4
QUIET_LEVEL, BUSY_LEVEL = 9, 1
"""zstd's, below so many bytes of a block and from there on: half a second of CPU an hour saves a
sixth where little is received; where much is, time counts."""

_MAGIC = b"BLK1"
_HEADER = struct.Struct("<4sIIQIqq")
_SUMMED = struct.Struct("<IQIqq")
_AT = struct.Struct("<qI")

Queued = tuple[str, int, bytes]
"""kind, at_ns, payload."""


class TapeEntry(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One thing received."""

    position: int
    kind: str
    at_ns: int
    payload: bytes


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


def block_bytes(first: int, entries: Sequence[Queued]) -> bytes:
    parts: list[bytes] = []
    heads: dict[str, bytes] = {}
    for kind, at_ns, payload in entries:
        head = heads.get(kind)
        if head is None:
            name = kind.encode()
            head = heads[kind] = bytes((len(name),)) + name
        parts += (head, _AT.pack(at_ns, len(payload)), payload)
    raw = b"".join(parts)
    data = zstandard.compress(raw, QUIET_LEVEL if len(raw) < QUIET_BYTES else BUSY_LEVEL)
    first_ns, last_ns = entries[0][1], entries[-1][1]
    checksum = crc32(data, crc32(_SUMMED.pack(len(data), first, len(entries), first_ns, last_ns)))
    header = _HEADER.pack(_MAGIC, len(data), checksum, first, len(entries), first_ns, last_ns)
    return header + data


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


def entries_of(block: Block) -> Iterator[TapeEntry]:
    raw = zstandard.ZstdDecompressor().decompress(block.data, max_output_size=2 * ENTRY_BYTES_MAX)
    offset = 0
    for position in range(block.first, block.first + block.entries):
        start = offset + 1 + raw[offset]
        at_ns, size = _AT.unpack_from(raw, start)
        end = start + _AT.size + size
        yield TapeEntry(
            position=position,
            kind=raw[offset + 1 : start].decode(),
            at_ns=at_ns,
            payload=raw[start + _AT.size : end],
        )
        offset = end


# -- A recording in our own format: a tape of its own, holding events instead of frames ------------
# Entry "recording" is JSON of a `Begin`, at the start and after every gap; "events" is msgpack of
# the market events of one moment. It stays readable when a feed's parser changes. Entries are
# numbered without a hole; a missing segment is found.

FORMAT = 1
BEGIN = "recording"
EVENTS = "events"


class Begin(msgspec.Struct, frozen=True, kw_only=True):
    """The head of a recording, and of every part after a gap."""

    format: int
    name: str
    instruments: tuple[str, ...]
    feed: str
    gap: str = ""
    """Why nothing was received before this; empty = this is the beginning."""


pack_events = msgspec.msgpack.Encoder().encode
unpack_events = msgspec.msgpack.Decoder(tuple[MarketEvent, ...]).decode
pack_begin = msgspec.json.Encoder().encode
unpack_begin = msgspec.json.Decoder(Begin).decode
