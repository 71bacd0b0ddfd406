"""A past whose journal is archived, and thinned: told again as before, from where it is kept."""

from __future__ import annotations

from contextlib import closing

import pytest

from engine.cli.explain import retold, words
from engine.config import Config
from engine.domain.effects import KeepStart
from engine.errors import BadInput
from engine.lab.explain.accounts import ToldAccounts
from engine.lab.incident.run import ComparedRuns, incident
from storage.database import connect_writer, reading
from storage.incidents import journal_span
from storage.journal import (
    EXECUTOR,
    JournalSnapshot,
    decode,
    latest_snapshots,
    load,
    owner,
    thinned_to,
    write_batch,
)
from storage.projection import project
from storage.retention import archive_records, thin_journal
from storage.settings import force_history

SECOND_NS = 1_000_000_000


def lived(config: Config) -> ComparedRuns:
    span = journal_span(config.journal_path)
    return incident(config, at_ns=span.last_ns, around_ns=SECOND_NS, tell=lambda *_: None).compared


def archived(config: Config, *, tail: int) -> None:
    project(config.journal_path, config.state_path)
    assert archive_records(config.journal_path, tail=tail, size=20)


def snapshots(config: Config, seqs: tuple[int, ...]) -> None:
    """Write the snapshots an engine would have written behind these records."""
    path = config.journal_path
    records = list(load(path))
    with reading(config.state_path) as connection:
        versions = force_history(connection, owner(path))
    settings = [(one.applied_ns, one.document) for one in versions if one.applied_ns is not None]
    told = ToldAccounts(settings, lambda after: load(path, after), latest_snapshots(path).by_name)
    made = []
    for record in records:
        told.apply_settings(record.at_ns)
        message = decode(record)
        if isinstance(message, KeepStart):
            told.start(record, message)
        told.fold(record, message)
        if record.seq in seqs:
            made += [
                JournalSnapshot(
                    name=f"{EXECUTOR}{name}", seq=record.seq, at_ns=record.at_ns,
                    body=one.snapshot(),
                )
                for name, one in told.executors.items()
            ]  # fmt: skip
    with closing(connect_writer(path)) as connection:
        connection.execute("DELETE FROM snapshots")
        write_batch(connection, [], made)


def test_an_archived_past_is_lived_and_explained_again_as_before(past: Config) -> None:
    before, explained = lived(past), retold(past)
    assert explained.same > 10
    archived(past, tail=10)
    after = lived(past)
    assert after.difference is None
    assert (after.effects, after.decisions) == (before.effects, before.decisions)
    assert retold(past) == explained


def test_a_thinned_past_is_explained_from_the_first_snapshot_that_is_kept(past: Config) -> None:
    whole, last = retold(past), journal_span(past.journal_path).last_seq
    third = last // 3
    snapshots(past, (third, third + 20, third + 40))
    archived(past, tail=10)
    gone = thin_journal(past.journal_path, past.state_path, owner(past.journal_path), bytes_max=0)
    assert gone.records
    found = retold(past)
    assert (found.different, found.broken, found.beyond, found.unreached) == ([], [], 0, 0)
    assert 0 < found.same < whole.same
    assert found.gone + found.plans + found.idle == whole.plans + whole.idle
    assert f"{found.gone:,} earlier ones cannot be told again" in words(found)
    with reading(past.journal_path) as connection:
        seq, _ = thinned_to(connection)
    assert 0 < seq <= third
    with pytest.raises(BadInput, match=f"records up to {seq} .* were let go under the disk"):
        lived(past)
