"""Decisions on the disk: one row per run of alike evaluations, in files rotated by size.

`decisions.db` is written; what was full before stands beside it as `decisions.<number>.db`. A row
that still counted when its file was full stands in both; the larger count is the true one.

One decision is much like another, so bodies are compressed by a dictionary of the file's first
ones: to a seventh, each still readable by itself. What is read goes through `reading_log`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import zstandard

from engine.domain.decisions import Decision, Planned
from engine.errors import BadInput, StorageError
from storage.database import Bulk, Table, connect_writer, reading, refusals_told, transaction

FILE_BYTES_MAX = 256 * 1024 * 1024
FILES_KEPT = 4
"""Full files beside the one being written."""

APPLICATION_ID = 0x50424443
"""`PBDC`."""

VERSION = 2
"""1 had no dictionary: what is in such a file is read as it is, and it is written on as 2."""

_DICTIONARY = "CREATE TABLE dictionary (body BLOB NOT NULL)"
SAMPLES = 64
"""Bodies that a file's dictionary is made of; until there are so many, they are kept plain."""

SAMPLED_BYTES_MAX = 64 * 1024
LEVEL = 3
_PACKED = zstandard.FRAME_HEADER
"""How a compressed body begins; the msgpack of a struct never does."""

_SCHEMA = f"""
CREATE TABLE decisions (
    row INTEGER PRIMARY KEY, engine_id TEXT NOT NULL, number INTEGER NOT NULL,
    last_number INTEGER NOT NULL, bot TEXT NOT NULL, instrument TEXT NOT NULL,
    at_ns INTEGER NOT NULL, last_ns INTEGER NOT NULL, count INTEGER NOT NULL,
    regime TEXT NOT NULL, outcome TEXT NOT NULL, body BLOB NOT NULL
);
CREATE INDEX decisions_by_instrument ON decisions (instrument, at_ns);
CREATE TABLE plans (
    row INTEGER PRIMARY KEY, engine_id TEXT NOT NULL, instrument TEXT NOT NULL,
    at_ns INTEGER NOT NULL, body BLOB NOT NULL
);
CREATE INDEX plans_by_instrument ON plans (instrument, at_ns);
{_DICTIONARY};
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {VERSION};
"""
_DECISIONS = Bulk(
    "INSERT INTO decisions VALUES", 12,
    " ON CONFLICT (row) DO UPDATE SET last_number = excluded.last_number, "
    "last_ns = excluded.last_ns, count = excluded.count",
)  # fmt: skip
_PLANS = Bulk("INSERT INTO plans (engine_id, instrument, at_ns, body) VALUES", 4)

DecisionTuple = tuple[int, str, int, int, str, str, int, int, int, str, str, bytes]
"""The columns above, in order."""


class PlanRow(NamedTuple):
    """What the executor made of intents in one turn about one instrument: the columns, in order."""

    engine_id: str
    instrument: str
    at_ns: int
    body: bytes
    """One `Planned`."""


class StoredDecision(msgspec.Struct, frozen=True, kw_only=True):
    """The first of `count` alike decisions, the number and time of the last one, and its bytes."""

    row: int
    engine_id: str
    number: int
    last_number: int
    last_ns: int
    count: int
    body: bytes

    @property
    def decision(self) -> Decision:
        """The decision itself. Raises BadInput where its bytes cannot be read."""
        try:
            return _decode(self.body)
        except msgspec.DecodeError as error:
            raise BadInput(f"decision row {self.row} cannot be read: {error}") from error


DECISIONS = Table(StoredDecision, "decisions", read_as={"body": "plain(body)"})
"""How a decision's row is read, by a connection of `reading_log`."""

_decode = msgspec.msgpack.Decoder(Decision).decode
_decode_plan = msgspec.msgpack.Decoder(Planned).decode


class DecisionFiles:
    """The writing side: appends rows, turns to a new file when this one is full."""

    def __init__(
        self,
        path: Path,
        *,
        file_bytes_max: int = FILE_BYTES_MAX,
        files_kept: int = FILES_KEPT,
        busy_ms: int = 5_000,
    ) -> None:
        self._path = path
        self._bytes_max = file_bytes_max
        self._kept = files_kept
        self._busy_ms = busy_ms
        self._pack: zstandard.ZstdCompressor | None = None
        self._samples: list[bytes] = []
        self._connection: sqlite3.Connection | None = self._open()

    def last_row(self) -> int:
        last = 0
        for path in files(self._path):
            with reading(path) as connection:
                row = connection.execute("SELECT coalesce(max(row), 0) FROM decisions").fetchone()
                last = max(last, int(row[0]))
        return last

    def write(self, rows: Sequence[DecisionTuple], planned: Sequence[PlanRow] = ()) -> None:
        """Write rows in one transaction. Raises StorageError; the same rows may be tried again."""
        if self._connection is None:
            self._connection = self._open()
        made = self._sampled(rows, planned)
        with refusals_told(self._path):
            with transaction(self._connection):
                if made is not None:
                    self._connection.execute("INSERT INTO dictionary VALUES (?)", (made,))
                _DECISIONS.write(self._connection, self._compressed(rows))
                _PLANS.write(self._connection, self._compressed(planned))
            if made is not None:
                self._pack, self._samples = _packer(made), []
            pages, size = (
                self._connection.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("page_count", "page_size")
            )
        if pages * size >= self._bytes_max:
            self._rotate()

    def _sampled(self, rows: Sequence[DecisionTuple], planned: Sequence[PlanRow]) -> bytes | None:
        """Return the file's dictionary where it has none yet and enough bodies were seen."""
        if self._pack is None and len(self._samples) < SAMPLES:
            self._samples += [row[-1] for row in rows[:SAMPLES]]
            self._samples += [plan.body for plan in planned[:SAMPLES]]
        enough = self._pack is None and len(self._samples) >= SAMPLES
        return b"".join(self._samples)[-SAMPLED_BYTES_MAX:] if enough else None

    def _compressed(self, rows: Sequence[tuple[Any, ...]]) -> Sequence[tuple[Any, ...]]:
        """Return rows whose last column, the body, is as it is kept."""
        if self._pack is None:
            return rows
        return [(*row[:-1], self._pack.compress(row[-1])) for row in rows]

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _open(self) -> sqlite3.Connection:
        connection = connect_writer(
            self._path, synchronous="NORMAL", busy_ms=self._busy_ms, any_thread=True
        )
        try:
            with refusals_told(self._path):
                if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
                    with transaction(connection):
                        for statement in _SCHEMA.split(";"):
                            connection.execute(statement)
                _check(connection, self._path)
                made = _dictionary(connection)
                self._pack = None if made is None else _packer(made)
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


def _check(connection: sqlite3.Connection, path: Path) -> None:
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if (application, version) == (APPLICATION_ID, 1):
        with transaction(connection):
            connection.execute(_DICTIONARY)
            connection.execute(f"PRAGMA user_version = {VERSION}")
    elif (application, version) != (APPLICATION_ID, VERSION):
        raise StorageError(
            f"{path} is not a decision file of this version; move it away, a new one is begun"
        )


def _packer(made: bytes) -> zstandard.ZstdCompressor:
    return zstandard.ZstdCompressor(level=LEVEL, dict_data=_of(made))


def _of(made: bytes) -> zstandard.ZstdCompressionDict:
    return zstandard.ZstdCompressionDict(made, dict_type=zstandard.DICT_TYPE_RAWCONTENT)


def _dictionary(connection: sqlite3.Connection) -> bytes | None:
    """Return what a file's bodies are compressed by; None = they stand as they are."""
    there = "SELECT 1 FROM sqlite_master WHERE name = 'dictionary'"
    if connection.execute(there).fetchone() is None:
        return None
    row = connection.execute("SELECT body FROM dictionary").fetchone()
    return None if row is None else bytes(row[0])


@contextmanager
def reading_log(path: Path) -> Iterator[sqlite3.Connection]:
    """Open one file for reading, with SQL's `plain(body)`: a body as it was before it was kept."""
    with reading(path) as connection:
        made = _dictionary(connection)
        unpack = None if made is None else zstandard.ZstdDecompressor(dict_data=_of(made))

        def plain(body: bytes) -> bytes:
            if unpack is None or type(body) is not bytes or not body.startswith(_PACKED):
                return body
            try:
                return unpack.decompress(body)
            except zstandard.ZstdError:
                return body  # whoever decodes it names the row

        connection.create_function("plain", 1, plain, deterministic=True)
        yield connection


def files(path: Path) -> list[Path]:
    """Return the files of a decision log, oldest first; the one being written is the last."""
    full = sorted(path.parent.glob(f"{path.stem}.{'[0-9]' * 6}{path.suffix}"))
    return [*full, path] if path.exists() else full


def decisions_around(
    path: Path,
    *,
    instrument: str,
    at_ns: int,
    bot: str | None = None,
    before: int = 20,
    after: int = 20,
) -> list[StoredDecision]:
    """Return what was decided around a time, oldest first; `bot` None = of every bot.

    Gives up to `before` rows begun at or before the time and up to `after` rows begun later.
    """
    earlier: dict[int, StoredDecision] = {}
    later: dict[int, StoredDecision] = {}
    for file in reversed(files(path)):
        with reading_log(file) as connection:
            if len(earlier) < before:
                _collect(
                    connection, earlier, "<= ? ", "DESC", (instrument, at_ns, bot, bot, before)
                )
            _collect(connection, later, "> ?", "ASC", (instrument, at_ns, bot, bot, after))
    old = sorted(earlier.values(), key=lambda stored: stored.row)[-before:] if before else []
    return old + sorted(later.values(), key=lambda stored: stored.row)[:after]


def decision_numbered(
    path: Path, *, bot: str, instrument: str | None, number: int, at_ns: int
) -> StoredDecision | None:
    """Return the row that covers a decision's number, the one that explains a wish.

    `instrument` None = the row of whichever instrument that begins with the number: a basket is
    wished about several, and kept with one of them.

    Numbers begin anew with every start of the engine, so the latest at or before `at_ns` counts;
    None = it has been rotated away.
    """
    which = (
        "number = :number"
        if instrument is None
        else ("instrument = :instrument AND number <= :number AND last_number >= :number")
    )
    given = {"instrument": instrument, "number": number, "bot": bot, "at_ns": at_ns}
    for file in reversed(files(path)):
        with reading_log(file) as connection:
            latest = f"{which} AND bot = :bot AND at_ns <= :at_ns ORDER BY at_ns DESC LIMIT 1"
            found = DECISIONS.one(connection, latest, given)
        if found is not None:
            return found
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
        with reading_log(file) as connection:
            for name in missing:
                where = "instrument = ? AND bot = ? ORDER BY at_ns DESC, row DESC LIMIT 1"
                latest = DECISIONS.one(connection, where, (name, bot))
                if latest is not None:
                    found[name] = latest
    return found


def plans_at(path: Path, *, instrument: str, at_ns: int) -> list[Planned]:
    """Return what the executor planned about an instrument in the turn of a time, in order.

    Raises BadInput where one cannot be read.
    """
    found: list[Planned] = []
    for file in files(path):
        with reading_log(file) as connection:
            rows = connection.execute(
                "SELECT plain(body) FROM plans WHERE instrument = ? AND at_ns = ? ORDER BY row",
                (instrument, at_ns),
            )
            found += [_plan(body) for (body,) in rows]
    return found


def all_plans(connection: sqlite3.Connection) -> Iterator[tuple[Planned, bytes]]:
    """Give every plan of one file with its bytes, in order. Raises BadInput if unreadable."""
    for (body,) in connection.execute("SELECT plain(body) FROM plans ORDER BY row"):
        yield _plan(body), body


def _plan(body: bytes) -> Planned:
    try:
        return _decode_plan(body)
    except msgspec.DecodeError as error:
        raise BadInput(f"a plan cannot be read: {error}") from error


def _collect(
    connection: sqlite3.Connection,
    found: dict[int, StoredDecision],
    when: str,
    order: str,
    values: tuple[object, ...],
) -> None:
    where = (
        f"instrument = ? AND at_ns {when} AND (? IS NULL OR bot = ?) "
        f"ORDER BY at_ns {order}, row {order} LIMIT ?"
    )
    take_longer(found, DECISIONS.all(connection, where, values))


def take_longer(found: dict[int, StoredDecision], rows: Iterable[StoredDecision]) -> None:
    """Take rows by number; of one that stands in two files, that with the larger count."""
    for stored in rows:
        known = found.get(stored.row)
        if known is None or known.count < stored.count:
            found[stored.row] = stored
