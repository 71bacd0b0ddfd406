"""Decisions and plans on the disk: one row per run of alike evaluations, old rows in blocks.

`decisions.db` is written; what was full before stands beside it as `decisions.<number>.db`. What
still counts stands in a row of `recent`, what ended meanwhile in one for each commit; a thousand
ended rows become one compressed block, a fourteenth of what they were. A row that still counted
when its file was full stands in two files; the larger count is the true one. Blocks lie in the
order in which their rows ended.
"""

from __future__ import annotations

import sqlite3
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache, partial
from pathlib import Path
from sqlite3 import Connection
from typing import TypeVar

import msgspec
import zstandard

from engine.domain.decisions import Decision, Planned, Stance
from engine.errors import BadInput, StorageError
from storage.database import (
    Bulk,
    connect_writer,
    may_pass,
    pages_of,
    reading,
    storage_errors,
    transaction,
)
from storage.files import set_aside

T = TypeVar("T")

FILE_BYTES_MAX = 256 * 1024 * 1024
FILES_KEPT = 4
"""Full files beside the one being written."""

ASIDES_MAX = 3
"""How often one writer sets its file aside: a disk that damages each new one is not worth more."""

APPLICATION_ID = 0x50424443
"""`PBDC`."""

VERSION = 3
BLOCK = 1_000
"""Rows of a block; so many that have ended stand by themselves before they become one."""

LEVEL = 3
LAST_NS = 2**63 - 1
_SCHEMA = f"""
CREATE TABLE recent (
    row INTEGER PRIMARY KEY, instrument TEXT NOT NULL, at_ns INTEGER NOT NULL,
    ended INTEGER NOT NULL, body BLOB NOT NULL
);
CREATE INDEX recent_by_instrument ON recent (instrument);
CREATE TABLE blocks (
    number INTEGER PRIMARY KEY, last_row INTEGER NOT NULL, first_ns INTEGER NOT NULL,
    last_ns INTEGER NOT NULL, first_number INTEGER NOT NULL, last_number INTEGER NOT NULL,
    body BLOB NOT NULL
);
CREATE TABLE named (
    instrument TEXT NOT NULL, last_ns INTEGER NOT NULL, block INTEGER NOT NULL,
    first_ns INTEGER NOT NULL, PRIMARY KEY (instrument, last_ns, block)
) WITHOUT ROWID;
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {VERSION};
"""
_RECENT = Bulk("INSERT OR REPLACE INTO recent VALUES", 5)
FIRST_NS = "SELECT coalesce((SELECT min(first_ns) FROM blocks), (SELECT min(at_ns) FROM recent))"
"""Asks a file from when on it tells."""


class StoredDecision(
    msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="decision", gc=False
):
    """The first of `count` alike decisions, the number and time of the last one, and its bytes."""

    row: int
    engine_id: str
    number: int
    last_number: int
    bot: str
    instrument: str
    at_ns: int
    last_ns: int
    count: int
    outcome: str
    body: bytes
    stance: str = ""
    """Empty = an older version wrote the row: its outcome says it."""
    last_body: bytes = b""
    """The last of them, while the row counts; empty = it is the first, or the row has ended."""

    @property
    def stands(self) -> bool:
        """True where something is wanted, of now or of before."""
        if self.stance:
            return self.stance != Stance.BLOCKED
        return self.outcome in {"quote", "hold"}

    @property
    def decision(self) -> Decision:
        """The decision itself. Raises BadInput where its bytes cannot be read."""
        return _decoded(Decision, self.body, f"decision row {self.row}")

    @property
    def latest(self) -> Decision:
        """The last of the alike decisions, as far as it is kept: its inputs are those of now.

        Raises BadInput where its bytes cannot be read.
        """
        return _decoded(Decision, self.last_body or self.body, f"decision row {self.row}")


class StoredPlan(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="plan", gc=False):
    """What the executor made of intents in one turn about one instrument: one `Planned`."""

    row: int
    engine_id: str
    instrument: str
    at_ns: int
    body: bytes

    @property
    def plan(self) -> Planned:
        """The plan itself. Raises BadInput where its bytes cannot be read."""
        return _decoded(Planned, self.body, f"plan row {self.row}")


def _decoded(kind: type[T], body: bytes, what: str) -> T:
    try:
        return msgspec.msgpack.decode(body, type=kind)
    except msgspec.DecodeError as error:
        raise BadInput(f"{what} cannot be read: {error}") from error


StoredRow = StoredDecision | StoredPlan
_decode_rows = msgspec.msgpack.Decoder(tuple[StoredRow, ...]).decode
_encode = msgspec.msgpack.Encoder().encode


class _Zstd(threading.local):
    """What packs and unpacks for one thread: to make one takes longer than to use it."""

    def __init__(self) -> None:
        self.pack = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True).compress
        self.unpack = zstandard.ZstdDecompressor().decompress


_zstd = _Zstd()


def pack(rows: Sequence[StoredRow]) -> bytes:
    """Return rows as one compressed body, with a checksum of its own."""
    return _zstd.pack(_encode(rows))


@lru_cache(maxsize=4)  # of some megabyte each: a reader that asks row by row stays in a block
def unpack(body: bytes) -> tuple[StoredRow, ...]:
    """Return the rows of a body. Raises BadInput where it is damaged."""
    try:
        return _decode_rows(_zstd.unpack(body))
    except (TypeError, zstandard.ZstdError, msgspec.DecodeError) as error:
        raise BadInput(f"a block of the decision log is damaged: {error}") from error


# -- writing ---------------------------------------------------------------------------------------


class DecisionFiles:
    """The writing side: appends rows, makes blocks of them, turns to a new file at its size."""

    def __init__(
        self,
        path: Path,
        *,
        file_bytes_max: int = FILE_BYTES_MAX,
        files_kept: int = FILES_KEPT,
        busy_ms: int = 5_000,
        aside: Callable[[str], None] | None = None,
    ) -> None:
        """Open the log. `aside` receives, of each damaged file that was set aside, where it lies.

        None = a damaged file is refused. Raises StorageError.
        """
        self._path = path
        self._bytes_max = file_bytes_max
        self._kept = files_kept
        self._busy_ms = busy_ms
        self._aside = aside
        self._asides = 0
        self._connection: Connection | None = None
        try:
            self._connection = self._open()
        except StorageError as error:
            if self._begins_anew(error):
                self._connection = self._open()
            elif aside is None or not may_pass(error):
                raise  # else it is locked: `write` opens it when it can

    def last_row(self) -> int:
        """Return the highest number of a row in any file. Raises StorageError."""
        last = 0
        for path in files(self._path):
            try:
                last = max(last, _last_row(path))
            except StorageError as error:
                if self._aside is None or path == self._path:
                    raise
                self._aside(f"{path} cannot be read and is now {set_aside(path)}: {error}")
        return last

    def _begins_anew(self, error: Exception) -> bool:
        """Set the damaged file aside, where that is asked for. False = it stays as it is."""
        passes = isinstance(error, StorageError) and may_pass(error)
        if self._aside is None or self._asides >= ASIDES_MAX:
            return False
        if passes and self._path.is_file() and not isinstance(error, ForeignFile):
            return False
        self.close()
        self._asides += 1
        try:
            self._aside(f"{self._path} is damaged and is now {set_aside(self._path)}: {error}")
        except OSError:
            return False
        return True

    def write(self, ended: Sequence[StoredRow], counting: Sequence[StoredRow] = ()) -> None:
        """Write rows in one transaction. Raises StorageError; the same rows may be tried again."""
        try:
            self._write(ended, counting)
        except (StorageError, BadInput, sqlite3.DatabaseError) as error:
            if self._begins_anew(error) or not isinstance(error, StorageError):
                raise StorageError(f"{self._path} was damaged: {error}") from error
            raise

    def _write(self, ended: Sequence[StoredRow], counting: Sequence[StoredRow]) -> None:
        if self._connection is None:
            self._connection = self._open()
        connection = self._connection
        with storage_errors(self._path):
            with transaction(connection):
                counted = [(one.row,) for one in ended]
                connection.executemany("DELETE FROM recent WHERE row = ?", counted)
                left = self._blocks(connection, ended)
                made = [_recent((one,), ended=False) for one in counting]
                _RECENT.write(connection, made + ([_recent(left, ended=True)] if left else []))
            pages, _, size = pages_of(connection)
        if pages * size >= self._bytes_max:
            self._rotate()

    def _blocks(self, connection: Connection, ended: Sequence[StoredRow]) -> Sequence[StoredRow]:
        """Make blocks of what has ended, as soon as it fills one; return what is left over."""
        (waiting,) = connection.execute("SELECT coalesce(sum(ended), 0) FROM recent").fetchone()
        if waiting + len(ended) < BLOCK:
            return ended
        before = connection.execute("SELECT body FROM recent WHERE ended ORDER BY row")
        rows = [one for (body,) in before.fetchall() for one in unpack(body)] + [*ended]
        connection.execute("DELETE FROM recent WHERE ended")
        full = len(rows) - len(rows) % BLOCK
        for first in range(0, full, BLOCK):
            _write_block(connection, rows[first : first + BLOCK])
        return rows[full:]

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _open(self) -> Connection:
        connection = connect_writer(
            self._path, synchronous="NORMAL", busy_ms=self._busy_ms, any_thread=True
        )
        try:
            with storage_errors(self._path):
                if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
                    with transaction(connection):
                        for statement in _SCHEMA.split(";"):
                            connection.execute(statement)
                _check(connection, self._path)
                # The counting reader is gone.
                connection.execute("UPDATE recent SET ended = 1, instrument = '' WHERE ended = 0")
        except BaseException:
            connection.close()
            raise
        return connection

    def _rotate(self) -> None:
        """Move the full file aside and begin a new one at the next write."""
        full = files(self._path)[:-1]
        number = int(full[-1].suffixes[0][1:]) + 1 if full else 1
        target = self._path.with_name(f"{self._path.stem}.{number:06d}{self._path.suffix}")
        self.close()
        try:
            # The file goes last: until then a crash leaves it under its own name.
            for end in ("-wal", "-shm", ""):
                part = self._path.with_name(self._path.name + end)
                if part.exists():
                    part.replace(target.with_name(target.name + end))
            for old in [*full, target][: -self._kept]:
                for end in ("", "-wal", "-shm"):
                    old.with_name(old.name + end).unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(
                f"{self._path} is full and cannot be moved aside ({error}); check its folder"
            ) from error


class ForeignFile(StorageError):
    """A file that is no decision log of this version."""


def _last_row(path: Path) -> int:
    with reading(path) as connection:
        (row,) = connection.execute(
            "SELECT max((SELECT coalesce(max(row), 0) FROM recent), "
            "(SELECT coalesce(max(last_row), 0) FROM blocks))"
        ).fetchone()
    return int(row)


def _check(connection: Connection, path: Path) -> None:
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if (application, version) != (APPLICATION_ID, VERSION):
        raise ForeignFile(
            f"{path} is not a decision file of this version; move it away, a new one is begun"
        )


def _recent(rows: Sequence[StoredRow], *, ended: bool) -> tuple[object, ...]:
    """Return what `recent` keeps: a row that counts, by its instrument, or those that ended."""
    last, first_ns = max(one.row for one in rows), min(one.at_ns for one in rows)
    return last, "" if ended else rows[0].instrument, first_ns, len(rows) * ended, pack(rows)


def _write_block(connection: Connection, rows: Sequence[StoredRow]) -> None:
    decided = [one for one in rows if isinstance(one, StoredDecision)]
    found = connection.execute(
        "INSERT INTO blocks (last_row, first_ns, last_ns, first_number, last_number, body) "
        "VALUES (?, ?, ?, ?, ?, ?)",
        (
            max(one.row for one in rows),
            min(one.at_ns for one in rows),
            max(one.at_ns for one in rows),
            min((one.number for one in decided), default=0),
            max((one.last_number for one in decided), default=0),
            pack(rows),
        ),
    )
    began: dict[str, list[int]] = defaultdict(list)
    for one in rows:
        began[one.instrument].append(one.at_ns)
    connection.executemany(
        "INSERT INTO named VALUES (?, ?, ?, ?)",
        [(name, max(times), found.lastrowid, min(times)) for name, times in began.items()],
    )


# -- reading ---------------------------------------------------------------------------------------


def files(path: Path) -> list[Path]:
    """Return the files of a decision log, oldest first; the one being written is the last."""
    full = sorted(path.parent.glob(f"{path.stem}.{'[0-9]' * 6}{path.suffix}"))
    return [*full, path] if path.exists() else full


def kept(
    path: Path, which: str = "1", values: Sequence[object] = (), *, oldest_first: bool = False
) -> Iterator[tuple[StoredRow, ...]]:
    """Give what is kept, what ended last first: recent rows, then the blocks that `which` takes.

    It asks of `first_ns`, `last_ns`, when their rows began, and `first_number`, `last_number` of
    their decisions. Raises BadInput where a block is damaged, StorageError.
    """
    order = "ASC" if oldest_first else "DESC"
    for file in files(path)[:: 1 if oldest_first else -1]:
        with reading(file) as connection:
            recent = _recent_rows(connection, "1")
            if not oldest_first:
                yield recent
            for (body,) in connection.execute(
                f"SELECT body FROM blocks WHERE {which} ORDER BY number {order}",  # noqa: S608 our own words
                values,
            ):
                yield unpack(body)
            if oldest_first:
                yield recent


def _about(
    connection: Connection, instrument: str, until_ns: int, from_ns: int = 0
) -> Iterator[tuple[int, Callable[[], list[StoredRow]]]]:
    """Give how to read a file's rows about an instrument begun in a time, both ends included.

    With it the time after which none of them, and none of those that come later, began.
    """

    def fits(rows: Iterable[StoredRow]) -> list[StoredRow]:
        mine = (one for one in rows if one.instrument == instrument)
        return [one for one in mine if from_ns <= one.at_ns <= until_ns]

    def unpacked(body: bytes) -> list[StoredRow]:
        return fits(unpack(body))

    began = "instrument = ? AND at_ns <= ?"  # of a past that is in blocks nothing recent tells
    alone = _recent_rows(connection, began, instrument, until_ns)
    yield LAST_NS, partial(fits, alone)  # a bot's that counts is its last one
    yield LAST_NS, lambda: fits(_recent_rows(connection, began, "", until_ns))
    for last_ns, body in connection.execute(
        "SELECT named.last_ns, body FROM named JOIN blocks ON number = block "
        "WHERE instrument = ? AND named.last_ns >= ? AND named.first_ns <= ? "
        "ORDER BY named.last_ns DESC",
        (instrument, from_ns, until_ns),
    ):
        yield last_ns, partial(unpacked, body)


def _recent_rows(connection: Connection, which: str, *values: object) -> tuple[StoredRow, ...]:
    found = connection.execute(f"SELECT body FROM recent WHERE {which} ORDER BY row", values)  # noqa: S608 our own words
    return tuple([one for (body,) in found for one in unpack.__wrapped__(body)])


def decisions_of(rows: Iterable[StoredRow], bot: str | None = None) -> Iterator[StoredDecision]:
    """Give the decisions among rows; `bot` None = of every bot."""
    return (one for one in rows if type(one) is StoredDecision and bot in (None, one.bot))


def decisions_until(
    path: Path, *, instrument: str, at_ns: int, bot: str | None = None, most: int = 1
) -> list[StoredDecision]:
    """Return the last `most` decisions begun at or before a time, in the order they began."""
    found: dict[int, StoredDecision] = {}
    for file in reversed(files(path)):
        with reading(file) as connection:
            for last_ns, read in _about(connection, instrument, at_ns):
                latest = sorted(found.values(), key=_began)[-most:]
                if len(latest) == most and last_ns < latest[0].at_ns:
                    break
                take_longer(found, decisions_of(read(), bot))
        if len(found) >= most:
            break
    return sorted(found.values(), key=_began)[-most:]


def _began(one: StoredDecision) -> tuple[int, int]:
    return one.at_ns, one.row


def decision_numbered(
    path: Path, *, bot: str, instrument: str | None, number: int, at_ns: int
) -> StoredDecision | None:
    """Return the row that covers a decision's number, the one that explains an intent.

    `instrument` None = the row of whichever instrument that begins with the number: a basket is
    wanted about several, and kept with one of them.

    Numbers begin anew with every start of the engine, so the latest at or before `at_ns` counts;
    None = it has been rotated away.
    """
    if instrument is None:
        for some in kept(path, "first_number <= ?1 AND last_number >= ?1", (number,)):
            begun = (one for one in decisions_of(some, bot) if one.at_ns <= at_ns)
            first = next((one for one in begun if one.number == number), None)
            if first is not None:
                return first
        return None
    for file in reversed(files(path)):
        with reading(file) as connection:
            for _, read in _about(connection, instrument, at_ns):
                mine = list(decisions_of(read(), bot))
                fits = [one for one in mine if one.number <= number <= one.last_number]
                if fits:
                    return max(fits, key=_began)
                if any(one.number < number for one in mine):
                    return None  # what began earlier ended before it
    return None


def latest_decisions(
    path: Path, *, bot: str, instruments: Iterable[str]
) -> dict[str, StoredDecision]:
    """Return what a bot decided last about each instrument; what nothing is kept of is missing."""
    found: dict[str, StoredDecision] = {}
    wanted = list(instruments)
    for file in reversed(files(path)):
        missing = [name for name in wanted if name not in found]
        if not missing:
            break
        with reading(file) as connection:
            for name in missing:
                for _, read in _about(connection, name, LAST_NS):
                    mine = list(decisions_of(read(), bot))
                    if mine:
                        found[name] = max(mine, key=_began)
                        break
    return found


def plans_at(path: Path, *, instrument: str, at_ns: int) -> list[Planned]:
    """Return what the executor planned about an instrument in the turn of a time, in order.

    Raises BadInput where one cannot be read.
    """
    found: dict[int, Planned] = {}
    for file in files(path):
        with reading(file) as connection:
            for _, read in _about(connection, instrument, at_ns, at_ns):
                found |= {one.row: one.plan for one in read() if type(one) is StoredPlan}
    return [found[row] for row in sorted(found)]


def take_longer(found: dict[int, StoredDecision], rows: Iterable[StoredDecision]) -> None:
    """Take rows by number; of one that stands in two files, that with the larger count."""
    for stored in rows:
        known = found.get(stored.row)
        if known is None or known.count < stored.count:
            found[stored.row] = stored
