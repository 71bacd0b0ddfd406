"""Journal records: what a row holds, its checksum, and which struct its bytes are.

A record's body is the msgpack of one frozen message; its kind is the struct's name, which is also
the message's tag. The checksum covers every column, so that a flipped bit anywhere is found.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from types import UnionType
from typing import Any, get_args
from zlib import crc32

import msgspec

from engine.domain.commands import AnyCommand
from engine.domain.decisions import Decision
from engine.domain.effects import AnyEffect
from engine.domain.events import AnyEvent
from engine.domain.intents import Intent
from engine.errors import BadInput, JournalCorrupt

_NUMBERS = struct.Struct("<qqq")


class Record(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One row of the journal. `tape` is the position on the tape that led to it, 0 = none."""

    seq: int
    at_ns: int
    account: str
    kind: str
    body: bytes
    tape: int = 0


def names_sum(account: str, kind: str) -> int:
    """Return the checksum of a record's two names, the start of `record_sum`."""
    return crc32(f"{account}|{kind}|".encode())


def record_sum(names: int, seq: int, at_ns: int, tape: int, body: bytes) -> int:
    """Return a record's CRC-32 over account, kind, seq, at_ns, tape and body, in this order."""
    return crc32(body, crc32(_NUMBERS.pack(seq, at_ns, tape), names))


def _members(*unions: Any) -> dict[str, type[msgspec.Struct]]:
    kinds: dict[str, type[msgspec.Struct]] = {}
    for union in unions:
        for member in get_args(union) if isinstance(union, UnionType) else (union,):
            kinds[member.__name__] = member
    return kinds


KINDS = _members(AnyEvent, AnyEffect, AnyCommand, Intent, Decision)
"""Every kind a record may have, by name."""

NAMES = {kind: name for name, kind in KINDS.items()}
"""The kind of every struct that may be journaled."""

_DECODERS = {name: msgspec.msgpack.Decoder(kind) for name, kind in KINDS.items()}


def decode(record: Record) -> Any:
    """Return the struct a record holds. Raises JournalCorrupt where it cannot be read."""
    decoder = _DECODERS.get(record.kind)
    if decoder is None:
        raise JournalCorrupt(
            f"journal record {record.seq} has the unknown kind {record.kind!r}; "
            "it was written by another version, start that one"
        )
    try:
        return decoder.decode(record.body)
    except (msgspec.DecodeError, BadInput) as error:
        raise JournalCorrupt(
            f"journal record {record.seq} is no readable {record.kind}: {error}; "
            "restore the latest backup"
        ) from error


class Digest:
    """A running BLAKE2b over (kind, at_ns, account, body) of records, in the order they came.

    Each row is hashed as one msgpack array, so that no two different sequences look the same;
    a body may be given as the message or as its bytes in `msgspec.Raw`.
    """

    __slots__ = ("_encode", "_hash")

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=32)
        self._encode = msgspec.msgpack.Encoder().encode

    def add(self, rows: Sequence[tuple[str, int, str, Any]]) -> None:
        """Hash these rows."""
        if rows:
            # One call encodes all rows; the array's own header depends on how many there are.
            header = 1 if len(rows) < 16 else 3 if len(rows) < 65_536 else 5
            self._hash.update(memoryview(self._encode(rows))[header:])

    def text(self) -> str:
        """Return the digest of everything added so far, in hex."""
        return self._hash.hexdigest()
