"""The journal, read back: nothing is given that is not proven.

`storage.journal_writer` says what a row holds and appends; anyone may read. Older records stand in
blocks of the table `archive`, compressed to a seventh, each whole or *thinned*: `storage.retention`
moves and thins them, every step one transaction. Who reads finds both tables one journal.

Nothing here interprets what a record says: `storage.projection` and the executor's recovery do.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from pathlib import Path
from sqlite3 import Connection
from typing import Any

import msgspec
import zstandard

from engine.errors import BadInput, JournalCorrupt, StorageError
from storage.database import filled, reading, storage_errors, transaction
from storage.journal_writer import (
    EXECUTOR,
    KINDS,
    SNAPSHOTS_KEPT,
    JournalSnapshot,
    RawRow,
    check_journal,
    fence_of,
    has_archive,
    last_of,
    names_sum,
    open_journal,
    record_sum,
    snapshot_sum,
)


class Record(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One row of the journal. `tape` is the position on the tape that led to it, 0 = none."""

    seq: int
    at_ns: int
    account: str
    kind: str
    body: bytes
    tape: int = 0


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


ARCHIVE_LEVEL = 9
LAST_SEQ = 2**63 - 1


class Snapshots(msgspec.Struct, frozen=True, kw_only=True):
    """The latest proven snapshot of every name, and a sentence for each that had to be passed."""

    by_name: dict[str, JournalSnapshot]
    problems: tuple[str, ...]

    @property
    def seq(self) -> int:
        """From here on the tail must be folded by somebody; 0 = there is no snapshot."""
        return min((snapshot.seq for snapshot in self.by_name.values()), default=0)


# -- reading ---------------------------------------------------------------------------------------


class ArchiveBlock(msgspec.Struct, frozen=True, kw_only=True):
    """One block of the archive: records `first` to `last`, all of them where it is `whole`."""

    first: int
    last: int
    first_ns: int
    last_ns: int
    accounts: tuple[str, ...]
    whole: bool
    rows: tuple[RawRow, ...]


_unpack = msgspec.msgpack.Decoder(tuple[RawRow, ...])


def block_of(rows: Sequence[RawRow], *, first: int, last: int, whole: bool) -> tuple[object, ...]:
    body = zstandard.compress(msgspec.msgpack.encode(rows), ARCHIVE_LEVEL)
    names = msgspec.json.encode(sorted({row[2] for row in rows} - {""})).decode()
    times = [row[1] for row in rows] or [0]
    crc = record_sum(names_sum("archive", names), first, last, int(whole), body)
    return first, last, times[0], times[-1], names, int(whole), body, crc


def blocks(
    connection: Connection, path: Path, where: str = "1", values: Sequence[object] = ()
) -> Iterator[ArchiveBlock]:
    """Give blocks of the archive in the order a WHERE gives them, each one proven.

    Raises JournalCorrupt where one is damaged.
    """
    if not has_archive(connection):
        return
    query = f"SELECT * FROM archive WHERE {where}"  # noqa: S608 our own words
    for first, last, first_ns, last_ns, names, whole, body, crc in connection.execute(
        query, values
    ):
        try:
            sound = crc == record_sum(names_sum("archive", names), first, last, whole, body)
            rows = _unpack.decode(zstandard.decompress(body)) if sound else ()
        except (TypeError, zstandard.ZstdError, msgspec.DecodeError):
            sound = False
        if not sound:
            raise JournalCorrupt(
                f"{path}: the archive's records {first} to {last} are damaged; restore the latest "
                "backup"
            )
        yield ArchiveBlock(
            first=first,
            last=last,
            first_ns=first_ns,
            last_ns=last_ns,
            accounts=tuple(msgspec.json.decode(names)),
            whole=bool(whole),
            rows=rows,
        )


def thinned_to(connection: Connection) -> tuple[int, int]:
    """Return the last record up to which not all are kept, and its time; zeros = all are."""
    if not has_archive(connection):
        return 0, 0
    row = connection.execute(
        "SELECT last, last_ns FROM archive WHERE NOT whole ORDER BY first DESC LIMIT 1"
    ).fetchone()
    return (0, 0) if row is None else (int(row[0]), int(row[1]))


def _rows(connection: Connection, where: str, values: tuple[object, ...]) -> Iterator[RawRow]:
    """Give the rows that are not archived.

    Not the cursor itself: a reader that stops early lets go of it after its connection is closed,
    and a cursor handed on is closed with its generator, which then raises.
    """
    query = "SELECT seq, at_ns, account, kind, body, crc, tape FROM records WHERE "
    yield from (row for row in connection.execute(query + where, values))


def rows_of(
    connection: Connection, path: Path, first: int, last: int = LAST_SEQ
) -> Iterator[RawRow]:
    """Give the rows there are, archived or not, in order; no row is proven. JournalCorrupt."""
    for block in blocks(connection, path, "last >= ? AND first <= ? ORDER BY first", (first, last)):
        yield from (row for row in block.rows if first <= row[0] <= last)
    yield from _rows(connection, "seq BETWEEN ? AND ? ORDER BY seq", (first, last))


def rows_backwards(
    connection: Connection, path: Path, before_seq: int, kind: str = ""
) -> Iterator[RawRow]:
    """Give the rows before a record, the latest first; of one kind where it is given."""
    where = "seq < ? AND (? = '' OR kind = ?) ORDER BY seq DESC"
    yield from _rows(connection, where, (before_seq, kind, kind))
    for block in blocks(connection, path, "first < ? ORDER BY first DESC", (before_seq,)):
        yield from (
            row for row in reversed(block.rows) if row[0] < before_seq and kind in ("", row[3])
        )


def load(path: Path, after_seq: int = 0, *, thinned: bool = False) -> Iterator[Record]:
    """Give the records after `after_seq` in order, each one proven.

    Raises JournalCorrupt, naming the seq, where a checksum does not match, a record is missing or
    its kind is unknown; StorageError where the file cannot be read. Nothing is skipped: where
    records were let go under the disk budget, BadInput says so, unless `thinned` takes what is left
    of them, as recovery and projections may.
    """
    with reading(path) as connection:
        check_journal(connection, path, None)
        sums: dict[tuple[str, str], int] = {}
        expected = after_seq + 1
        for block in blocks(connection, path, "last > ? ORDER BY first", (after_seq,)):
            if block.whole:
                for row in block.rows[max(0, expected - block.first) :]:
                    yield proven(path, row, expected, sums)
                    expected += 1
                continue
            if not thinned:
                raise BadInput(gone_words(connection))
            for row in block.rows:
                if row[0] >= expected:
                    yield proven(path, row, row[0], sums)
            expected = block.last + 1
        for row in _rows(connection, "seq >= ? ORDER BY seq", (expected,)):
            yield proven(path, row, expected, sums)
            expected += 1
        last = last_of(connection)
        if last < after_seq:
            raise JournalCorrupt(
                f"{path} ends at record {last}, but record {after_seq} was already used; "
                "restore the latest backup"
            )


def gone_words(connection: Connection) -> str:
    """Say which records were let go, '' where all of them are kept."""
    seq, at_ns = thinned_to(connection)
    if not seq:
        return ""
    until = dt.datetime.fromtimestamp(at_ns // 1_000_000_000, dt.UTC)
    return (
        f"the journal's records up to {seq} ({until:%Y-%m-%d %H:%M} UTC) were pruned under the "
        "disk budget, except those about money: PITBOSS_DISK_BUDGET sets how much is kept"
    )


def proven(path: Path, row: RawRow, expected: int, sums: dict[tuple[str, str], int]) -> Record:
    """Return the record `expected` that a row is. Raises JournalCorrupt where it is not."""
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


def record_of(row: RawRow) -> Record:
    """Return a row as a record, whether it is sound or not."""
    seq, at_ns, account, kind, body, _, tape = row
    return Record(seq=seq, at_ns=at_ns, account=account, kind=kind, body=body, tape=tape)


def record_at(path: Path, seq: int) -> Record | None:
    """Return one proven record, None where the journal does not have it."""
    with reading(path) as connection:
        check_journal(connection, path, None)
        row = next(rows_of(connection, path, seq, seq), None)
        return None if row is None else proven(path, row, seq, {})


def kinds_of(path: Path, kinds: Sequence[str]) -> Iterator[tuple[Record, Any]]:
    """Give the proven records of some kinds in order, decoded; nothing where there is no journal.

    Raises JournalCorrupt, StorageError.
    """
    if not filled(path):
        return
    with reading(path) as connection:
        check_journal(connection, path, None)
        sums: dict[tuple[str, str], int] = {}
        wanted = set(kinds)
        for row in rows_of(connection, path, 1):
            if row[3] in wanted:
                record = proven(path, row, row[0], sums)
                yield record, decode(record)


def owner(path: Path) -> str:
    with reading(path) as connection:
        check_journal(connection, path, None)
        row = connection.execute("SELECT value FROM meta WHERE key = 'engine_id'").fetchone()
        if row is None:
            raise StorageError(f"{path} does not say whose it is; restore the latest backup")
        return str(row[0])


def last_seq(path: Path) -> int:
    """Return the seq of the last record, 0 where there is none."""
    with reading(path) as connection:
        check_journal(connection, path, None)
        return last_of(connection)


def latest_snapshots(path: Path) -> Snapshots:
    """Return the latest proven snapshot of every name.

    A damaged one is reported and its elder taken; then the tail to fold is longer, nothing else.
    """
    found: dict[str, JournalSnapshot] = {}
    problems: list[str] = []
    for snapshot, wrong in _snapshots(path):
        if snapshot.name not in found:
            if wrong:
                problems.append(f"snapshot {snapshot.name!r} at record {snapshot.seq} {wrong}")
            else:
                found[snapshot.name] = snapshot
    return Snapshots(by_name=found, problems=tuple(problems))


def snapshots_of(path: Path) -> list[JournalSnapshot]:
    """Return the snapshots a start may take, by name, the latest first."""
    return [snapshot for snapshot, wrong in _snapshots(path) if not wrong]


def base_after(path: Path, seq: int) -> dict[str, JournalSnapshot]:
    """Return the accounts' snapshots behind the first record from `seq` on that has them of all.

    Empty = there is none.
    """
    behind: dict[int, dict[str, JournalSnapshot]] = {}
    for snapshot, wrong in _snapshots(path, kept=LAST_SEQ):
        if snapshot.seq >= seq and snapshot.name.startswith(EXECUTOR) and not wrong:
            behind.setdefault(snapshot.seq, {})[snapshot.name] = snapshot
    most = max(map(len, behind.values()), default=0)
    return next((behind[one] for one in sorted(behind) if len(behind[one]) == most), {})


def _snapshots(path: Path, kept: int = SNAPSHOTS_KEPT) -> Iterator[tuple[JournalSnapshot, str]]:
    """Give so many snapshots of each name, the latest first, with what is wrong with them."""
    with reading(path) as connection:
        check_journal(connection, path, None)
        last = last_of(connection)
        for name, seq, at_ns, body, crc in connection.execute(
            "SELECT name, seq, at_ns, body, crc FROM snapshots outside WHERE seq IN (SELECT seq "
            "FROM snapshots WHERE name = outside.name ORDER BY seq DESC LIMIT ?) "
            "ORDER BY name, seq DESC",
            (kept,),
        ):
            snapshot = JournalSnapshot(name=name, seq=seq, at_ns=at_ns, body=body)
            wrong = f"is ahead of the journal ({last})" if seq > last else ""
            if type(body) is not bytes or snapshot_sum(snapshot) != crc:
                wrong = "does not match its checksum"
            yield snapshot, wrong


# -- the lease: which start may write orders, as a number that only rises --------------------------
# It stands in the journal, whose only writer is the engine that holds it. Every order carries it:
# an order of an older fence was made by a start that is over.


def take_lease(journal: Path, engine_id: str) -> int:
    """Take the lease of an engine's journal; give its number. Hold the engine's lock before.

    The journal of a backup is one no more: ask `backup_of` before.
    Raises StorageError where the file refuses or belongs to another engine.
    """
    connection, _ = open_journal(journal, engine_id)
    try:
        with storage_errors(journal), transaction(connection):
            fence = fence_of(connection) + 1
            connection.execute("INSERT OR REPLACE INTO meta VALUES ('fence', ?)", (str(fence),))
            connection.execute("DELETE FROM meta WHERE key = 'backup'")
    finally:
        connection.close()
    return fence
