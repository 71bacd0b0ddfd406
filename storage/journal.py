"""The journal's file: `records` and `snapshots`, written in batches, read back only when proven.

One writer (the engine's journal thread) appends; anyone may read. Nothing here interprets what a
record says: `storage.projection` and the executor's recovery do.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from engine.errors import JournalCorrupt, LeaseLost, StorageError
from storage.bulk import Bulk
from storage.database import connect_writer, reading, refusals_told, transaction
from storage.records import KINDS, Record, decode, names_sum, record_sum

APPLICATION_ID = 0x50424A4C
"""`PBJL`: what SQLite's header says of our journals."""

VERSION = 1
SNAPSHOTS_KEPT = 3
"""Per name; more than one, so that a damaged one has an elder."""

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
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {VERSION};
"""
_RECORDS = Bulk("INSERT INTO records VALUES", 7)

Row = tuple[int, int, str, str, bytes, int, int]
"""seq, at_ns, account, kind, body, crc, tape."""


class JournalSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The state called `name` as it was after record `seq`."""

    name: str
    seq: int
    at_ns: int
    body: bytes


class Snapshots(msgspec.Struct, frozen=True, kw_only=True):
    """The latest proven snapshot of every name, and a sentence for each that had to be passed."""

    by_name: dict[str, JournalSnapshot]
    told: tuple[str, ...]

    @property
    def seq(self) -> int:
        """From here on the tail must be folded by somebody; 0 = there is no snapshot."""
        return min((snapshot.seq for snapshot in self.by_name.values()), default=0)


# -- writing ---------------------------------------------------------------------------------------


def open_journal(
    path: Path, engine_id: str, *, synchronous: str = "FULL", busy_ms: int = 5_000
) -> tuple[sqlite3.Connection, int]:
    """Open or create a journal; give its connection and the last seq in it.

    Raises StorageError for a file that is no journal, of a newer version or of another engine.
    """
    connection = connect_writer(path, synchronous=synchronous, busy_ms=busy_ms, any_thread=True)
    try:
        with refusals_told(path):
            if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
                _create(connection, engine_id)
            _check(connection, path, engine_id)
            last = connection.execute("SELECT coalesce(max(seq), 0) FROM records").fetchone()[0]
    except BaseException:
        connection.close()
        raise
    return connection, int(last)


def _create(connection: sqlite3.Connection, engine_id: str) -> None:
    with transaction(connection):
        if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
            for statement in _SCHEMA.split(";"):
                connection.execute(statement)
            connection.execute("INSERT INTO meta VALUES ('engine_id', ?)", (engine_id,))


def _check(connection: sqlite3.Connection, path: Path, engine_id: str | None) -> None:
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    if application != APPLICATION_ID:
        raise StorageError(
            f"{path} is not a journal of Pitboss; put its own back or restore a backup"
        )
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version != VERSION:
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
    """Return the number of the lease in force; 0 = nobody ever took one."""
    row = connection.execute("SELECT value FROM meta WHERE key = 'fence'").fetchone()
    return 0 if row is None else int(row[0])


def check_fence(connection: sqlite3.Connection, fence: int) -> None:
    """Raise LeaseLost where the lease in force is not the one given."""
    if (taken := fence_of(connection)) != fence:
        raise LeaseLost(
            f"start {taken} of this engine has taken the lease of start {fence}: this one places "
            "and cancels nothing any more, and ends"
        )


def write_batch(
    connection: sqlite3.Connection,
    rows: Sequence[Row],
    snapshots: Sequence[JournalSnapshot],
    fence: int | None = None,
) -> None:
    """Append rows and snapshots in one transaction: all of them or none.

    Raises LeaseLost where `fence` is given and a later start has taken the lease.
    """
    with transaction(connection):
        if fence is not None:
            check_fence(connection, fence)
        _RECORDS.write(connection, rows)
        for snapshot in snapshots:
            _write_snapshot(connection, snapshot)


def append_all(connection: sqlite3.Connection, rows: Sequence[Row]) -> None:
    """Append rows inside the caller's transaction."""
    _RECORDS.write(connection, rows)


def _write_snapshot(connection: sqlite3.Connection, snapshot: JournalSnapshot) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO snapshots VALUES (?,?,?,?,?)",
        (snapshot.name, snapshot.seq, snapshot.at_ns, snapshot.body, _snapshot_sum(snapshot)),
    )
    connection.execute(
        "DELETE FROM snapshots WHERE name = ? AND seq NOT IN "
        "(SELECT seq FROM snapshots WHERE name = ? ORDER BY seq DESC LIMIT ?)",
        (snapshot.name, snapshot.name, SNAPSHOTS_KEPT),
    )


def _snapshot_sum(snapshot: JournalSnapshot) -> int:
    names = names_sum("snapshot", snapshot.name)
    return record_sum(names, snapshot.seq, snapshot.at_ns, 0, snapshot.body)


# -- reading ---------------------------------------------------------------------------------------


def load(path: Path, after_seq: int = 0) -> Iterator[Record]:
    """Give the records after `after_seq` in order, each one proven.

    Raises JournalCorrupt, naming the seq, where a checksum does not match, a record is missing or
    its kind is unknown; StorageError where the file cannot be read. Nothing is skipped.
    """
    with reading(path) as connection:
        _check(connection, path, None)
        sums: dict[tuple[str, str], int] = {}
        expected = after_seq + 1
        rows = connection.execute(
            "SELECT seq, at_ns, account, kind, body, crc, tape FROM records "
            "WHERE seq > ? ORDER BY seq",
            (after_seq,),
        )
        for row in rows:
            yield _proven(path, row, expected, sums)
            expected += 1
        if expected == after_seq + 1 and after_seq > 0:
            last = connection.execute("SELECT coalesce(max(seq), 0) FROM records").fetchone()[0]
            if last < after_seq:
                raise JournalCorrupt(
                    f"{path} ends at record {last}, but record {after_seq} was already used; "
                    "restore the latest backup"
                )


def _proven(path: Path, row: Row, expected: int, sums: dict[tuple[str, str], int]) -> Record:
    seq, at_ns, account, kind, body, crc, tape = row
    if seq != expected:
        raise JournalCorrupt(
            f"{path} lacks record {expected}: record {seq} follows; restore the latest backup"
        )
    names = sums.get((account, kind))
    if names is None:
        names = sums[account, kind] = names_sum(account, kind)
    if type(body) is not bytes or record_sum(names, seq, at_ns, tape, body) != crc:
        raise JournalCorrupt(
            f"{path}: record {seq} does not match its checksum; restore the latest backup"
        )
    if kind not in KINDS:
        raise JournalCorrupt(
            f"{path}: record {seq} has the unknown kind {kind!r}; "
            "it was written by another version, start that one"
        )
    return Record(seq=seq, at_ns=at_ns, account=account, kind=kind, body=body, tape=tape)


def record_at(path: Path, seq: int) -> Record | None:
    """Return one proven record, None where the journal does not have it."""
    with reading(path) as connection:
        _check(connection, path, None)
        row = connection.execute(
            "SELECT seq, at_ns, account, kind, body, crc, tape FROM records WHERE seq = ?", (seq,)
        ).fetchone()
        return None if row is None else _proven(path, row, seq, {})


def kinds_of(path: Path, kinds: Sequence[str]) -> Iterator[tuple[Record, Any]]:
    """Give the proven records of some kinds in order, decoded; nothing where there is no journal.

    Raises JournalCorrupt, StorageError.
    """
    if not path.is_file() or not path.stat().st_size:
        return
    with reading(path) as connection:
        _check(connection, path, None)
        sums: dict[tuple[str, str], int] = {}
        for row in connection.execute(
            "SELECT seq, at_ns, account, kind, body, crc, tape FROM records "
            "WHERE kind IN (SELECT value FROM json_each(?)) ORDER BY seq",
            (msgspec.json.encode(kinds).decode(),),
        ):
            record = _proven(path, row, row[0], sums)
            yield record, decode(record)


def owner(path: Path) -> str:
    """Return the id of the engine whose journal this is."""
    with reading(path) as connection:
        _check(connection, path, None)
        row = connection.execute("SELECT value FROM meta WHERE key = 'engine_id'").fetchone()
        if row is None:
            raise StorageError(f"{path} does not say whose it is; restore the latest backup")
        return str(row[0])


def last_seq(path: Path) -> int:
    """Return the seq of the last record, 0 where there is none."""
    with reading(path) as connection:
        _check(connection, path, None)
        row = connection.execute("SELECT coalesce(max(seq), 0) FROM records").fetchone()
        return int(row[0])


def latest_snapshots(path: Path) -> Snapshots:
    """Return the latest proven snapshot of every name.

    A damaged one is told and its elder taken; then the tail to fold is longer, nothing else.
    """
    found: dict[str, JournalSnapshot] = {}
    told: list[str] = []
    with reading(path) as connection:
        _check(connection, path, None)
        last = connection.execute("SELECT coalesce(max(seq), 0) FROM records").fetchone()[0]
        for name, seq, at_ns, body, crc in connection.execute(
            "SELECT name, seq, at_ns, body, crc FROM snapshots ORDER BY name, seq DESC"
        ):
            if name in found:
                continue
            snapshot = JournalSnapshot(name=name, seq=seq, at_ns=at_ns, body=body)
            if type(body) is not bytes or _snapshot_sum(snapshot) != crc:
                told.append(f"snapshot {name!r} at record {seq} does not match its checksum")
            elif seq > last:
                told.append(f"snapshot {name!r} at record {seq} is ahead of the journal ({last})")
            else:
                found[name] = snapshot
    return Snapshots(by_name=found, told=tuple(told))
