"""The journal's file and who writes it: `records` and `snapshots`, appended in batches.

`append` only encodes and queues; a thread of its own writes in groups (WAL, synchronous=FULL).
`commit` gives a future that is done when everything appended so far is on the disk. Where the disk
refuses, the future fails, records stay queued and are tried again: nothing is lost.

Anyone may read (`storage.journal`). Older records stand in blocks of the table `archive`, which
`storage.retention` fills.
"""

from __future__ import annotations

import hashlib
import sqlite3
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from types import UnionType
from typing import Any, get_args
from zlib import crc32

import msgspec

from engine.domain.commands import JournaledCommand
from engine.domain.decisions import Decision
from engine.domain.effects import AnyEffect
from engine.domain.events import AnyEvent
from engine.domain.intents import Intent
from engine.errors import BrokenInvariant, LeaseLost, StorageError
from storage.database import (
    BUSY_MS,
    Bulk,
    connect_writer,
    file_id,
    must_be,
    storage_errors,
    transaction,
)

# -- records: what a row holds, its checksum, and which struct its bytes are -----------------------
# A record's body is the msgpack of one frozen message; its kind is the struct's name, which is also
# the message's tag. The checksum covers every column, so that a flipped bit anywhere is found.

_NUMBERS = struct.Struct("<qqq")


def names_sum(account: str, kind: str) -> int:
    """Return the checksum of a record's two names, the start of `record_sum`."""
    return crc32(f"{account}|{kind}|".encode())


def record_sum(names: int, seq: int, at_ns: int, tape: int, body: bytes) -> int:
    """Return a record's CRC-32 over account, kind, seq, at_ns, tape and body, in this order."""
    return crc32(body, crc32(_NUMBERS.pack(seq, at_ns, tape), names))


def _members(*unions: object) -> dict[str, type[msgspec.Struct]]:
    kinds: dict[str, type[msgspec.Struct]] = {}
    for union in unions:
        for member in get_args(union) if isinstance(union, UnionType) else (union,):
            kinds[member.__name__] = member
    return kinds


KINDS = _members(AnyEvent, AnyEffect, JournaledCommand, Intent, Decision)
"""Every kind a record may have, by name."""

NAMES = {kind: name for name, kind in KINDS.items()}
"""The kind of every struct that may be journaled."""


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
        if rows:
            # One call encodes all rows; the array's own header depends on how many there are.
            header = 1 if len(rows) < 16 else 3 if len(rows) < 65_536 else 5
            self._hash.update(memoryview(self._encode(rows))[header:])

    def text(self) -> str:
        return self._hash.hexdigest()


# -- the file --------------------------------------------------------------------------------------

APPLICATION_ID = 0x50424A4C
"""`PBJL`: what SQLite's header says of our journals."""

VERSION = 2
BEFORE_ARCHIVE = 1
"""The version without an archive: read as it is, and made one of `VERSION` by who writes it."""

SNAPSHOTS_KEPT = 3
"""Per name; more than one, so that a damaged one has an elder."""

EXECUTOR = "executor:"
"""Begins the name of an account's snapshot."""

BASE_RECORDS = 500_000
"""Of an account's elder snapshots the first in so many records is kept, too: where the journal's
past is gone, what is behind it can be read again from there."""

ARCHIVE = """
CREATE TABLE archive (
    first INTEGER PRIMARY KEY, last INTEGER NOT NULL, first_ns INTEGER NOT NULL,
    last_ns INTEGER NOT NULL, accounts TEXT NOT NULL, whole INTEGER NOT NULL, body BLOB NOT NULL,
    crc INTEGER NOT NULL
)"""
"""`accounts` is JSON; `whole` 0 = records of the span are gone, what money did is not."""

_SCHEMA = f"""
CREATE TABLE records (
    seq INTEGER PRIMARY KEY, at_ns INTEGER NOT NULL, account TEXT NOT NULL, kind TEXT NOT NULL,
    body BLOB NOT NULL, crc INTEGER NOT NULL, tape INTEGER NOT NULL
);
CREATE TABLE snapshots (
    name TEXT NOT NULL, seq INTEGER NOT NULL, at_ns INTEGER NOT NULL, body BLOB NOT NULL,
    crc INTEGER NOT NULL, PRIMARY KEY (name, seq)
);
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
{ARCHIVE};
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {VERSION};
"""
RECORDS = Bulk("INSERT INTO records VALUES", 7)

RawRow = tuple[int, int, str, str, bytes, int, int]
"""seq, at_ns, account, kind, body, crc, tape."""


class JournalSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The state called `name` as it was after record `seq`."""

    name: str
    seq: int
    at_ns: int
    body: bytes


# -- writing ---------------------------------------------------------------------------------------


def open_journal(
    path: Path, engine_id: str, *, synchronous: str = "FULL", busy_ms: int = 5_000
) -> tuple[sqlite3.Connection, int]:
    """Open or create a journal; give its connection and the last seq in it.

    Raises StorageError for a file that is no journal, of a newer version or of another engine.
    """
    connection = connect_writer(path, synchronous=synchronous, busy_ms=busy_ms, any_thread=True)
    try:
        with storage_errors(path):
            if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
                _create(connection, engine_id)
            check_journal(connection, path, engine_id)
            bring_up(connection)
            last = last_of(connection)
    except BaseException:
        connection.close()
        raise
    return connection, last


def bring_up(connection: sqlite3.Connection) -> None:
    """Give a journal of before there was an archive an empty one."""
    with transaction(connection):
        if not has_archive(connection):
            connection.execute(ARCHIVE)
            connection.execute(f"PRAGMA user_version = {VERSION}")


def _create(connection: sqlite3.Connection, engine_id: str) -> None:
    with transaction(connection):
        if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
            for statement in _SCHEMA.split(";"):
                connection.execute(statement)
            connection.execute("INSERT INTO meta VALUES ('engine_id', ?)", (engine_id,))


def check_journal(connection: sqlite3.Connection, path: Path, engine_id: str | None) -> None:
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    if application != APPLICATION_ID:
        raise StorageError(
            f"{path} is not a journal of Pitboss; put its own back or restore a backup"
        )
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version not in (VERSION, BEFORE_ARCHIVE):
        raise StorageError(
            f"{path} has journal version {version}, this program reads {VERSION}; "
            "start the version that wrote it"
        )
    if engine_id is not None:
        owner = connection.execute("SELECT value FROM meta WHERE key = 'engine_id'").fetchone()
        if owner is None or owner[0] != engine_id:
            raise StorageError(
                f"{path} belongs to engine {owner[0] if owner else 'unknown'!r}, "
                f"not to {engine_id!r}; every engine has a journal of its own"
            )


def fence_of(connection: sqlite3.Connection) -> int:
    """Return the number of the lease in force; 0 = none was ever taken."""
    row = connection.execute("SELECT value FROM meta WHERE key = 'fence'").fetchone()
    return 0 if row is None else int(row[0])


def check_fence(connection: sqlite3.Connection, fence: int) -> None:
    if (taken := fence_of(connection)) != fence:
        raise LeaseLost(
            f"start {taken} of this engine has taken the lease of start {fence}: this one places "
            "and cancels nothing any more, and ends"
        )


def write_batch(
    connection: sqlite3.Connection,
    rows: Sequence[RawRow],
    snapshots: Sequence[JournalSnapshot],
    fence: int | None = None,
) -> None:
    """Append rows and snapshots in one transaction: all of them or none.

    Raises LeaseLost where `fence` is given and a later start has taken the lease.
    """
    with transaction(connection):
        if fence is not None:
            check_fence(connection, fence)
        RECORDS.write(connection, rows)
        for snapshot in snapshots:
            _write_snapshot(connection, snapshot)


def _write_snapshot(connection: sqlite3.Connection, snapshot: JournalSnapshot) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO snapshots VALUES (?,?,?,?,?)",
        (snapshot.name, snapshot.seq, snapshot.at_ns, snapshot.body, snapshot_sum(snapshot)),
    )
    connection.execute(
        "DELETE FROM snapshots WHERE name = ?1 AND seq NOT IN "
        "(SELECT seq FROM snapshots WHERE name = ?1 ORDER BY seq DESC LIMIT ?2) AND NOT (?3 AND "
        "seq IN (SELECT min(seq) FROM snapshots WHERE name = ?1 GROUP BY seq / ?4))",
        (snapshot.name, SNAPSHOTS_KEPT, snapshot.name.startswith(EXECUTOR), BASE_RECORDS),
    )


def snapshot_sum(snapshot: JournalSnapshot) -> int:
    names = names_sum("snapshot", snapshot.name)
    return record_sum(names, snapshot.seq, snapshot.at_ns, 0, snapshot.body)


def has_archive(connection: sqlite3.Connection) -> bool:
    row = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'archive'").fetchone()
    return row is not None


def last_of(connection: sqlite3.Connection) -> int:
    """Return the seq of the last record, 0 where there is none."""
    query = "SELECT coalesce(max(seq), 0) FROM records"
    if has_archive(connection):
        query = f"SELECT max(({query}), (SELECT coalesce(max(last), 0) FROM archive))"  # noqa: S608 ours
    return int(connection.execute(query).fetchone()[0])


# -- The full recorder: encodes and queues on the caller's thread, writes in groups on its own -----
# The caller's thread is the only one that may call `append`, `snapshot` and `commit`. What the
# disk refuses stays queued and is tried again; `failure` says so as long as it lasts.

QUEUE_MAX = 100_000
"""Most records that are appended and not yet on the disk."""

BATCH_MAX = 5_000
"""Most records of one transaction."""

LINGER_S = 0.25
"""Longest time a record waits for company when no commit is awaited: a fact that the venue reports
again when it is asked. What must be kept before it is done is awaited, and written at once."""

RETRY_S = 0.25
"""Pause after a refusal of the disk."""

PATIENCE_S = 30.0
"""How long a caller that waits for space, for a commit or for the end stands a refusing disk."""

LEASE_S = 1.0
"""How often it is looked whether the lease is still ours."""

CHECKPOINT_RECORDS = 2_000
"""Records after which an idle moment is used to move the write-ahead log into the file."""

CLOSED = StorageError("the journal is closed or its writer has ended: restart the program")

_Queued = tuple[int, int, str, str, bytes, int]
"""seq, at_ns, account, kind, body, tape."""


class JournalWriter:
    """Writes the journal of one engine. `failure` is the disk's present refusal, None = it writes.

    `waits_when_full` True (replay): `append` waits for space; False (live): it raises StorageError
    and the record is not taken, because the loop must not wait and a full queue halts trading.
    """

    def __init__(
        self,
        path: Path,
        *,
        engine_id: str,
        waits_when_full: bool = False,
        queue_max: int = QUEUE_MAX,
        synchronous: str = "FULL",
        busy_ms: int = BUSY_MS,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self.tape = 0
        self.failure: StorageError | None = None
        self._lost: Callable[[LeaseLost], object] = lambda _: None
        self._path = path
        self._waits = waits_when_full
        self._queue_max = queue_max
        self._patience_s = patience_s
        self._encode = msgspec.msgpack.Encoder().encode
        self._connection, self._seq = open_journal(
            path, engine_id, synchronous=synchronous, busy_ms=busy_ms
        )
        self._file = file_id(path)
        self._fence = fence_of(self._connection)  # ours: the lease is taken before this opens
        self._durable = self._seq
        self._at_ns = 0
        self._queue: deque[_Queued] = deque()
        self._snapshots: deque[JournalSnapshot] = deque()
        self._made = self._saved = 0
        self._waiters: deque[tuple[int, int, Future[int]]] = deque()
        self._wake = threading.Event()
        self._moved = threading.Event()
        self._closing = threading.Event()
        self._digest = Digest()
        self._rows: list[RawRow] = []
        self._held: list[JournalSnapshot] = []
        self._names: dict[tuple[str, str], int] = {}
        self._since_checkpoint = 0
        self._deadline = self._lease_seen = 0.0
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    # -- the caller's thread -----------------------------------------------------------------------

    @property
    def seq(self) -> int:
        """The seq of the last record appended."""
        return self._seq

    @property
    def durable_seq(self) -> int:
        return self._durable

    def append(self, account: str, message: msgspec.Struct, at_ns: int) -> int:
        """Encode and queue a message; give its seq. No I/O.

        Raises StorageError when the queue is full (the record was not taken), BrokenInvariant for
        a struct that is no message of the domain.
        """
        try:
            kind = NAMES[type(message)]
        except KeyError:
            raise BrokenInvariant(f"{type(message).__name__} cannot be journaled") from None
        seq = self._seq + 1
        if seq - self._durable > self._queue_max:
            self._full()
        self._queue.append((seq, at_ns, account, kind, self._encode(message), self.tape))
        self._seq = seq
        self._at_ns = at_ns
        if not seq % BATCH_MAX:
            self._wake.set()
        return seq

    def _full(self) -> None:
        """Wait for space where that is allowed, or raise."""
        waited = 0.0
        while self._waits and self._thread.is_alive() and waited < self._patience_s:
            self._moved.clear()
            if self._seq + 1 - self._durable <= self._queue_max:
                return
            self._wake.set()
            self._moved.wait(RETRY_S)
            # Only a refusing disk uses up patience; a slow one is waited for.
            waited += RETRY_S if self.failure is not None else 0.0
        why = self.failure or "the disk is slower than the engine"
        raise StorageError(
            f"the journal's queue is full: {self._seq - self._durable} records wait to be "
            f"written and none is lost; nothing more is taken until they are: {why}"
        )

    def snapshot(self, name: str, body: bytes, seq: int) -> None:
        """Queue the state called `name` as it was after record `seq`; the last three are kept."""
        if not 0 < seq <= self._seq:
            raise BrokenInvariant(f"snapshot {name!r} at record {seq}, the last is {self._seq}")
        self._snapshots.append(JournalSnapshot(name=name, seq=seq, at_ns=self._at_ns, body=body))
        self._made += 1

    def commit(self) -> Future[int]:
        """Give a future of the last seq, done when everything appended so far is durable.

        It fails with StorageError where the disk refuses: the caller must then not do what it
        wanted to have kept. The records stay queued and are written when the disk takes them.
        """
        future: Future[int] = Future()
        if self._durable >= self._seq and self._saved >= self._made:
            future.set_result(self._seq)
            return future
        self._waiters.append((self._seq, self._made, future))
        self._wake.set()
        if not self._thread.is_alive():
            self._fail_waiters(self.failure or CLOSED)
        return future

    def flush(self) -> None:
        """Wait until everything appended so far is durable; a refusing disk gets `patience_s`.

        Raises StorageError after that.
        """
        deadline = time.monotonic() + self._patience_s
        while True:
            try:
                self.commit().result()
                return
            except StorageError:
                if time.monotonic() > deadline or not self._thread.is_alive():
                    raise

    def digest(self) -> str:
        """Return the digest of this run's records; waits until they are durable."""
        self.flush()
        return self._digest.text()

    def close(self) -> None:
        """Write what is left and end the thread; a refusing disk gets `patience_s`.

        Raises StorageError naming how many records could not be written.
        """
        self._deadline = time.monotonic() + self._patience_s
        self._closing.set()
        self._wake.set()
        self._thread.join()
        left = self._seq - self._durable
        if left:
            raise StorageError(
                f"{left} journal records could not be written before the end: {self.failure}"
            )

    # -- the writer's thread -----------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._closing.is_set() or self._unwritten():
                if not self._unwritten():
                    if not self._wake.wait(LINGER_S) and not self._queue:
                        self._checkpoint_if_due()
                    self._wake.clear()
                refused = not (self._holds_lease() and self._write())
                if isinstance(self.failure, LeaseLost):
                    break  # what is left may never be written: the journal is another's
                if refused and self._closing.is_set() and time.monotonic() > self._deadline:
                    break
        finally:
            self._fail_waiters(self.failure or CLOSED)
            self._moved.set()
            self._connection.close()

    def _holds_lease(self) -> bool:
        """Look once a second whether a later start has the lease, also where nothing is written."""
        if time.monotonic() - self._lease_seen < LEASE_S:
            return True
        self._lease_seen = time.monotonic()
        try:
            with storage_errors(self._path):
                check_fence(self._connection, self._fence)
        except LeaseLost as error:
            return self._refused(error)
        except StorageError:
            pass  # the writer of a file that cannot be read reports it
        return True

    def _unwritten(self) -> bool:
        """Say whether a full batch, an awaited record or a refused one is waiting."""
        if self._rows or self._held or self._waiters or len(self._queue) >= BATCH_MAX:
            return True
        return self._closing.is_set() and bool(self._queue or self._snapshots)

    def _write(self) -> bool:
        """Write one batch. False = the disk refused, it was said, and a pause was made."""
        if not self._rows and not self._held:
            self._take()
        try:
            if self._rows or self._held:
                must_be(self._path, self._file)
                with storage_errors(self._path):
                    write_batch(self._connection, self._rows, self._held, self._fence)
        except (StorageError, sqlite3.IntegrityError) as error:
            return self._refused(error)
        if self._rows or self._held:
            self.failure = None
            self._since_checkpoint += len(self._rows)
            self._saved += len(self._held)
            self._durable = self._rows[-1][0] if self._rows else self._durable
            self._rows, self._held = [], []
            self._moved.set()
        self._resolve()
        return True

    def _take(self) -> None:
        """Take what one transaction shall hold, checksums on; snapshots after their records."""
        # Counted first: the records a snapshot speaks of were queued before it.
        snapshots = len(self._snapshots)
        queue, names = self._queue, self._names
        rows: list[RawRow] = []
        for _ in range(min(len(queue), BATCH_MAX)):
            seq, at_ns, account, kind, body, tape = queue.popleft()
            start = names.get((account, kind))
            if start is None:
                start = names[account, kind] = names_sum(account, kind)
            crc = record_sum(start, seq, at_ns, tape, body)
            rows.append((seq, at_ns, account, kind, body, crc, tape))
        self._digest.add([(row[3], row[1], row[2], msgspec.Raw(row[4])) for row in rows])
        last = rows[-1][0] if rows else self._durable
        for _ in range(snapshots):
            if self._snapshots[0].seq > last:
                break
            self._held.append(self._snapshots.popleft())
        self._rows = rows

    def on_lease_lost(self, lost: Callable[[LeaseLost], object]) -> None:
        """Call `lost` once, on the writer's thread, where a later start has taken the lease."""
        self._lost = lost

    def _refused(self, error: StorageError | sqlite3.IntegrityError) -> bool:
        if isinstance(error, sqlite3.IntegrityError):
            error = StorageError(
                f"{self._path} was written by another program ({error}): two engines share one "
                "journal; stop one of them"
            )
        self.failure = error
        if isinstance(error, LeaseLost):
            self._lost(error)  # before anybody who waits: he must do nothing more at the venue
        self._fail_waiters(error)
        time.sleep(RETRY_S)
        return False

    def _resolve(self) -> None:
        waiters = self._waiters
        while waiters and waiters[0][0] <= self._durable and waiters[0][1] <= self._saved:
            seq, _, future = waiters.popleft()
            if future.set_running_or_notify_cancel():
                future.set_result(seq)

    def _fail_waiters(self, error: StorageError) -> None:
        while self._waiters:
            _, _, future = self._waiters.popleft()
            if future.set_running_or_notify_cancel():
                future.set_exception(error)

    def _checkpoint_if_due(self) -> None:
        if self._since_checkpoint < CHECKPOINT_RECORDS:
            return
        self._since_checkpoint = 0
        try:
            with storage_errors(self._path):
                self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        except StorageError as error:
            # The log is still whole; the next idle moment tries again.
            self._since_checkpoint = CHECKPOINT_RECORDS
            self.failure = error
