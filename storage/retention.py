"""Retention: what is kept under the disk budget, in which order it goes, and what never does.

Each kind of history has a part of the budget and loses its own oldest first, so that no kind eats
another's. Of the journal nothing is lost by moving: old records stand compressed in its archive.
Beyond its part the archive's oldest blocks are *thinned*: the orders that ended without a fill go,
with the questions and answers about them. Never go: fills, cash, listings, payouts, commands,
latches, starts, orders without an end; anything that an account without an elder snapshot needs at
a start; anything the projections, here or in a backup of the last week, have not read.

The file of the state never shows an order whose records are gone: rows go before records.
Every step is one transaction, or one file renamed before it is deleted: a program that dies between
two of them has lost nothing, and the next run goes on.
"""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import closing, suppress
from pathlib import Path
from sqlite3 import Connection

import msgspec

from engine.errors import StorageError
from storage.database import connect_writer, filled, pages_of, reading, storage_errors, transaction
from storage.decisions import FIRST_NS, files
from storage.journal import (
    LAST_SEQ,
    ArchiveBlock,
    block_of,
    blocks,
    decode,
    proven,
    record_of,
    rows_of,
    snapshots_of,
    thinned_to,
)
from storage.journal_writer import EXECUTOR, SNAPSHOTS_KEPT, RawRow, bring_up, last_of
from storage.projected.orders import ENDED
from storage.projection import seq_read
from storage.tape_blocks import begun_ns
from storage.tape_blocks import segments as taped
from storage.tick_log import number_of, segments

BLOCK = 1_000
"""Records of a block: a transaction of some milliseconds."""

TAIL = 10_000
"""Latest records that stay as they are: what pages look at, two megabytes."""

ORDERS_AT_ONCE = 1_000
DAY_NS = 86_400 * 1_000_000_000
GONE = ".gone-"
"""Begins the name of a folder that is being deleted."""

OF_ORDERS = frozenset(
    {
        "PlaceOrder",
        "OrderNamed",
        "OrderSent",
        "OrderNotSent",
        "OrderUnanswered",
        "OrderAccepted",
        "OrderDelayed",
        "OrderRejected",
        "OrderCancelled",
        "OrderExpired",
        "OrderChanged",
        "OrderNotFound",
        "CancelRefused",
        "CancelUnanswered",
        "QueryOrder",
    }
)
"""Kinds that tell of one order: they go with it."""

PASSING = frozenset(
    {
        "CancelOrders",
        "OrderReported",
        "OpenOrdersListed",
        "QueryOpenOrders",
        "QueryFills",
        "QueryBalances",
        "BalancesListed",
        "PositionsListed",
        "QueryFailed",
        "SetTimer",
        "TimerFired",
        "HealthChanged",
    }
)
"""Kinds that tell of a moment: later ones of the same kind have taken their place."""

Step = Callable[[str], object]
"""Receives each step before it is done."""


def ignored(step: str) -> None:
    del step


# -- the journal: moved into its archive, and thinned ----------------------------------------------


def archive_records(
    path: Path, *, tail: int = TAIL, size: int = BLOCK, step: Step = ignored
) -> int:
    """Move all but the latest records into the archive, a block at a time; give how many.

    Raises JournalCorrupt for a damaged record: it stays where it is. StorageError.
    """
    moved = 0
    # Without a wait for the disk: a block that a power cut takes back is still among the records.
    with closing(connect_writer(path, synchronous="NORMAL")) as connection, storage_errors(path):
        bring_up(connection)
        while True:
            with transaction(connection):
                rows = connection.execute(
                    "SELECT * FROM records WHERE seq <= ? ORDER BY seq LIMIT ?",
                    (last_of(connection) - tail, size),
                ).fetchall()
                if len(rows) < size:
                    return moved
                first, last = rows[0][0], rows[-1][0]
                for number, row in enumerate(rows):
                    proven(path, row, first + number, {})
                step("insert")
                connection.execute(_ARCHIVE, block_of(rows, first=first, last=last, whole=True))
                step("delete")
                connection.execute("DELETE FROM records WHERE seq <= ?", (last,))
                step("commit")
            moved += len(rows)


_OLD_BASES = (
    "DELETE FROM snapshots WHERE seq < ? AND name LIKE ? AND seq NOT IN (SELECT seq FROM snapshots "
    "kept WHERE kept.name = snapshots.name ORDER BY seq DESC LIMIT ?)"
)
_ARCHIVE = "INSERT OR REPLACE INTO archive VALUES (?, ?, ?, ?, ?, ?, ?, ?)"


def unarchived(path: Path) -> int:
    """Return how many records a journal has outside its archive, 0 where there is no journal."""
    if not filled(path):
        return 0
    with reading(path) as connection:
        first, last = connection.execute(
            "SELECT (SELECT min(seq) FROM records), (SELECT max(seq) FROM records)"
        ).fetchone()
    return 0 if first is None else int(last - first) + 1


class Thinned(msgspec.Struct, frozen=True, kw_only=True):
    """What a thinning let go."""

    records: int = 0
    orders: int = 0


def thin_journal(
    journal: Path,
    state: Path,
    engine_id: str,
    *,
    bytes_max: int,
    never_past: int = LAST_SEQ,
    step: Step = ignored,
) -> Thinned:
    """Thin the archive's oldest blocks until the journal takes no more than `bytes_max`.

    Stops at what must not go; then the journal is larger. Raises JournalCorrupt, StorageError.
    """
    records = orders = seen = 0
    covered = _covered(journal)
    # The last record that was read stays: by its checksum the projections know their journal.
    read = min(never_past, projected(state, engine_id)) - 1
    last = min(read, max(covered.values(), default=0))
    with closing(connect_writer(journal, synchronous="NORMAL")) as connection:
        while True:
            with storage_errors(journal):
                whole = "whole AND first > ? AND last <= ? ORDER BY first LIMIT 1"
                block = next(blocks(connection, journal, whole, (seen, last)), None)
                if block is None or used_bytes(connection) <= bytes_max:
                    return Thinned(records=records, orders=orders)
            seen = block.last
            over = _over(state, engine_id, block)
            kept = [row for row in block.rows if _stays(row, block, covered, over)]
            if len(kept) == len(block.rows):
                continue
            step("orders")
            orders += _forget_orders(state, engine_id, over - {_key(row) for row in kept})
            made = block_of(kept, first=block.first, last=block.last, whole=False)
            with storage_errors(journal), transaction(connection):
                step("thin")
                connection.execute(_ARCHIVE, (*made[:2], block.first_ns, block.last_ns, *made[4:]))
                connection.execute(_OLD_BASES, (block.last, f"{EXECUTOR}%", SNAPSHOTS_KEPT))
                step("commit")
            records += len(block.rows) - len(kept)


def projected(state: Path, engine_id: str) -> int:
    with reading(state) as connection:
        return seq_read(connection, engine_id)


def _covered(journal: Path) -> dict[str, int]:
    """Return for each account the record behind which even its eldest kept snapshot stands.

    The eldest, and only where there are more than one: a start may have to pass a damaged one.
    """
    found: dict[str, list[int]] = {}
    for snapshot in snapshots_of(journal):
        name = snapshot.name.removeprefix(EXECUTOR)
        if name != snapshot.name:
            found.setdefault(name, []).append(snapshot.seq)
    return {name: min(seqs) for name, seqs in found.items() if len(seqs) > 1}


def _over(state: Path, engine_id: str, block: ArchiveBlock) -> set[tuple[str, int]]:
    """Return the orders that began and ended in a block without a fill: all there is of them."""
    placed = {(row[2], _number(row)) for row in block.rows if row[3] == "PlaceOrder"}
    with reading(state) as connection:
        for name in block.accounts:
            numbers = [number for account, number in placed if account == name] or [0]
            placed.difference_update(
                (name, int(number))
                for (number,) in connection.execute(
                    "SELECT order_id FROM fills WHERE engine_id = ?1 AND account = ?2 "  # noqa: S608 our own words
                    "AND order_id BETWEEN ?4 AND ?5 UNION "
                    "SELECT id FROM orders WHERE engine_id = ?1 AND account = ?2 "
                    f"AND id BETWEEN ?4 AND ?5 AND (seq > ?3 OR NOT {ENDED})",
                    (engine_id, name, block.last, min(numbers), max(numbers)),
                )
            )
    return placed


def _stays(
    row: RawRow, block: ArchiveBlock, covered: dict[str, int], over: AbstractSet[tuple[str, int]]
) -> bool:
    """Judge one record of a block that is thinned; in doubt it stays."""
    account, kind = row[2], row[3]
    if not account or covered.get(account, 0) < block.last:
        return True
    if kind in OF_ORDERS:
        return (account, _number(row)) not in over
    return kind not in PASSING


def _key(row: RawRow) -> tuple[str, int]:
    return row[2], _number(row) if row[3] in OF_ORDERS else 0


def _number(row: RawRow) -> int:
    message = decode(record_of(row))
    return int(message.order.id if row[3] == "PlaceOrder" else message.order)


def used_bytes(connection: Connection) -> int:
    """Return the bytes of a database that hold something."""
    pages, empty, size = pages_of(connection)
    return (pages - empty) * size


# -- the state: orders that came to nothing, markouts that stand in a sum --------------------------

_UNFILLED = (
    f"engine_id = ? AND {ENDED} AND NOT EXISTS (SELECT 1 FROM fills WHERE "  # noqa: S608 our own words
    "fills.engine_id = orders.engine_id AND fills.account = orders.account "
    "AND fills.order_id = orders.id)"
)


def _forget_orders(state: Path, engine_id: str, gone: AbstractSet[tuple[str, int]]) -> int:
    """Delete the rows of orders whose records are about to go."""
    with (
        closing(connect_writer(state, synchronous="NORMAL")) as connection,
        storage_errors(state),
        transaction(connection),
    ):
        return connection.executemany(
            "DELETE FROM orders WHERE engine_id = ? AND account = ? AND id = ?",
            [(engine_id, *one) for one in sorted(gone)],
        ).rowcount


def prune_state(
    state: Path, engine_id: str, *, bytes_max: int, least: int = 20_000
) -> tuple[int, int]:
    """Delete the oldest orders without a fill, and markouts in a sum, while the state is too large.

    Give how many of each. The latest `least` rows stay; so do fills, positions, cash and every sum.
    """
    gone = [0, 0]
    queries = (
        f"DELETE FROM orders WHERE rowid IN (SELECT rowid FROM orders WHERE {_UNFILLED} "  # noqa: S608 ours
        "AND rowid <= (SELECT max(rowid) FROM orders) - ? ORDER BY rowid LIMIT ?)",
        "DELETE FROM markouts WHERE rowid IN (SELECT rowid FROM markouts m WHERE engine_id = ? "
        "AND state != 'due' AND EXISTS (SELECT 1 FROM fills WHERE engine_id = m.engine_id AND "
        "account = m.account AND id = m.fill AND state IN ('confirmed', 'failed')) "
        "AND rowid <= (SELECT max(rowid) FROM markouts) - ? ORDER BY rowid LIMIT ?)",
    )
    with closing(connect_writer(state, synchronous="NORMAL")) as connection, storage_errors(state):
        for number, query in enumerate(queries):
            while used_bytes(connection) > bytes_max:
                with transaction(connection):
                    values = (engine_id, least, ORDERS_AT_ONCE)
                    found = connection.execute(query, values).rowcount
                gone[number] += found
                if found < ORDERS_AT_ONCE:
                    break
    return gone[0], gone[1]


def orders_gone(connection: Connection) -> str:
    """Say how many orders have no row any more, and from when on all have one; '' = all have."""
    (gone,) = connection.execute("SELECT max(rowid) - count(*) FROM orders").fetchone()
    if not gone:
        return ""
    (since_ns,) = connection.execute(
        "SELECT created_ns FROM orders later WHERE NOT EXISTS (SELECT 1 FROM orders WHERE "
        "rowid = later.rowid - 1) ORDER BY rowid DESC LIMIT 1"
    ).fetchone()
    since = dt.datetime.fromtimestamp(since_ns // 1_000_000_000, dt.UTC)
    return (
        f"{gone:,} orders of all modes without a fill, placed before {since:%Y-%m-%d %H:%M} UTC, "
        "were pruned under the disk budget"
    )


# -- files and folders -----------------------------------------------------------------------------


def size_of(path: Path) -> int:
    """Return the bytes of a file with its log, or of everything in a folder; 0 = it is gone."""
    try:
        if path.is_dir():
            return sum(one.stat().st_size for one in path.rglob("*") if one.is_file())
        size = path.stat().st_size
    except FileNotFoundError:
        return 0
    with suppress(FileNotFoundError):  # the last program that closes a database takes its log away
        size += path.with_name(path.name + "-wal").stat().st_size
    return size


def keep_bytes(
    oldest_first: Sequence[Path], bytes_max: int, *, least: int, most: int | None = None
) -> list[Path]:
    """Delete files or folders, the oldest first, until the rest fits; `least` of them stay.

    Nor do more than `most` stay; None = any number may. Give those that went. A deletion that was
    interrupted is finished.
    """
    for folder in {path.parent for path in oldest_first}:
        for half in folder.glob(f"{GONE}*"):
            shutil.rmtree(half)
    sizes = [size_of(path) for path in oldest_first]
    gone: list[Path] = []
    while (left := len(oldest_first) - len(gone)) > least and (
        sum(sizes[len(gone) :]) > bytes_max or (most is not None and left > most)
    ):
        path = oldest_first[len(gone)]
        if path.is_dir():
            moved = path.with_name(f"{GONE}{path.name}")  # half of it must not look like it
            path.replace(moved)
            shutil.rmtree(moved)
        else:
            for end in ("", "-wal", "-shm"):
                path.with_name(path.name + end).unlink(missing_ok=True)
        gone.append(path)
    return gone


def folders_of(folder: Path) -> list[Path]:
    """Return the folders with a number or a time for a name, oldest first."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.name[0].isdigit() and path.is_dir())


def truncate_logs(paths: Iterable[Path]) -> None:
    """Move what stands in write-ahead logs into their files, and end those that no program reads.

    Nothing waits for it: the long part keeps no writer from writing. Raises StorageError.
    """
    for path in paths:
        if filled(path):
            with closing(connect_writer(path, busy_ms=0)) as connection, storage_errors(path):
                for how in ("PASSIVE", "TRUNCATE"):
                    connection.execute(f"PRAGMA wal_checkpoint({how})").fetchall()


# -- what there is, in figures and words -----------------------------------------------------------


class HistoryKept(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of history on the disk."""

    kind: str
    bytes: int
    bytes_max: int
    since_ns: int | None
    """From when on it is whole; None = there is nothing, or it is unknown."""
    per_day: int | None
    """Bytes a day over the time that is kept; None = too short a time to say."""
    words: str = ""
    """What is gone."""

    @property
    def days_left(self) -> float | None:
        """Days until its part of the budget is full and the oldest goes; None = unknown."""
        return None if not self.per_day else max(0, self.bytes_max - self.bytes) / self.per_day


RATE_NS_MIN = 600 * 1_000_000_000
"""A shorter time says nothing about a day."""


def survey(
    places: Mapping[str, Path], bytes_max: Callable[[str], int], now_ns: int
) -> list[HistoryKept]:
    """Return every kind of history, with what is gone of it. Raises StorageError."""

    def kept(kind: str, size: int, since_ns: int | None, words: str = "") -> HistoryKept:
        span = 0 if since_ns is None else now_ns - since_ns
        per_day = size * DAY_NS // span if span >= RATE_NS_MIN else None
        return HistoryKept(
            kind=kind,
            bytes=size,
            bytes_max=bytes_max(kind),
            since_ns=since_ns,
            per_day=per_day,
            words=words,
        )

    journal, state, tape = places["journal"], places["state"], places["tape"]
    decided = files(places["decisions"])
    since_ns = next((_first(one, FIRST_NS) for one in decided), None)
    return [
        kept("journal", _used(journal), *_journal_since(journal)),
        kept("state", _used(state), *_state_since(state)),
        kept("decisions", sum(map(size_of, decided)), since_ns),
        kept("tape", size_of(tape), next(filter(None, map(begun_ns, taped(tape))), None)),
        *(
            kept(kind, size_of(places[kind]), _oldest(folders_of(places[kind])))
            for kind in ("runs", "backups")
        ),
        kept("ticks", size_of(places["ticks"]), *_ticks_since(places["ticks"])),
    ]


BACKLOG = 10_000
"""Records behind the tail that are worth a job; in the archive they take a seventh."""

TICKS_BACKLOG = 1_000_000
"""Bytes of the log of ticks that are worth it: some hundred thousand ticks."""


def due(places: Mapping[str, Path], bytes_max: Callable[[str], int], now_ns: int) -> str:
    """Return why the job that keeps the budget is wanted, '' = it is not. Raises StorageError."""
    found = survey(places, bytes_max, now_ns)
    over = [one.kind for one in found if one.bytes > one.bytes_max]
    if over:
        return f"{' and '.join(over)} beyond their part of the disk budget"
    waiting = unarchived(places["journal"]) - TAIL
    if waiting >= BACKLOG:
        return f"{waiting:,} records wait for the archive"
    ticks = sum(map(size_of, segments(places["ticks"])[:-1]))
    return f"{ticks:,} bytes of ticks wait for their files" if ticks >= TICKS_BACKLOG else ""


def _used(path: Path) -> int:
    """Return the bytes of a database that hold something: what is empty is written again first."""
    if not filled(path):
        return 0
    with reading(path) as connection:
        return used_bytes(connection)


def _first(path: Path, query: str) -> int | None:
    """Return the time a query gives, None where it gives none or the file cannot be read."""
    if not filled(path):
        return None
    try:
        with reading(path) as connection:
            row = connection.execute(query).fetchone()
    except StorageError:
        return None  # the file's own readers say what is wrong with it
    return None if row is None or row[0] is None else int(row[0])


def _oldest(paths: Iterable[Path]) -> int | None:
    return min((path.stat().st_mtime_ns for path in paths), default=None)


def _ticks_since(folder: Path) -> tuple[int | None, str]:
    """Return from when on every tick is kept, and what is kept of the time before."""
    raw = sorted((folder / "raw").glob("*.parquet"))
    if not raw:  # a segment is named by the millisecond in which it was begun
        return next((number_of(one) * 1_000_000 for one in segments(folder)), None), ""
    since = dt.datetime.strptime(raw[0].name[:10], "%Y-%m-%d").replace(tzinfo=dt.UTC)
    candles = (folder / "candles" / "1m").glob("*.parquet")
    older = any(one.stem < raw[0].name[:10] for one in candles)
    words = "older days: candles are kept" if older else ""
    return int(since.timestamp()) * 1_000_000_000, words


def _state_since(path: Path) -> tuple[int | None, str]:
    since_ns = _first(path, "SELECT min(at_ns) FROM cash_moves")
    if since_ns is None:
        return None, ""
    with reading(path) as connection:
        return since_ns, orders_gone(connection)


def _journal_since(path: Path) -> tuple[int | None, str]:
    if not filled(path):
        return None, ""
    with reading(path) as connection:
        gone, gone_ns = thinned_to(connection)
        first = next((row for row in rows_of(connection, path, gone + 1) if row[1] > 0), None)
    words = f"up to record {gone:,}: only records about money are kept" if gone else ""
    return (first[1] if first is not None else gone_ns or None), words
