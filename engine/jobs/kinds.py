"""What each kind of job does, by name: the machinery stands elsewhere, this calls it with words."""

from __future__ import annotations

import contextlib
import datetime as dt
import re
import shutil
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path

from engine.domain.instruments import Mode
from engine.domain.jobs import BackupJob, CompactJob, ExportJob, IncidentJob, ReplayJob, RetainJob
from engine.domain.jobs.playback import PlaybackJob
from engine.errors import BadInput, PitbossError, StorageError, os_sentence
from engine.jobs.run import JobContext, job, works
from engine.lab.incident.moment import of_job
from engine.lab.incident.page import summary, write
from engine.lab.incident.run import incident
from engine.lab.recordings.door import Recording
from engine.lab.replay.document import options_of_document
from engine.lab.replay.sets import band_of, play_sets
from engine.lab.replay.setup import ReplayOptions, prepare
from engine.log import iso
from storage import decisions, retention, ticks, upkeep
from storage.backup import back_up, backups
from storage.database import connect_writer, storage_errors
from storage.export import export
from storage.files import folder_at, set_aside
from storage.jobs import forget_ended
from storage.journal import LAST_SEQ
from storage.tape_blocks import segments
from storage.users import ENGINE_ID

DAY_NS = 86_400 * 1_000_000_000
NEVER_NS = 1 << 62
RESTORED_ALONE_NS = 7 * DAY_NS
"""A younger backup of the state can be restored beside the journal of today."""

CHARTED_EVENTS_MAX = 50_000
"""A run of so many events at most is read again at once for its chart: a second or two."""
TAPE_SEGMENTS_MIN = 2
"""Segments of the tape that are never touched: the one being written, and the one before."""


@job(ReplayJob)
def replay(job: ReplayJob, context: JobContext) -> Mapping[str, object]:
    """Replay a recording; the run is stored as one asked for by hand is."""
    if known := context.stored():
        return known
    config = context.config
    if job.band:
        return _band(job, context)
    with prepare(_options(job, context), config) as prepared:
        stats = prepared.recording.stats

        def progress(events: int, elapsed_s: float) -> None:
            note = f"{events:,} events, {events / elapsed_s:,.0f}/s" if elapsed_s else ""
            context.progress(stats.bytes_read, stats.bytes_total, "bytes", note)

        summary = prepared.store(prepared.run(progress))
    _keep_prices(summary, context)
    return _facts(summary)


def _keep_prices(summary: Mapping[str, object], context: JobContext) -> None:
    """Keep what the markets of a short run did, for the chart of its page; a long one is asked for.

    A chart is an aid: where the prices cannot be read, the run stands and its page offers to.
    """
    if summary["orders"] and int(str(summary["events"])) <= CHARTED_EVENTS_MAX:
        with contextlib.suppress(BadInput, StorageError):
            works()["playback"](PlaybackJob(run=int(str(summary["run"]))), context)


def _band(job: ReplayJob, context: JobContext) -> Mapping[str, object]:
    """Replay it with every way to fill in one reading; the facts are those of the realistic one."""

    def progress(recording: Recording, events: int, elapsed_s: float) -> None:
        note = f"{events:,} events, {events / elapsed_s:,.0f}/s" if elapsed_s else ""
        stats = recording.stats
        context.progress(stats.bytes_read, stats.bytes_total, "bytes", note)

    sets = band_of(_options(job, context), context.now_ns())
    played = play_sets(list(sets.values()), context.config, processes=1, progress=progress)
    _keep_prices(played[-1], context)
    pnl = {f"pnl_{name}": one["pnl"] for name, one in zip(sets, played, strict=True)}
    return dict(_facts(played[-1])) | pnl


def _facts(summary: Mapping[str, object]) -> Mapping[str, object]:
    """Return what a job says of a stored run. Raises BadInput where the recording is torn."""
    if summary["torn"]:
        raise BadInput(f"{summary['torn']}; what was played before it is run {summary['run']}")
    names = (
        "run",
        "pnl",
        "currency",
        "fills",
        "orders",
        "fees",
        "digest",
        "events",
        "elapsed_s",
    )
    return {"mode": Mode.PAPER} | {name: summary[name] for name in names}


def _options(job: ReplayJob, context: JobContext) -> ReplayOptions:
    return options_of_document(job, context.recording, context.job.id)


@job(BackupJob)
def backup(job: BackupJob, context: JobContext) -> Mapping[str, object]:
    """Copy the databases: the state before the journal, which may know more than it."""
    config = context.config
    named = (config.state_path, config.decisions_path, config.journal_path)
    now = dt.datetime.fromtimestamp(context.now_ns() // 1_000_000_000, dt.UTC)
    folder, vault = config.backups_folder, config.vault_path
    folder_at(folder)
    manifest = back_up(
        {path.name: path for path in named if path.is_file()},
        folder,
        aids={config.decisions_path.name},
        name=f"{now:%Y-%m-%dT%H-%M-%SZ}",
        on_progress=lambda done, total, what: context.progress(done, total, "bytes", what),
        plain={vault.name: vault} if job.vault and vault.is_file() else {},
    )
    most = config.share("backups")
    gone = retention.keep_bytes(backups(folder), most, least=1, most=job.keep)
    if left_out := manifest.get("left_out"):
        context.alert("backup", f"a backup was made without what could not be copied: {left_out}")
    about = {"vault": _about_vault(vault, copied=job.vault)}
    names = [one.name for one in gone]
    return {**manifest, **about, "folder": str(folder), "deleted": names}


def _about_vault(vault: Path, *, copied: bool) -> str:
    """Say whether the keys are in a backup, and what a restored one needs."""
    if not vault.is_file():
        return f"there is no {vault.name}: nothing to copy"
    if copied:
        return f"{vault.name} is in it, encrypted: it opens with its passphrase, which is not"
    return f"{vault.name} is not in it: keep a copy elsewhere, or ask for a backup with vault=true"


@job(CompactJob)
def compact(job: CompactJob, context: JobContext) -> Mapping[str, object]:
    """Prune and look after the databases. The journal and what money did are never touched."""
    config, now_ns = context.config, context.now_ns()
    before = _bytes(config.home)
    pruned: dict[str, object] = {
        "decision_files": _prune(
            decisions.files(config.decisions_path)[:-1], now_ns - job.decisions_days * DAY_NS
        ),
        "tape_segments": _prune(
            segments(config.tape_folder)[:-TAPE_SEGMENTS_MIN], now_ns - job.tape_days * DAY_NS
        ),
        "run_folders": _run_folders(context, job.run_folders),
        "equity_rows": upkeep.thin_equity(
            config.state_path,
            now_ns - job.equity_days * DAY_NS,
            lambda done, total: context.progress(done, total, "hours of equity"),
        ),
    }
    with closing(connect_writer(config.state_path)) as c, storage_errors(config.state_path):
        pruned["jobs"] = forget_ended(c, ENGINE_ID, now_ns - job.jobs_days * DAY_NS)
    for path in (config.state_path, config.decisions_path):
        if path.is_file():
            context.progress(0, 0, "", f"maintaining {path.name}")
            pruned[path.name] = upkeep.look_after(path, vacuum=job.vacuum)
    return {**pruned, "bytes_freed": before - _bytes(config.home)}


def _prune(files: list[Path], before_ns: int) -> int:
    """Delete database files or segments last written before a time; give how many."""
    old = [path for path in files if path.stat().st_mtime_ns < before_ns]
    for path in old:
        for end in ("", "-wal", "-shm"):
            path.with_name(path.name + end).unlink(missing_ok=True)
    return len(old)


def _run_folders(context: JobContext, keep: int) -> int:
    """Delete the folders of all but the newest stored runs, and of runs without a row for a day."""
    config = context.config
    kept = {str(started) for started in upkeep.known_runs(config.state_path)[:keep]}
    known = {str(started) for started in upkeep.known_runs(config.state_path)}
    lost_ns = context.now_ns() - DAY_NS
    gone = 0
    for folder in retention.folders_of(config.runs_folder):
        lost = folder.name not in known and folder.stat().st_mtime_ns < lost_ns
        if lost or (folder.name in known and folder.name not in kept):
            shutil.rmtree(folder)
            gone += 1
    return gone


def _bytes(home: Path) -> int:
    return sum(path.stat().st_size for path in home.rglob("*") if path.is_file())


@job(RetainJob)
def retain(job: RetainJob, context: JobContext) -> Mapping[str, object]:
    """Keep every kind of history within its part of the disk budget, and say what went.

    Each kind is kept for itself: one that cannot be read is raised as an alert and holds up no
    other. Raises StorageError when all are done, naming those.
    """
    del job
    counts, refused = dict[str, int](), list[str]()
    for what, step in _STEPS:
        try:
            for name, count in step(context).items():
                counts[name] = counts.get(name, 0) + count
        except (PitbossError, sqlite3.Error, OSError, ValueError) as error:
            said = os_sentence(error) if isinstance(error, OSError) else str(error)
            refused.append(f"{what}: {said}")
    if refused:
        text = "the disk budget could not be kept everywhere: " + "; ".join(refused)
        context.alert("job", text)
        raise StorageError(text)
    words = ", ".join(f"{n:,} {name.replace('_', ' ')}" for name, n in counts.items() if n)
    return {"told": words or "everything fits: nothing was pruned", **counts}


def _keep_journal(context: JobContext) -> dict[str, int]:
    """Archive what is old, and thin the archive to its part of the budget."""
    config = context.config
    journal, state = config.journal_path, config.state_path
    if not (journal.is_file() and journal.stat().st_size):
        return {}
    context.progress(0, 0, "", "moving records into the journal's archive")
    archived = retention.archive_records(journal)
    thinned = retention.thin_journal(
        journal,
        state,
        ENGINE_ID,
        bytes_max=config.share("journal"),
        never_past=_read_by_backups(context),
    )
    return {
        "records_archived": archived,
        "records_gone": thinned.records,
        "orders_gone": thinned.orders,
    }


def _read_by_backups(context: JobContext) -> int:
    """Return the record up to which every young backup has read the journal.

    A backup that is damaged can never be restored: it is set aside, and an alert names it.
    """
    config, least = context.config, LAST_SEQ
    for backup in backups(config.backups_folder):
        state = backup / config.state_path.name
        if context.now_ns() - backup.stat().st_mtime_ns >= RESTORED_ALONE_NS or not state.exists():
            continue
        try:
            least = min(least, retention.projected(state, ENGINE_ID))
        except (StorageError, sqlite3.Error) as error:
            aside = set_aside(backup)
            text = f"a backup is damaged and is set aside as {aside}; make a new one: {error}"
            context.alert("backup", text)
    return least


def _keep_state(context: JobContext) -> dict[str, int]:
    config = context.config
    orders, markouts = retention.prune_state(
        config.state_path, ENGINE_ID, bytes_max=config.share("state")
    )
    return {"orders_gone": orders, "markouts_gone": markouts}


def _keep_files(context: JobContext, *, kind: str) -> dict[str, int]:
    """Delete the oldest files of a kind beyond its part of the budget."""
    config = context.config
    least = {"backups": 1, "runs": 0, "tape": TAPE_SEGMENTS_MIN, "decisions": 1}[kind]
    match kind:
        case "backups":
            paths = backups(config.backups_folder)
        case "runs":
            paths = retention.folders_of(config.runs_folder)
        case "tape":
            paths = segments(config.tape_folder)
        case _:
            paths = decisions.files(config.decisions_path)
    gone = retention.keep_bytes(paths, config.share(kind), least=least)
    return {f"{kind}_gone": len(gone)}


def _keep_ticks(context: JobContext) -> dict[str, int]:
    """Move ticks into their files, and let the oldest go; what was torn raises an alert."""
    config, now_ns = context.config, context.now_ns()
    context.progress(0, 0, "", "moving ticks into their files")
    moved = ticks.move(config.home)
    gone = ticks.forget(config.home, now_ns, config.share("ticks"))
    if moved.aside:
        context.alert("ticks", "set aside, what could be read was taken: " + "; ".join(moved.aside))
    return {
        "ticks_moved": moved.ticks,
        "ticks_gone": gone,
        "tick_files_set_aside": len(moved.aside),
    }


def _end_logs(context: JobContext) -> dict[str, int]:
    retention.truncate_logs((context.config.journal_path, context.config.state_path))
    return {}


_STEPS: tuple[tuple[str, Callable[[JobContext], Mapping[str, int]]], ...] = (
    ("the journal", _keep_journal),
    ("the state", _keep_state),
    *((kind, partial(_keep_files, kind=kind)) for kind in ("backups", "runs", "tape", "decisions")),
    ("ticks", _keep_ticks),
    ("logs", _end_logs),
)


@job(ExportJob)
def export_rows(job: ExportJob, context: JobContext) -> Mapping[str, object]:
    """Write rows of one mode and period to a file."""
    config, now_ns = context.config, context.now_ns()
    since = _day_ns(job.since) if job.since else 0
    until = _day_ns(job.until) + DAY_NS if job.until else NEVER_NS
    if since >= until:
        raise BadInput(f"an export from {job.since} until {job.until} covers no day")
    stamp = dt.datetime.fromtimestamp(now_ns // 1_000_000_000, dt.UTC)
    name = f"{job.what}-{job.mode}-{stamp:%Y-%m-%dT%H-%M-%SZ}-{context.job.id}.{job.format}"
    target = config.home / "exports" / name
    folder_at(target.parent)
    with storage_errors(config.state_path):
        rows = export(
            config.state_path,
            target,
            what=job.what,
            mode=job.mode,
            since_ns=since,
            until_ns=until,
            form=job.format,
            on_progress=lambda done, total: context.progress(done, total, "rows"),
        )
    return {"file": str(target), "rows": rows, "bytes": target.stat().st_size}


def _day_ns(day: dt.date) -> int:
    start = dt.datetime(day.year, day.month, day.day, tzinfo=dt.UTC)
    return int(start.timestamp()) * 1_000_000_000


# -- A moment lived again, its page kept for the dashboard -----------------------------------------

FOLDER = "incidents"
PAGES_MAX = 200
"""Pages that are kept; the oldest goes first. Each can be made again as long as the tape lasts."""


@job(IncidentJob)
def replay_incident(job: IncidentJob, context: JobContext) -> Mapping[str, object]:
    """Write the page of a moment; say whether it is the same again."""
    at_ns, around_ns = of_job(job)
    found = incident(
        context.config,
        at_ns=at_ns,
        around_ns=around_ns,
        account=job.account,
        show=lambda done, total: context.progress(done, total, "s of the past"),
    )
    folder = context.config.home / FOLDER
    stamp = re.sub(r"[^0-9TZ-]", "-", iso(at_ns))
    target = folder / f"incident-{stamp}-{context.job.id}.html"
    size = write(found, target)
    pages = sorted(folder.glob("incident-*.html"), key=lambda path: path.stat().st_mtime_ns)
    for old in pages[:-PAGES_MAX]:
        old.unlink(missing_ok=True)
    result = summary(found)
    return {
        "same": result["same"],
        "told": result["told"],
        "steps": result["steps"],
        "notes": result["notes"],
        "file": str(target),
        "bytes": size,
    }
