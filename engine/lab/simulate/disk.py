"""The disk of a simulated engine: its journal in memory, with what a power cut leaves of it.

`Journal` is one life's handle and a `Recorder`: bodies are encoded as the real journal's are, a
commit makes everything so far durable, and what is not durable is lost, from some record on, when
the engine dies. A handle whose lease is over can commit nothing any more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future
from hashlib import blake2b
from random import Random

import msgspec

from engine.errors import BrokenInvariant, StorageError
from storage.journal import NAMES, JournalSnapshot, Record, Snapshots

LINGER_NS = 50_000_000
"""As the real writer: without a commit a record waits no longer than this for company."""

Heard = Callable[[msgspec.Struct, int], None]
_encode = msgspec.msgpack.Encoder().encode


class EngineDied(BaseException):
    """The process of this life is gone: raised through the cores, caught by who starts it anew.

    No `Exception`: nothing inside an engine survives its own death.
    """


class Disk:
    """What survives of one account's engines."""

    def __init__(self, random: Random) -> None:
        self.rows: list[Record] = []
        self.snapshots: dict[str, list[JournalSnapshot]] = {}
        self.fence = 0
        self.full = False
        self.durable = 0
        """How many rows would survive a power cut."""
        self._random = random

    def take_lease(self) -> int:
        """Take the lease for a new life."""
        self.fence += 1
        return self.fence

    def cut(self) -> None:
        """Cut the power: keep what is durable, and as much of the rest as had been written."""
        rest = len(self.rows) - self.durable
        kept = self.durable + (0 if self.full or not rest else self._random.randint(0, rest))
        del self.rows[kept:]
        self.durable = len(self.rows)
        for name, versions in self.snapshots.items():
            self.snapshots[name] = [one for one in versions if one.seq <= kept]

    def lose(self, records: int) -> list[Record]:
        """Lose the end of what was durable; return it, as the projections have read it."""
        kept = max(0, self.durable - records)
        lost = self.rows[kept:]
        del self.rows[kept:]
        self.durable = kept
        for name, versions in self.snapshots.items():
            self.snapshots[name] = [one for one in versions if one.seq <= kept]
        return lost

    def accept(self, messages: Iterable[tuple[str, msgspec.Struct, int]]) -> None:
        """Write what is known of lost records behind what is left, all at once."""
        for account, message, at_ns in messages:
            seq, kind = len(self.rows) + 1, NAMES[type(message)]
            body = _encode(message)
            self.rows.append(Record(seq=seq, at_ns=at_ns, account=account, kind=kind, body=body))
        self.durable = len(self.rows)

    def latest(self) -> Snapshots:
        """Return the latest snapshots, as a start reads them."""
        by_name = {name: versions[-1] for name, versions in self.snapshots.items() if versions}
        return Snapshots(by_name=by_name, told=())

    def tail(self, after_seq: int) -> Iterable[Record]:
        """Give the records after a seq."""
        return self.rows[after_seq:]


class Journal:
    """One life's handle of the disk: a `Recorder`."""

    def __init__(self, disk: Disk, fence: int, *, heard: Heard, digest: blake2b) -> None:
        self.tape = 0
        self.dying = -1
        """The engine dies with this many further records; below zero it does not."""
        self._disk = disk
        self._fence = fence
        self._heard = heard
        self._digest = digest
        self._flushed_ns = 0

    @property
    def stale(self) -> bool:
        """True where a later life holds the lease."""
        return self._fence != self._disk.fence

    def append(self, account: str, message: msgspec.Struct, at_ns: int) -> int:
        """Keep a message. Raises EngineDied where the engine ends here."""
        kind = NAMES.get(type(message))
        if kind is None:
            raise BrokenInvariant(f"{type(message).__name__} cannot be journaled")
        disk = self._disk
        if self.stale:
            return len(disk.rows)  # queued for a file that is not ours any more
        if self.dying == 0:
            raise EngineDied
        body = _encode(message)
        seq = len(disk.rows) + 1
        disk.rows.append(Record(seq=seq, at_ns=at_ns, account=account, kind=kind, body=body))
        self._digest.update(b"%d|%b|" % (at_ns, account.encode()))
        self._digest.update(body)
        if at_ns - self._flushed_ns >= LINGER_NS and not disk.full:
            self._flushed_ns = at_ns
            disk.durable = seq - 1
        self._heard(message, at_ns)
        if self.dying > 0:
            self.dying -= 1
            if self.dying == 0:
                raise EngineDied
        return seq

    def secure(self) -> None:
        """Make everything durable now. Raises StorageError where the disk or the lease refuses."""
        if self.stale:
            raise StorageError("another engine holds the lease of this journal")
        if self._disk.full:
            raise StorageError("the disk is full")
        self._disk.durable = len(self._disk.rows)

    def snapshot(self, name: str, body: bytes, at_ns: int) -> None:
        """Keep a state as it stands after the last record."""
        seq = len(self._disk.rows)
        if not self.stale and seq:
            versions = self._disk.snapshots.setdefault(name, [])
            versions.append(JournalSnapshot(name=name, seq=seq, at_ns=at_ns, body=body))
            del versions[:-3]

    # -- the rest of a recorder --------------------------------------------------------------------

    def commit(self) -> Future[int]:
        """Give a future that is done, or failed, at once."""
        future: Future[int] = Future()
        try:
            self.secure()
        except StorageError as error:
            future.set_exception(error)
        else:
            future.set_result(len(self._disk.rows))
        return future

    def flush(self) -> None:
        """Make everything durable now. Raises StorageError."""
        self.secure()

    def digest(self) -> str:
        """Return the digest of the whole run so far."""
        return self._digest.hexdigest()

    def close(self) -> None:
        """Nothing is held."""
