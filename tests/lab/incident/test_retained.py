"""A past whose journal is archived, and thinned: told again as before, from where it is kept."""

from __future__ import annotations

import time
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from engine.cli import doctor
from engine.cli.explain import verify_home, words
from engine.config import Config
from engine.domain.effects import KeepStart
from engine.domain.instruments import AccountId
from engine.domain.jobs import RetainJob
from engine.errors import BadInput
from engine.jobs.run import works
from engine.lab.explain.accounts import JournalAccounts
from engine.lab.incident.run import ComparedRuns, incident
from engine.runtime.recovery import executor_of, recover
from pages import jobs
from storage.database import connect_writer, reading
from storage.files import said_bytes
from storage.incidents import journal_span
from storage.journal import decode, latest_snapshots, load, owner, thinned_to
from storage.journal_writer import EXECUTOR, JournalSnapshot, write_batch
from storage.projection import check_past, project
from storage.retention import HistoryKept, archive_records, size_of, survey, thin_journal
from storage.settings import force_history, in_force
from storage.users import ENGINE_ID
from tests.jobs.test_kinds import context
from tests.lab.conftest import write_recording
from tests.lab.incident.conftest import PARAMETERS
from tests.live.programs import LONG_S, Programs
from tests.ports import free_port

SECOND_NS = 1_000_000_000


def replayed(config: Config) -> ComparedRuns:
    span = journal_span(config.journal_path)
    return incident(config, at_ns=span.last_ns, around_ns=SECOND_NS, show=lambda *_: None).compared


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
    accounts = JournalAccounts(
        settings, lambda after: load(path, after), latest_snapshots(path).by_name
    )
    made = []
    for record in records:
        accounts.apply_settings(record.at_ns)
        message = decode(record)
        if isinstance(message, KeepStart):
            accounts.start(record, message)
        accounts.apply_record(record, message)
        if record.seq in seqs:
            made += [
                JournalSnapshot(
                    name=f"{EXECUTOR}{name}", seq=record.seq, at_ns=record.at_ns,
                    body=one.snapshot(),
                )
                for name, one in accounts.executors.items()
            ]  # fmt: skip
    with closing(connect_writer(path)) as connection:
        connection.execute("DELETE FROM snapshots")
        write_batch(connection, [], made)


@pytest.mark.long
def test_an_archived_past_is_lived_and_explained_again_as_before(past: Config) -> None:
    before, explained = replayed(past), verify_home(past)
    assert explained.same > 10
    archived(past, tail=10)
    after = replayed(past)
    assert after.difference is None
    assert (after.effects, after.decisions) == (before.effects, before.decisions)
    assert verify_home(past) == explained


@pytest.mark.long
def test_a_thinned_past_is_explained_from_the_first_snapshot_that_is_kept(past: Config) -> None:
    whole, last = verify_home(past), journal_span(past.journal_path).last_seq
    third = last // 3
    snapshots(past, (third, third + 20, third + 40))
    archived(past, tail=10)
    gone = thin_journal(past.journal_path, past.state_path, owner(past.journal_path), bytes_max=0)
    assert gone.records
    found = verify_home(past)
    assert (found.different, found.broken, found.beyond, found.unreached) == ([], [], 0, 0)
    assert 0 < found.same < whole.same
    assert found.gone + found.plans + found.idle == whole.plans + whole.idle
    assert f"{found.gone:,} earlier ones cannot be rebuilt" in words(found)
    with reading(past.journal_path) as connection:
        seq, _ = thinned_to(connection)
    assert 0 < seq <= third
    with pytest.raises(BadInput, match=f"records up to {seq} .* were pruned under the disk"):
        replayed(past)


def started(config: Config) -> dict[str, bytes]:
    """Return what a start makes of the journal: every account's executor, as bytes."""
    with reading(config.state_path) as connection:
        document = in_force(connection, ENGINE_ID).document
    executors = {AccountId(name): executor_of(one, 1)[0] for name, one in document.accounts.items()}
    recover(config.journal_path, executors)
    return {name: one.snapshot() for name, one in executors.items()}


def money(config: Config) -> list[object]:
    tables = ("fills", "positions", "cash_moves", "listings", "redemptions", "bets", "equity")
    with reading(config.state_path) as connection:
        return [connection.execute(f"SELECT * FROM {one}").fetchall() for one in tables]


def _thin_to_budget(config: Config) -> dict[str, HistoryKept]:
    """Run the job: a start and the money are as before, and what is gone is said everywhere."""
    project(config.journal_path, config.state_path)
    span = journal_span(config.journal_path)
    whole, knew, owned = verify_home(config), started(config), money(config)
    assert all(not one for one in (whole.different, whole.broken, whole.unreached))
    result = works()["retain"](RetainJob(), context(config, "retain"))
    assert result["records_gone"] or result["orders_gone"]
    assert "gone" in result["told"]

    assert started(config) == knew
    assert money(config) == owned
    check_past(config.journal_path, config.state_path, ENGINE_ID)

    again = verify_home(config)
    found = {one.kind: one for one in survey(config.history, config.share, time.time_ns())}
    if not result["records_gone"]:  # in their archive they are few enough
        assert again == whole
        return found
    assert (again.different, again.broken, again.beyond, again.unreached) == ([], [], 0, 0)
    assert again.same + again.gone > again.gone > 0
    assert "earlier ones cannot be rebuilt: their records were pruned" in words(again)
    with pytest.raises(BadInput, match="were pruned under the disk budget"):
        incident(config, at_ns=span.first_ns, around_ns=SECOND_NS, show=lambda *_: None)
    said = {one.name: one.said for one in doctor.history(config, time.time_ns())}
    for words_of in (said["journal"], jobs.kept(found["journal"])["words"]):
        assert "only records about money are kept" in words_of
    return found


@pytest.mark.long
def test_a_home_beyond_its_budget_starts_as_before_and_says_what_is_gone(
    past: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    third = journal_span(past.journal_path).last_seq // 3
    snapshots(past, (third, third + 20, third + 40))
    archive = partial(archive_records, tail=10, size=20)
    monkeypatch.setattr("storage.retention.archive_records", archive)
    _thin_to_budget(past.model_copy(update={"disk_budget": 200_000}))


@pytest.mark.soak
def test_a_home_of_more_than_200_mb_is_kept_within_200_mb(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An engine trades 60 windows from a recording; nothing is made smaller for the test."""
    tape = write_recording(tmp_path / "day.jsonl", markets=60, frames=2_300, step_s=290 / 2_300)
    config = Config(home=tmp_path / "home")
    config.home.mkdir()
    programs = Programs(config.home, free_port())
    try:
        played = programs.start("run", "--feed", f"tape:{tape}", "--speed", "max", *PARAMETERS)
        assert played.wait(20 * LONG_S) == 0
    finally:
        programs.end()
    before = sum(size_of(path) for path in config.history.values())
    assert before > 200_000_000
    found = _thin_to_budget(config.model_copy(update={"disk_budget": 200_000_000}))
    with capsys.disabled():
        for one in found.values():
            print(
                f"\n{one.kind}: {said_bytes(one.bytes)} of {said_bytes(one.bytes_max)}", one.words
            )
    assert sum(one.bytes for one in found.values()) < 200_000_000
