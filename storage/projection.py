"""Projections: orders, fills and positions in the state file, read from the journal alone.

They carry the seq they have read up to and that record's checksum. Where those disagree with the
journal, or this code folds differently than the one before, everything is built anew.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from itertools import islice, takewhile
from pathlib import Path

import msgspec

from engine.domain.instruments import Mode
from engine.domain.settings import AccountSettings
from engine.errors import JournalCorrupt, StorageError
from storage.database import reading, transaction, writing
from storage.journal import kinds_of, last_seq, load, owner, record_at
from storage.projection_fold import Fold
from storage.projection_rows import TABLES, Rows
from storage.records import Record, names_sum, record_sum

VERSION = 5
"""Raise it with every change of what a record means to a row: old projections are rebuilt."""

BATCH = 10_000
"""Records of one transaction."""


class Projected(msgspec.Struct, frozen=True, kw_only=True):
    """What one call did: up to which seq, how many records, whether all was built anew."""

    seq: int
    records: int
    rebuilt: bool
    told: tuple[str, ...]
    """A sentence for each record that could not be used, the first hundred."""


def register_account(
    connection: sqlite3.Connection,
    *,
    engine_id: str,
    account: str,
    mode: Mode,
    venue: str,
    currency: str,
) -> None:
    """Note an account before its first record. Raises StorageError where its mode would change."""
    with transaction(connection):
        row = connection.execute(
            "SELECT mode FROM accounts WHERE engine_id = ? AND account = ?", (engine_id, account)
        ).fetchone()
        if row is not None and row[0] != mode:
            raise StorageError(
                f"account {account!r} is {row[0]} and cannot become {mode}: positions never cross "
                "modes; use its twin account"
            )
        connection.execute(
            "INSERT OR REPLACE INTO accounts (engine_id, account, mode, venue, currency) "
            "VALUES (?, ?, ?, ?, ?)",
            (engine_id, account, mode, venue, currency),
        )


class Loss(msgspec.Struct, frozen=True, kw_only=True):
    """A journal that lacks what the projections have read of it."""

    journal_seq: int
    """The last record the journal has; 0 = it has none."""
    projected_seq: int
    crc: int
    """Checksum of the record the projections have read last."""

    def sentence(self, journal: Path, state: Path) -> str:
        """Name both numbers, and what to do."""
        if self.journal_seq < self.projected_seq:
            head = (
                f"{journal} is missing or empty, but"
                if not self.journal_seq
                else f"{journal} ends at record {self.journal_seq}, but"
            )
        else:
            head = f"{journal} goes on to record {self.journal_seq} with another past:"
        return (
            f"{head} {state} has read it up to record {self.projected_seq}: put the file back with "
            "its -wal, or restore a backup; where there is neither, `python -m engine recover` "
            "shows what is lost, and goes on without it if told so"
        )


def find_loss(journal: Path, state: Path, engine_id: str) -> Loss | None:
    """Return what the journal lost of what the projections had read; None = nothing.

    Also None where a person has accepted exactly that. Raises JournalCorrupt, StorageError.
    """
    with reading(state) as connection:
        row = connection.execute(
            "SELECT version, seq, crc FROM projection WHERE engine_id = ?", (engine_id,)
        ).fetchone()
    if row is None:
        return None
    version, seq, crc = row
    there = journal.is_file() and journal.stat().st_size
    last = last_seq(journal) if there else 0
    if last >= seq:
        record = record_at(journal, seq)
        if version != VERSION or (record is not None and _sum(record) == crc):
            return None
    for _, accepted in kinds_of(journal, ("LossAccepted",)):
        if (accepted.projected_seq, accepted.projected_crc) == (seq, crc):
            return None
    return Loss(journal_seq=last, projected_seq=seq, crc=crc)


def check_past(journal: Path, state: Path, engine_id: str) -> None:
    """Refuse a journal that lacks records the projections have read, before anything is written.

    Without this it would be the past: limits and latch forgotten, order numbers used again, rows
    thrown away. Call it before anything opens the journal for writing. Raises JournalCorrupt,
    StorageError.
    """
    loss = find_loss(journal, state, engine_id)
    if loss is not None:
        raise JournalCorrupt(loss.sentence(journal, state))


def check_new(journal: Path, state: Path) -> None:
    """Refuse a state that knows no account beside a journal that has records.

    A first start there would know the demo's accounts alone: nobody would ask about what others
    left at their venues, and a KILL would call that proven. Raises StorageError.
    """
    if not (journal.is_file() and journal.stat().st_size and (last := last_seq(journal))):
        return
    if state.is_file() and state.stat().st_size:
        with reading(state) as connection:
            if connection.execute("SELECT 1 FROM accounts UNION SELECT 1 FROM settings").fetchone():
                return
    raise StorageError(
        f"{state} is missing or empty, but {journal} has {last} records: put it back, or restore "
        f"it from a backup as README's Recovery says; to begin without a past move {journal.name} "
        "away, too"
    )


def project(journal: Path, state: Path, *, until_seq: int | None = None) -> Projected:
    """Bring the projections of `journal` in `state` up to its end. Call it as often as you like.

    `until_seq` stops them at that record, so that they can be compared with what stood then.
    Raises JournalCorrupt where the journal cannot be believed (the rows stay at what was proven),
    StorageError where a file refuses.
    """
    engine_id = owner(journal)
    # What a power cut takes from the projections, the journal gives back: they need no FULL.
    with writing(state, synchronous="NORMAL") as connection:
        seq, rebuilt = _start(connection, journal, state, engine_id)
        rows = Rows(connection, engine_id, registered(connection, engine_id))
        fold = Fold(rows)
        records = 0
        last = 2**63 - 1 if until_seq is None else until_seq
        wanted = takewhile(lambda record: record.seq <= last, load(journal, after_seq=seq))
        for batch in _batches(wanted):
            with transaction(connection):
                for record in batch:
                    fold.take(record)
                rows.flush()
                _note(connection, engine_id, batch[-1])
            seq = batch[-1].seq
            records += len(batch)
    return Projected(seq=seq, records=records, rebuilt=rebuilt, told=tuple(fold.told))


def _start(
    connection: sqlite3.Connection, journal: Path, state: Path, engine_id: str
) -> tuple[int, bool]:
    """Return the seq to go on from, and whether the rows had to be thrown away."""
    row = connection.execute(
        "SELECT version, seq, crc FROM projection WHERE engine_id = ?", (engine_id,)
    ).fetchone()
    if row is None:
        return 0, False
    version, seq, crc = row
    record = record_at(journal, seq)
    if version == VERSION and record is not None and _sum(record) == crc:
        return int(seq), False
    check_past(journal, state, engine_id)  # the rows may be all that is left of lost records
    with transaction(connection):
        for table in (*TABLES, "projection"):
            connection.execute(f"DELETE FROM {table} WHERE engine_id = ?", (engine_id,))  # noqa: S608 our own tables
    return 0, True


def registered(connection: sqlite3.Connection, engine_id: str) -> dict[str, Mode]:
    """Return the mode of every account that was ever registered."""
    rows = connection.execute(
        "SELECT account, mode FROM accounts WHERE engine_id = ?", (engine_id,)
    )
    return {account: Mode(mode) for account, mode in rows}


def accounts_known(connection: sqlite3.Connection, engine_id: str) -> dict[str, AccountSettings]:
    """Return every account that was ever registered, as it is opened to be asked."""
    rows = connection.execute(
        "SELECT account, mode, venue, currency FROM accounts WHERE engine_id = ?", (engine_id,)
    )
    return {
        name: AccountSettings(name=name, mode=Mode(mode), venue=venue, currency=currency)
        for name, mode, venue, currency in rows
    }


def _batches(records: Iterable[Record]) -> Iterator[list[Record]]:
    source = iter(records)
    while batch := list(islice(source, BATCH)):
        yield batch


def _note(connection: sqlite3.Connection, engine_id: str, record: Record) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO projection (engine_id, version, seq, crc) VALUES (?, ?, ?, ?)",
        (engine_id, VERSION, record.seq, _sum(record)),
    )


def _sum(record: Record) -> int:
    names = names_sum(record.account, record.kind)
    return record_sum(names, record.seq, record.at_ns, record.tape, record.body)
