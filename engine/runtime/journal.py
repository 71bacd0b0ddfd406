"""The journal: what is asked, kept before it is done; what happened, kept before it is used.

`append` only encodes and queues; a thread of its own writes in groups (WAL, synchronous=FULL).
`commit` gives a future that is done when everything appended so far is on the disk. Where the
disk refuses, the future fails, records stay queued and are tried again: nothing is lost.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future
from typing import Protocol

import msgspec

from engine.errors import BrokenInvariant
from engine.runtime.journal_writer import JournalWriter
from storage.journal import JournalSnapshot, Snapshots, last_seq, latest_snapshots, load
from storage.records import NAMES, Digest, Record, decode

__all__ = [
    "DigestRecorder",
    "JournalSnapshot",
    "JournalWriter",
    "Record",
    "Recorder",
    "Snapshots",
    "decode",
    "digest_of",
    "last_seq",
    "latest_snapshots",
    "load",
]

DIGEST_ROWS = 1_024
"""Rows that are encoded and hashed in one go."""

SNAPSHOT_EVERY = 50_000
"""Records between two snapshots; the owner of the state calls `JournalWriter.snapshot`."""


class Recorder(Protocol):
    """What keeps records: on the disk (`JournalWriter`) or as a digest only."""

    tape: int
    """Position on the tape that the following records come from; 0 = none."""

    def append(self, account: str, message: msgspec.Struct, at_ns: int) -> int:
        """Keep a message of the domain; give its seq. No I/O. Raises StorageError when full."""
        ...

    def commit(self) -> Future[int]:
        """Give a future of the last seq, done when everything appended so far is durable."""
        ...

    def flush(self) -> None:
        """Wait until everything appended so far is durable. Raises StorageError."""
        ...

    def digest(self) -> str:
        """Return the digest over (kind, at_ns, account, body) of all records of this run."""
        ...

    def close(self) -> None:
        """Write what is left and stop. Raises StorageError naming what could not be written."""
        ...


class DigestRecorder:
    """Keeps nothing but a running digest and a count; equal to a full journal's digest."""

    __slots__ = ("_digest", "_folded", "_rows", "tape")

    def __init__(self) -> None:
        self.tape = 0
        self._rows: list[tuple[str, int, str, msgspec.Struct]] = []
        self._folded = 0
        self._digest = Digest()

    def append(self, account: str, message: msgspec.Struct, at_ns: int) -> int:
        """Take a message into the digest; give its seq."""
        rows = self._rows
        try:
            rows.append((NAMES[type(message)], at_ns, account, message))
        except KeyError:
            raise BrokenInvariant(f"{type(message).__name__} cannot be journaled") from None
        count = len(rows)
        if count >= DIGEST_ROWS:
            self._fold()
            return self._folded
        return self._folded + count

    def _fold(self) -> None:
        rows, self._rows = self._rows, []
        self._folded += len(rows)
        self._digest.add(rows)

    def commit(self) -> Future[int]:
        """Nothing is ever on its way: done at once."""
        future: Future[int] = Future()
        future.set_result(self._folded + len(self._rows))
        return future

    def flush(self) -> None:
        """Nothing is ever on its way."""

    def digest(self) -> str:
        """Return the digest of everything appended so far."""
        self._fold()
        return self._digest.text()

    def close(self) -> None:
        """Nothing is held."""


def digest_of(records: Iterable[Record]) -> str:
    """Return the digest a recorder of exactly these records would give."""
    digest = Digest()
    rows: list[tuple[str, int, str, msgspec.Raw]] = []
    for record in records:
        rows.append((record.kind, record.at_ns, record.account, msgspec.Raw(record.body)))
        if len(rows) >= DIGEST_ROWS:
            digest.add(rows)
            rows = []
    digest.add(rows)
    return digest.text()
