"""Projections: orders, fills and positions in the state file, read from the journal alone.

They carry the seq they have read up to and that record's checksum. Where those disagree with the
journal, or this code folds differently than the one before, everything is built anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice, takewhile
from pathlib import Path
from sqlite3 import Connection

import msgspec

from engine.domain.instruments import Mode
from engine.domain.settings import AccountSettings
from engine.errors import JournalCorrupt, StorageError
from storage import schema
from storage.database import filled, insert, reading, transaction, upsert, writing
from storage.files import check_swapped
from storage.journal import Record, kinds_of, last_seq, load, owner, record_at
from storage.journal_writer import names_sum, record_sum
from storage.projected import MARKS, TABLES, fold_into

VERSION = 12
"""Raise it with a change of how records are folded at all; a noun has a version of its own."""

BATCH = 10_000
"""Records of one transaction."""


class Projected(msgspec.Struct, frozen=True, kw_only=True):
    """What one call did: up to which seq, how many records, whether all was built anew."""

    seq: int
    records: int
    rebuilt: bool
    problems: tuple[str, ...]
    """A sentence for each record that could not be used, the first hundred."""


def register_account(
    connection: Connection,
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
        insert(
            connection,
            "accounts",
            verb="INSERT OR REPLACE",
            engine_id=engine_id,
            account=account,
            mode=mode,
            venue=venue,
            currency=currency,
        )


class Loss(msgspec.Struct, frozen=True, kw_only=True):
    """A journal that lacks what the projections have read of it."""

    journal_seq: int
    """The last record the journal has; 0 = it has none."""
    projected_seq: int
    crc: int
    """Checksum of the record the projections have read last."""

    def sentence(self, journal: Path, state: Path) -> str:
        if self.journal_seq < self.projected_seq:
            ends = (
                f"ends at record {self.journal_seq}" if self.journal_seq else "is missing or empty"
            )
            head = f"{journal} {ends}, but"
        else:
            head = f"{journal} goes on to record {self.journal_seq} with another past:"
        return (
            f"{head} {state} has read it up to record {self.projected_seq}: put the file back with "
            "its -wal, or restore a backup; where there is neither, `python -m engine recover` "
            "shows what is lost, and goes on without it if you accept that"
        )


class ReadTo(msgspec.Struct, frozen=True):
    """How far the rows of a state file have read the journal, and what made them."""

    version: int
    seq: int
    crc: int
    """Checksum of the last record they have read."""
    nouns: str
    """The nouns that made them, each with its mark; others may be missing altogether."""

    @property
    def current(self) -> bool:
        """Whether this version's nouns made all rows. What a noun that is gone made may stay."""
        return self.version == VERSION and set(self.nouns.split()) >= MARKS


def read_to(connection: Connection, engine_id: str) -> ReadTo | None:
    """Return how far an engine's rows have read the journal, None where there are none."""
    row = connection.execute(
        "SELECT version, seq, crc, nouns FROM projection WHERE engine_id = ?", (engine_id,)
    ).fetchone()
    return None if row is None else ReadTo(*row)


def seq_read(connection: Connection, engine_id: str) -> int:
    """Return the last record an engine's rows have read, 0 = none; backups of older schemas too."""
    row = connection.execute(
        "SELECT seq FROM projection WHERE engine_id = ?", (engine_id,)
    ).fetchone()
    return 0 if row is None else int(row[0])


def find_loss(journal: Path, state: Path, engine_id: str) -> Loss | None:
    """Return what the journal lost of what the projections had read; None = nothing.

    Also None where a person has accepted exactly that. Raises JournalCorrupt, StorageError.
    """
    with reading(state) as connection:
        read = read_to(connection, engine_id)
    if read is None:
        return None
    last = last_seq(journal) if filled(journal) else 0
    if last >= read.seq:
        record = record_at(journal, read.seq)
        if read.version != VERSION or (record is not None and _sum(record) == read.crc):
            return None
    for _, accepted in kinds_of(journal, ("LossAccepted",)):
        if (accepted.projected_seq, accepted.projected_crc) == (read.seq, read.crc):
            return None
    return Loss(journal_seq=last, projected_seq=read.seq, crc=read.crc)


def whole(journal: Path, state: Path, engine_id: str) -> Loss:
    """Return how far both have come, of a journal that lacks nothing the projections had read.

    For one that is behind its venue instead. Raises JournalCorrupt, StorageError.
    """
    with reading(state) as connection:
        read = read_to(connection, engine_id)
    seq, crc = (0, 0) if read is None else (read.seq, read.crc)
    return Loss(journal_seq=last_seq(journal) if filled(journal) else 0, projected_seq=seq, crc=crc)


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

    A first start there would know the demo's accounts alone: no start would ask about what others
    left at their venues, and a KILL would call that proven. Raises StorageError.
    """
    check_swapped(journal.parent)
    if not (filled(journal) and (last := last_seq(journal))):
        return
    if filled(state):
        with reading(state) as connection:
            if connection.execute("SELECT 1 FROM accounts UNION SELECT 1 FROM settings").fetchone():
                return
    raise StorageError(
        f"{state} is missing or empty, but {journal} has {last} records: put it back, or restore "
        f"it from a backup as README's Recovery says; to begin without a past move {journal.name} "
        "away, too"
    )


def bring_up_to_date(state: Path, journal: Path) -> str | None:
    """Migrate, but make no new state beside a journal that has a past; give the backup's path.

    Raises StorageError.
    """
    check_swapped(journal.parent)
    if not filled(state):
        check_new(journal, state)
    return schema.migrate(state)


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
        fold = fold_into(connection, engine_id, registered(connection, engine_id))
        records = 0
        last = 2**63 - 1 if until_seq is None else until_seq
        wanted = takewhile(
            lambda record: record.seq <= last, load(journal, after_seq=seq, thinned=True)
        )
        for batch in _batches(wanted):
            with transaction(connection):
                for record in batch:
                    fold.take(record)
                fold.rows.flush()
                _note(connection, engine_id, batch[-1])
            seq, records = batch[-1].seq, records + len(batch)
    return Projected(seq=seq, records=records, rebuilt=rebuilt, problems=tuple(fold.problems))


def _start(connection: Connection, journal: Path, state: Path, engine_id: str) -> tuple[int, bool]:
    """Return the seq to go on from, and whether the rows had to be thrown away."""
    read = read_to(connection, engine_id)
    if read is None:
        return 0, False
    record = record_at(journal, read.seq)
    if read.current and record is not None and _sum(record) == read.crc:
        return read.seq, False
    check_past(journal, state, engine_id)  # the rows may be all that is left of lost records
    with transaction(connection):
        for table in (*TABLES, "projection"):
            connection.execute(f"DELETE FROM {table} WHERE engine_id = ?", (engine_id,))  # noqa: S608 our own tables
    return 0, True


def registered(connection: Connection, engine_id: str) -> dict[str, Mode]:
    """Return the mode of every account that was ever registered. Raises StorageError."""
    return {name: one.mode for name, one in accounts_known(connection, engine_id).items()}


def accounts_known(connection: Connection, engine_id: str) -> dict[str, AccountSettings]:
    """Return every account that was ever registered, as it is opened to be asked.

    Raises StorageError where a row is damaged.
    """
    found = {}
    for name, mode, venue, currency in connection.execute(
        "SELECT account, mode, venue, currency FROM accounts WHERE engine_id = ?", (engine_id,)
    ):
        try:
            found[name] = AccountSettings(name=name, mode=mode, venue=venue, currency=currency)
        except ValueError as error:
            raise StorageError(
                f"the row of account {name!r} in pitboss.db is damaged: restore pitboss.db from "
                f"a backup, as docs/recovery.md says ({error})"
            ) from error
    return found


def _batches(records: Iterable[Record]) -> Iterator[list[Record]]:
    source = iter(records)
    while batch := list(islice(source, BATCH)):
        yield batch


def _note(connection: Connection, engine_id: str, record: Record) -> None:
    insert(
        connection,
        "projection",
        ends=upsert((), ("version", "seq", "crc", "nouns")),
        engine_id=engine_id,
        version=VERSION,
        seq=record.seq,
        crc=_sum(record),
        nouns=" ".join(sorted(MARKS)),
    )


def _sum(record: Record) -> int:
    names = names_sum(record.account, record.kind)
    return record_sum(names, record.seq, record.at_ns, record.tape, record.body)
