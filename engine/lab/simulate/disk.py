"""The disk of a simulated engine: journal and state file in memory, and what a power cut leaves.

`Journal` is one life's handle: bodies are encoded as the real journal's are, a commit makes
everything so far durable, and what is not durable is lost, from some record on, when the engine
dies. A handle whose lease is over can commit nothing any more. The state file is SQLite as ever.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextlib import closing
from functools import cache
from hashlib import blake2b
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import msgspec

from engine.domain.decisions import Decision, Planned
from engine.errors import BrokenInvariant, LeaseLost, StorageError
from engine.lab.simulate.process import EngineDied, Process
from engine.runtime.aids import Notes
from engine.runtime.state_writer import StateWriter
from storage.database import connect_writer
from storage.journal import Record, Snapshots
from storage.journal_writer import NAMES, JournalSnapshot
from storage.schema import migrate

LINGER_NS = 50_000_000
"""As the real writer: without a commit a record waits no longer than this for company."""

LEASE_S = 1.0
RETRY_S = 0.25
STATE_S = 0.005
"""How long the state's writer needs to receive that something waits."""

OnRecord = Callable[[msgspec.Struct, int], None]
_encode = msgspec.msgpack.Encoder().encode


class DiskCopy(NamedTuple):
    """A home as it was copied."""

    rows: int
    """How many records; they are the disk's first ones."""
    snapshots: dict[str, list[JournalSnapshot]]
    state: sqlite3.Connection
    fence: int


class Disk:
    """What survives of one account's engines."""

    def __init__(self, random: Random) -> None:
        self.state = state_file()
        """It survives every life; what an engine had not handed over when it died is lost."""
        self.rows: list[Record] = []
        self.snapshots: dict[str, list[JournalSnapshot]] = {}
        self.fence = 0
        self.full = False
        self.durable = 0
        """How many rows would survive a power cut."""
        self._random = random

    def pause_s(self) -> float:
        """Draw how long the loop takes to receive that something is durable."""
        return self._random.choice((1, 1, 1, 5, 5, 40, 300)) / 1_000

    def keep(self, snapshot: JournalSnapshot) -> None:
        """Keep a snapshot and two before it."""
        versions = self.snapshots.setdefault(snapshot.name, [])
        versions.append(snapshot)
        del versions[:-3]

    def take_lease(self) -> int:
        """Take the lease for a new life."""
        self.fence += 1
        return self.fence

    def cut_power(self) -> None:
        """Cut the power: keep what is durable, and as much of the rest as had been written."""
        rest = len(self.rows) - self.durable
        end_seq = self.durable + (0 if self.full or not rest else self._random.randint(0, rest))
        del self.rows[end_seq:]
        self.durable = len(self.rows)
        for name, versions in self.snapshots.items():
            self.snapshots[name] = [one for one in versions if one.seq <= end_seq]

    def lose_end(self, records: int) -> list[Record]:
        """Lose the end of what was durable; return it, as the projections have read it."""
        end_seq = max(0, self.durable - records)
        lost = self.rows[end_seq:]
        del self.rows[end_seq:]
        self.durable = end_seq
        for name, versions in self.snapshots.items():
            self.snapshots[name] = [one for one in versions if one.seq <= end_seq]
        return lost

    def copy(self) -> DiskCopy:
        """Return what a copy of the home made now would have; cash must be booked before."""
        state = sqlite3.connect(":memory:")
        self.state.backup(state)
        snapshots = {
            name: [one for one in versions if one.seq <= self.durable]
            for name, versions in self.snapshots.items()
        }
        return DiskCopy(self.durable, snapshots, state, self.fence)

    def put_back(self, copy: DiskCopy) -> list[Record]:
        """Become an earlier copy; return the records that are in it no more."""
        lost = self.rows[copy.rows :]
        del self.rows[copy.rows :]
        self.durable, self.fence = copy.rows, copy.fence
        self.snapshots = {name: list(versions) for name, versions in copy.snapshots.items()}
        copy.state.backup(self.state)
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
        return Snapshots(by_name=by_name, problems=())

    def tail(self, after_seq: int) -> Iterable[Record]:
        return self.rows[after_seq:]


class Journal:
    """One life's handle of the disk, as `storage.journal_writer.JournalWriter` is of the real one.

    It writes by timers of its process, so that one that hangs writes nothing.
    """

    def __init__(
        self, disk: Disk, fence: int, process: Process, *, received: OnRecord, digest: blake2b
    ) -> None:
        self.tape = 0
        self.failure: StorageError | None = None
        self._lost: Callable[[LeaseLost], object] = lambda _: None
        self.dies_in = -1
        """The engine dies with this many further records; below zero it does not."""
        self._disk = disk
        self._fence = fence
        self._process = process
        self._received = received
        self._digest = digest
        self._flushed_ns = 0
        self._at_ns = 0
        self._waiters: list[Future[int]] = []
        self._writing = False
        process.call_later(LEASE_S, self._look)

    @property
    def stale(self) -> bool:
        """True where a later life holds the lease."""
        return self._fence != self._disk.fence

    @property
    def seq(self) -> int:
        """The seq of the last record appended."""
        return len(self._disk.rows)

    @property
    def durable_seq(self) -> int:
        """The seq up to which everything is on the disk."""
        return self._disk.durable

    def append(self, account: str, message: msgspec.Struct, at_ns: int) -> int:
        """Keep a message. Raises EngineDied where the engine ends here."""
        kind = NAMES.get(type(message))
        if kind is None:
            raise BrokenInvariant(f"{type(message).__name__} cannot be journaled")
        disk = self._disk
        if self.stale:
            return len(disk.rows)  # queued for a file that is not ours any more
        if self.dies_in == 0 or self._process.dead:
            raise EngineDied
        body = _encode(message)
        seq = len(disk.rows) + 1
        disk.rows.append(
            Record(seq=seq, at_ns=at_ns, account=account, kind=kind, body=body, tape=self.tape)
        )
        self._at_ns = at_ns
        self._digest.update(b"%d|%b|" % (at_ns, account.encode()))
        self._digest.update(body)
        if at_ns - self._flushed_ns >= LINGER_NS and not disk.full:
            self._flushed_ns = at_ns
            disk.durable = seq - 1
        self._received(message, at_ns)
        if self.dies_in > 0:
            self.dies_in -= 1
            if self.dies_in == 0:
                raise EngineDied
        return seq

    def snapshot(self, name: str, body: bytes, seq: int) -> None:
        """Keep a state as it stands after a record."""
        if not (self.stale or self._process.dead):
            self._disk.keep(JournalSnapshot(name=name, seq=seq, at_ns=self._at_ns, body=body))

    def commit(self) -> Future[int]:
        """Give a future that is done when everything appended so far is durable, or fails."""
        future: Future[int] = Future()
        if self._disk.durable >= self.seq and not self.stale:
            future.set_result(self.seq)
            return future
        self._waiters.append(future)
        self._write_soon(0.001)
        return future

    # -- the writer --------------------------------------------------------------------------------

    def _write_soon(self, pause_s: float) -> None:
        if not self._writing:
            self._writing = True
            self._process.call_later(pause_s, self._write)

    def _write(self) -> None:
        """Write all there is; whoever waits for it hears of it when the loop comes to that."""
        self._writing = False
        waiters, self._waiters = self._waiters, []
        if self.stale:
            self._look()
            failure: StorageError | None = self.failure
        elif self._disk.full:
            failure = self.failure = StorageError("the disk is full")
            self._write_soon(RETRY_S)
        else:
            failure = self.failure = None
            self._disk.durable = len(self._disk.rows)
        seq = self._disk.durable
        self._process.call_later(self._disk.pause_s(), self._resolve, waiters, seq, failure)

    def _resolve(self, waiters: list[Future[int]], seq: int, failure: StorageError | None) -> None:
        for future in waiters:
            if not future.set_running_or_notify_cancel():
                continue
            if failure is None:
                future.set_result(seq)
            else:
                future.set_exception(failure)

    def _look(self) -> None:
        """Look whether a later start has the lease."""
        if not self.stale:
            self._process.call_later(LEASE_S, self._look)
        elif not isinstance(self.failure, LeaseLost):
            self.failure = LeaseLost("another engine holds the lease of this journal")
            self._lost(self.failure)

    def on_lease_lost(self, lost: Callable[[LeaseLost], object]) -> None:
        """Call `lost` once where a later start has taken the lease."""
        self._lost = lost

    # -- the rest of a recorder --------------------------------------------------------------------

    def flush(self) -> None:
        """Make everything durable now. Raises StorageError."""
        self.close()

    def digest(self) -> str:
        """Return the digest of the whole run so far."""
        return self._digest.hexdigest()

    def close(self) -> None:
        """Write what is left. Raises StorageError where disk or lease refuse."""
        if self._process.dead:
            raise EngineDied
        if self.stale:
            raise LeaseLost("another engine holds the lease of this journal")
        if self._disk.full:
            raise StorageError("the disk is full")
        self._disk.durable = len(self._disk.rows)


# -- The rest of what an engine stands on ----------------------------------------------------------


@cache
def _empty() -> sqlite3.Connection:
    """Return a state file with every table, in memory."""
    made = connect_writer(":memory:")
    with TemporaryDirectory() as folder:
        path = Path(folder) / "state.db"
        migrate(path)
        with closing(sqlite3.connect(path)) as source:
            source.backup(made)
    return made


def state_file() -> sqlite3.Connection:
    """Return a fresh state file in memory: it survives every life of its account's engines."""
    made = connect_writer(":memory:")
    _empty().backup(made)
    return made


class State(StateWriter):
    """Writes the state file by timers of the process."""

    def __init__(self, disk: Disk, process: Process, **wiring: Any) -> None:
        super().__init__(Path("pitboss.db"), **wiring)
        self._disk = disk
        self._process = process
        self._pending = False
        self._looked = -1
        """How much had been changed in the state file when there was no command left in it."""

    def wake(self, *, awaited: bool) -> None:
        """Write soon, whether or not somebody waits."""
        del awaited
        if not self._pending:
            self._pending = True
            self._process.call_later(STATE_S, self._turn)

    def look(self) -> None:
        """Claim the commands that were left, as soon as this engine listens."""
        state = self._disk.state
        if state.total_changes == self._looked or not self._listening.is_set() or self._disk.full:
            return
        if not self.claim(state, self._clock.now_ns()):
            self._looked = state.total_changes

    def _turn(self) -> None:
        self._pending = False
        if self._disk.full:
            self.failure = StorageError("the disk is full")
            self._pending = True
            self._process.call_later(RETRY_S, self._turn)
            return
        self.failure = None
        self.work(self._disk.state)

    def close(self) -> None:
        """Write what is left. Raises StorageError."""
        if self._process.dead:
            raise EngineDied
        if self._disk.full:
            raise StorageError("the disk is full")
        self.work(self._disk.state)


class NullWriter:
    """Projections and a tape without a reader here: judges fold the journal themselves."""

    failure: StorageError | None = None
    seq = 0

    def __init__(self) -> None:
        self.notes = Notes("tape")

    def at(self, seq: int, job: Callable[[], object]) -> bool:
        """Do nothing, ever."""
        del seq, job
        return False

    def append(self, kind: str, payload: bytes, at_ns: int) -> int:
        """Let it go."""
        del kind, payload, at_ns
        return 0

    def close(self) -> None:
        """Nothing is held."""


class DecisionSink:
    """Decisions, as judges and tests receive them: each before the executor receives its intent."""

    def __init__(self, receive: Callable[[Decision | Planned], None]) -> None:
        self.append = receive
        self.notes = Notes("decisions")

    def publish(self) -> None:
        """No page reads them."""

    def close(self) -> None:
        """Nothing is held."""
