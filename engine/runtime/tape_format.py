"""The tape's entries: what the data of a block (`storage.tape_blocks`) holds, compressed by zstd.

entry    kind length (1), kind, at_ns (8), payload length (4), payload
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

import msgspec
import zstandard

from engine.domain.events import MarketEvent
from storage.tape_blocks import Block, framed

BLOCK_BYTES = 256 * 1024
"""Payload of one block before compression; one entry may be larger and is a block of its own."""

ENTRY_BYTES_MAX = 64 * 1024 * 1024
QUIET_BYTES = BLOCK_BYTES // 4
QUIET_LEVEL, BUSY_LEVEL = 9, 1
"""zstd's, below so many bytes of a block and from there on: half a second of CPU an hour saves a
sixth where little is received; where much is, time counts."""

_AT = struct.Struct("<qI")

Queued = tuple[str, int, bytes]
"""kind, at_ns, payload."""


class TapeEntry(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One thing received."""

    position: int
    kind: str
    at_ns: int
    payload: bytes


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
    return framed(data, first, len(entries), entries[0][1], entries[-1][1])


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
