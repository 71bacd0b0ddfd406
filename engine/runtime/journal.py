"""The journal as an engine uses it: kept before it is done, or before it is used.

`storage.journal_writer` keeps it on the disk; where no start reads it again, a digest will do.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol

import msgspec

from engine.errors import BrokenInvariant, LeaseLost, StorageError
from storage.journal_writer import NAMES, Digest

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


class EngineJournal(Recorder, Protocol):
    """A recorder that an engine starts from again."""

    failure: StorageError | None
    """The disk's present refusal, None = it writes."""

    def on_lease_lost(self, lost: Callable[[LeaseLost], object]) -> None:
        """Call `lost` once where a later start has taken the lease."""
        ...

    @property
    def seq(self) -> int: ...

    @property
    def durable_seq(self) -> int: ...

    def snapshot(self, name: str, body: bytes, seq: int) -> None:
        """Keep the state called `name` as it was after record `seq`."""
        ...


class DigestRecorder:
    """Keeps nothing but a running digest and a count; equal to a full journal's digest."""

    __slots__ = ("_digest", "_digested", "_rows", "tape")

    def __init__(self) -> None:
        self.tape = 0
        self._rows: list[tuple[str, int, str, msgspec.Struct]] = []
        self._digested = 0
        self._digest = Digest()

    def append(self, account: str, message: msgspec.Struct, at_ns: int) -> int:
        rows = self._rows
        try:
            rows.append((NAMES[type(message)], at_ns, account, message))
        except KeyError:
            raise BrokenInvariant(f"{type(message).__name__} cannot be journaled") from None
        count = len(rows)
        if count >= DIGEST_ROWS:
            self._digest_rows()
            return self._digested
        return self._digested + count

    def _digest_rows(self) -> None:
        rows, self._rows = self._rows, []
        self._digested += len(rows)
        self._digest.add(rows)

    def commit(self) -> Future[int]:
        """Nothing is ever on its way: done at once."""
        future: Future[int] = Future()
        future.set_result(self._digested + len(self._rows))
        return future

    def flush(self) -> None:
        """Nothing is ever on its way."""

    def digest(self) -> str:
        self._digest_rows()
        return self._digest.text()

    def close(self) -> None:
        """Nothing is held."""
