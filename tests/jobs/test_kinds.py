"""What the kinds of jobs do, called as the worker's child calls them."""

from __future__ import annotations

import os
import sqlite3
import time
from array import array
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from engine.config import Config
from engine.domain.instruments import InstrumentId
from engine.domain.jobs import (
    JOB_KINDS,
    BackupJob,
    CompactJob,
    ExportJob,
    ReplayJob,
    RetainJob,
    arguments_of,
)
from engine.errors import BadInput, JournalCorrupt, StorageError
from engine.jobs.kinds import TAPE_SEGMENTS_MIN
from engine.jobs.run import Cancelled, JobContext, works
from storage import views
from storage.backup import backups
from storage.database import connect_writer, reading
from storage.jobs import Job, JobState, claim, queue
from storage.journal import take_lease
from storage.retention import due, survey
from storage.schema import migrate
from storage.tick_log import MAGIC, NONE, pack
from storage.ticks import candles, ticks
from storage.users import ENGINE_ID
from tests.storage.kept import differing

DAY_S = 86_400


@pytest.fixture
def config(tmp_path: Path) -> Config:
    made = Config(home=tmp_path)
    migrate(made.state_path)
    return made


def context(config: Config, kind: str = "backup") -> JobContext:
    """Return the context of a job that has just been claimed."""
    with closing(connect_writer(config.state_path)) as connection:
        queue(
            connection, engine_id=ENGINE_ID, kind=kind, arguments="{}", who="ann",
            now_ns=time.time_ns(),
        )  # fmt: skip
        job = claim(connection, ENGINE_ID, time.time_ns())
    assert job is not None
    return JobContext(config, job)


def aged(path: Path, days: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    then = time.time() - days * DAY_S
    os.utime(path, (then, then))
    return path


def test_every_kind_has_arguments_and_a_function() -> None:
    assert set(works()) == set(JOB_KINDS)


@pytest.mark.parametrize(
    ("kind", "text", "sentence"),
    [
        ("brew", "{}", "known: backup, canary, compact"),
        ("backup", '{"keep": 0}', "keep: "),
        ("backup", '{"keeep": 1}', "keeep: "),
        ("backup", "[]", "job backup: "),
        ("replay", "{}", "path: "),
    ],
)
def test_wrong_arguments_are_refused_by_name(kind: str, text: str, sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        arguments_of(kind, text)


def test_a_replay_stored_by_an_attempt_that_died_is_not_run_again(
    config: Config, tape: Path
) -> None:
    """The attempt ended between storing the run and saying so."""
    first = context(config, "replay")
    job = ReplayJob(path=str(tape), decisions=False, journal=False)
    run = works()["replay"](job, first)["run"]
    again = works()["replay"](job, first)
    assert again["run"] == run
    assert "earlier attempt" in again["note"]
    with closing(sqlite3.connect(config.state_path)) as connection:
        assert connection.execute("SELECT count(*) FROM runs").fetchone() == (1,)


def test_a_recording_is_found_by_its_name(config: Config, tape: Path) -> None:
    config.recordings_folder.mkdir()
    (config.recordings_folder / "day.jsonl").symlink_to(tape)
    job = ReplayJob(path="day.jsonl", decisions=False, journal=False)
    assert works()["replay"](job, context(config))["events"] > 0
    with pytest.raises(BadInput, match="no recording 'night'"):
        works()["replay"](ReplayJob(path="night"), context(config))


def test_a_replay_of_a_torn_recording_fails_and_keeps_what_was_played(
    config: Config, tape: Path
) -> None:
    torn = config.home / "torn.jsonl"
    torn.write_bytes(tape.read_bytes()[:-40])
    with pytest.raises(BadInput, match=r"truncated; what was played before it is run 1$"):
        works()["replay"](ReplayJob(path=str(torn)), context(config))
    [folder] = (config.home / "runs").iterdir()
    with reading(config.state_path) as connection:
        row = views.run(connection, "replay", 1)
    assert row is not None
    assert str(row["started_ns"]) == folder.name
    assert (row["status"], row["frames"]) == ("failed", 599)


def test_a_replay_that_is_cancelled_leaves_no_folder(
    config: Config, tape: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cancelled(*_: object) -> None:
        raise Cancelled

    monkeypatch.setattr("engine.lab.replay.run.BLOCK_EVENTS", 10)
    monkeypatch.setattr(JobContext, "progress", cancelled)
    with pytest.raises(Cancelled):
        works()["replay"](ReplayJob(path=str(tape)), context(config))
    assert list((config.home / "runs").iterdir()) == []


def test_backups_are_made_and_the_oldest_go(config: Config) -> None:
    for name in ("2026-01-01T00-00-00Z", "2026-01-02T00-00-00Z"):
        (config.home / "backups" / name).mkdir(parents=True)
    result = works()["backup"](BackupJob(keep=2), context(config))
    assert result["deleted"] == ["2026-01-01T00-00-00Z"]
    assert next(path.name for path in backups(config.home / "backups")) == "2026-01-02T00-00-00Z"


def test_a_backup_says_that_the_vault_is_not_in_it_and_takes_it_where_that_is_asked(
    config: Config,
) -> None:
    folder = config.home / "backups"
    assert "no vault.json" in works()["backup"](BackupJob(), context(config))["vault"]
    config.vault_path.write_bytes(b'{"encrypted": 1}')
    for path in folder.iterdir():
        path.rename(folder / "2026-01-01T00-00-00Z")
    result = works()["backup"](BackupJob(), context(config))
    assert "vault.json is not in it" in result["vault"]
    assert "vault=true" in result["vault"]
    [_, without] = backups(folder)
    assert not (without / "vault.json").exists()
    without.rename(folder / "2026-01-02T00-00-00Z")
    result = works()["backup"](BackupJob(vault=True), context(config))
    copy = backups(folder)[-1] / "vault.json"
    assert "vault.json is in it, encrypted" in result["vault"]
    assert copy.read_bytes() == b'{"encrypted": 1}'
    assert copy.stat().st_mode & 0o777 == 0o600
    assert differing(copy.parent) == []


def test_compacting_prunes_what_is_old_and_nothing_else(config: Config) -> None:
    home = config.home
    old_decisions = aged(home / "decisions.000001.db", 40)
    new_decisions = aged(home / "decisions.000002.db", 5)
    tape = [aged(config.tape_folder / f"{n:020d}.tape", 10) for n in range(1, 5)]
    lost_run = aged(home / "runs" / "123" / "journal.db", 3).parent
    os.utime(lost_run, (time.time() - 3 * DAY_S,) * 2)
    fresh_run = aged(home / "runs" / "456" / "journal.db", 0).parent
    result = works()["compact"](CompactJob(), context(config))
    assert (result["decision_files"], result["tape_segments"], result["run_folders"]) == (1, 2, 1)
    assert not old_decisions.exists()
    assert new_decisions.exists()
    assert [path for path in tape if path.exists()] == tape[-TAPE_SEGMENTS_MIN:]
    assert not lost_run.exists()
    assert fresh_run.exists()


def sized(path: Path, megabytes: int, days: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    os.truncate(path, megabytes * 1_000_000)  # nothing of it takes room on the disk
    return aged(path, days)


def test_what_is_beyond_its_part_of_the_budget_goes_oldest_first_and_that_is_said(
    config: Config,
) -> None:
    config = config.model_copy(update={"disk_budget": 100_000_000})
    now_ns = time.time_ns()
    assert due(config.history, config.share, now_ns) == ""
    tape = [sized(config.tape_folder / f"{n:020d}.tape", 7, 5 - n) for n in range(1, 5)]
    files = [sized(config.home / f"decisions.{n:06d}.db", 12, 5 - n) for n in range(1, 4)]
    runs = [sized(config.runs_folder / f"{n}" / "journal.db", 4, 5 - n) for n in range(1, 4)]
    made = [
        sized(config.backups_folder / f"2026-01-0{n}T00-00-00Z" / "pitboss.db", 20, 9)
        for n in range(1, 4)
    ]
    for path in (*made, *runs):
        aged(path.parent / "manifest.json", 9)
        os.utime(path.parent, (time.time() - 9 * DAY_S,) * 2)
    wanted = due(config.history, config.share, now_ns)
    for kind in ("tape", "runs", "backups"):
        assert kind in wanted
    result = works()["retain"](RetainJob(), context(config, "retain"))
    assert [path.exists() for path in tape] == [False, False, True, True]
    assert [path.exists() for path in files] == [False, False, True]
    assert [path.exists() for path in runs] == [False, False, True]
    assert [path.exists() for path in made] == [False, False, True]
    assert result["told"] == "2 backups gone, 2 runs gone, 2 tape gone, 2 decisions gone"
    assert due(config.history, config.share, now_ns) == ""
    again = works()["retain"](RetainJob(), context(config, "retain"))
    assert again["told"] == "everything fits: nothing was pruned"


def alerts_of(config: Config) -> list[str]:
    with reading(config.state_path) as connection:
        return [alert["text"] for alert in views.alerts(connection, ENGINE_ID)]


@pytest.mark.parametrize("damage", [b"garbage" * 999, None], ids=["garbled", "a folder"])
def test_a_damaged_backup_is_set_aside_and_named_and_every_kind_is_kept_all_the_same(
    config: Config, damage: bytes | None
) -> None:
    config = config.model_copy(update={"disk_budget": 100_000_000})
    take_lease(config.journal_path, ENGINE_ID)
    works()["backup"](BackupJob(), context(config))
    (backup,) = backups(config.backups_folder)
    (backup / config.state_path.name).unlink()
    if damage is None:
        (backup / config.state_path.name).mkdir()
    else:
        (backup / config.state_path.name).write_bytes(damage)
    tape = [sized(config.tape_folder / f"{n:020d}.tape", 7, 5 - n) for n in range(1, 5)]
    result = works()["retain"](RetainJob(), context(config, "retain"))
    assert result["tape_gone"] == 2
    assert [path.exists() for path in tape] == [False, False, True, True]
    (text,) = alerts_of(config)
    assert "a backup is damaged and is set aside" in text
    assert (config.backups_folder / "aside" / backup.name).is_dir()
    assert backups(config.backups_folder) == []


def test_one_kind_that_cannot_be_kept_holds_up_no_other_and_is_named_at_the_end(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config.model_copy(update={"disk_budget": 100_000_000})
    tape = [sized(config.tape_folder / f"{n:020d}.tape", 7, 5 - n) for n in range(1, 5)]

    def refused(*_: object, **__: object) -> None:
        raise JournalCorrupt("record 7 does not match its checksum")

    take_lease(config.journal_path, ENGINE_ID)
    monkeypatch.setattr("storage.retention.archive_records", refused)
    with pytest.raises(StorageError, match="the journal: record 7 does not match"):
        works()["retain"](RetainJob(), context(config, "retain"))
    assert [path.exists() for path in tape] == [False, False, True, True]
    assert "record 7 does not match" in alerts_of(config)[0]


def test_a_backup_is_made_without_damaged_decisions_and_says_so(config: Config) -> None:
    config.decisions_path.write_bytes(b"garbage" * 999)
    take_lease(config.journal_path, ENGINE_ID)
    result = works()["backup"](BackupJob(), context(config))
    assert "decisions.db" in result["left_out"]
    assert set(result["files"]) == {"pitboss.db", "journal.db"}
    assert "without what could not be copied" in alerts_of(config)[0]
    (kept,) = backups(config.backups_folder)
    assert differing(kept) == []


@pytest.mark.parametrize("name", ["backups", "exports"])
def test_a_file_in_the_place_of_a_folder_is_set_aside(config: Config, name: str) -> None:
    (config.home / name).write_text("in the way")
    if name == "backups":
        works()["backup"](BackupJob(), context(config))
    else:
        arguments = arguments_of("export", '{"what": "orders", "mode": "paper"}')
        works()["export"](arguments, context(config, "export"))
    assert (config.home / name).is_dir()
    assert (config.home / "aside" / name).read_text() == "in the way"


def test_ticks_go_into_files_a_torn_log_is_told_and_only_raw_ticks_grow_old(
    config: Config,
) -> None:
    now_ns, old_ns = time.time_ns(), time.time_ns() - 91 * DAY_S * 10**9
    for number, at_ns in enumerate((old_ns, now_ns, now_ns + 1), 1):
        tick = array("q", [at_ns, 4_000, 4_100, NONE, NONE])
        log = config.ticks_folder / "log" / f"{number:015d}.ticks"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_bytes(MAGIC + pack({InstrumentId("demo:a"): tick}) + b"half"[: number == 2])
    result = works()["retain"](RetainJob(), context(config, "retain"))
    assert result["told"] == "2 ticks moved, 1 ticks gone, 1 tick files set aside"
    with reading(config.state_path) as connection:
        (alert,) = views.alerts(connection, ENGINE_ID)
    assert "1 bytes at its end are no whole record" in alert["text"]
    kept = ticks(config.home, "demo:a", 0, 1 << 62)
    assert [one.at_ns for one in kept] == [now_ns, now_ns + 1]
    days = candles(config.home, "demo:a", "1d", old_ns - DAY_S * 10**9, now_ns + 2)
    assert [one.close2 for one in days] == [8_100, 8_100]
    (found,) = (one for one in survey(config.history, config.share, now_ns) if one.kind == "ticks")
    assert found.words == "older days: candles are kept"


def test_a_long_log_of_ticks_wants_the_job(config: Config) -> None:
    for number in range(2):
        sized(config.ticks_folder / "log" / f"{number:015d}.ticks", 2, 0)
    wanted = due(config.history, config.share, time.time_ns())
    assert wanted == "2,000,000 bytes of ticks wait for their files"


def test_an_export_of_no_day_is_refused(config: Config) -> None:
    wrong: Any = {"since": "2026-03-02", "until": "2026-03-01"}
    with pytest.raises(BadInput, match="covers no day"):
        works()["export"](ExportJob(**wrong), context(config))


def test_an_export_names_its_file(config: Config) -> None:
    result = works()["export"](ExportJob(), context(config))
    assert Path(result["file"]).read_text().startswith("engine_id,account,id,mode")
    assert result["rows"] == 0


def test_progress_of_an_attempt_that_does_not_count_ends_it(config: Config) -> None:
    stale = context(config)
    job = Job(**{**{f: getattr(stale.job, f) for f in stale.job.__struct_fields__}, "attempts": 9})
    assert job.state is JobState.RUNNING
    with pytest.raises(Cancelled):
        JobContext(config, job).progress(1, 2, "rows")
