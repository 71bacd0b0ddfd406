"""Long jobs: queued by the engine, claimed and reported by the worker, never lost, never doubled.

queued → running → done | failed | cancelled. Every claim is an attempt with a number of its own:
what an earlier attempt still reports is not taken. A job whose worker died is offered again,
and failed with a sentence when that did not help.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum
from sqlite3 import Connection

import msgspec

from engine.domain.effects import caution
from engine.errors import BadInput
from storage.alerts import raise_alert
from storage.database import Table, insert, keep_only, note, transaction, update
from storage.views import ROWS_MAX, PageKey, Row, page, query

ATTEMPTS_MAX = 3
"""A job that took its worker with it that often would do so again."""

QUEUED_MAX = 100
UNATTENDED = frozenset({"schedule", "worker"})
"""Who asks for jobs whose result no person waits for: their failure raises an alert."""

WAIT_NS_MAX = 6 * 3_600 * 1_000_000_000
"""How long a job of the schedule may wait for the worker before an alert is raised."""

NOTE_LENGTH_MAX = 500
ERROR_LENGTH_MAX = 2_000


class JobState(StrEnum):
    """Where a job stands."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


QUEUED = "queued as job "
"""What the answer of a command begins with that made a job; its number follows."""

JOB_ENDS = frozenset({JobState.DONE, JobState.FAILED, JobState.CANCELLED})


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A job as it stands. `arguments` and `result` are JSON objects; times in ns UTC."""

    id: int
    kind: str
    arguments: str
    who: str
    state: JobState
    attempts: int
    cancel_by: str
    result: str
    error: str


class JobProgress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a job is: `done` of `total` units; total 0 = unknown."""

    done: int = 0
    total: int = 0
    unit: str = ""
    note: str = ""


_JOBS = Table(Job, "jobs")


def queue(
    connection: Connection,
    *,
    engine_id: str,
    kind: str,
    arguments: str,
    who: str,
    now_ns: int,
    command: str = "",
) -> int:
    """Add a job; give its number. The same `command` never makes a second one.

    Nor does the schedule while its last one waits. Raises BadInput where too many wait already.
    """
    with transaction(connection):
        known = _made_by(connection, engine_id, command)
        if known is not None:
            return known
        same = connection.execute(
            "SELECT id, created_ns FROM jobs WHERE engine_id = ? AND state = ? AND kind = ? "
            "AND arguments = ? AND who = ? ORDER BY id LIMIT 1",
            (engine_id, JobState.QUEUED, kind, arguments, who),
        ).fetchone()
        if same and who in UNATTENDED:
            if now_ns - same[1] >= WAIT_NS_MAX:
                text = f"{kind} has waited for hours: is the worker running, or held up by a job?"
                _tell(connection, engine_id, text, now_ns)
            return int(same[0])
        _refuse_when_full(connection, engine_id)
        made = insert(
            connection,
            "jobs",
            ends=" RETURNING id",
            engine_id=engine_id,
            kind=kind,
            arguments=arguments,
            who=who,
            command=command,
            state=JobState.QUEUED,
            attempts=0,
            done=0,
            total=0,
            unit="",
            note="",
            created_ns=now_ns,
            cancel_by="",
            result="",
            error="",
        ).fetchone()
    return int(made[0])


def _made_by(connection: Connection, engine_id: str, command: str) -> int | None:
    """Return the job that a command has made; None = none, or it was no command."""
    query = "SELECT id FROM jobs WHERE engine_id = ? AND command = ?"
    known = connection.execute(query, (engine_id, command)).fetchone() if command else None
    return None if known is None else int(known[0])


def _refuse_when_full(connection: Connection, engine_id: str) -> None:
    query = "SELECT count(*) FROM jobs WHERE engine_id = ? AND state = ?"
    waiting = connection.execute(query, (engine_id, JobState.QUEUED)).fetchone()[0]
    if waiting >= QUEUED_MAX:
        raise BadInput(
            f"{waiting} jobs wait already; is the worker running? Cancel some of them first"
        )


def _tell(connection: Connection, engine_id: str, text: str, now_ns: int) -> None:
    raise_alert(connection, engine_id, caution("job", text), None, now_ns)


def number_in(answer: str) -> int | None:
    """Return which job the answer of a command says it made; None = it made none."""
    number = answer.removeprefix(QUEUED)
    return int(number) if number != answer and number.isdigit() else None


def find(connection: Connection, engine_id: str, job: int) -> Job | None:
    """Return a job, None where there is none of this number."""
    return _JOBS.one(connection, "engine_id = ? AND id = ?", (engine_id, job))


def claim(
    connection: Connection,
    engine_id: str,
    now_ns: int,
    *,
    kinds: Collection[str] = (),
    among: bool = False,
) -> Job | None:
    """Take the oldest waiting job, None where nothing waits. A second claim gets another one.

    `among` = only one of these kinds, otherwise only one of the other kinds.
    """
    if not _anything_waits(connection, engine_id):
        return None
    with transaction(connection):
        row = connection.execute(
            "UPDATE jobs SET state = ?, attempts = attempts + 1, started_ns = ?, heard_ns = ?, "  # noqa: S608 our names
            "done = 0, total = 0, unit = '' WHERE id = (SELECT id FROM jobs "
            "WHERE engine_id = ? AND state = ? AND (kind IN (SELECT value FROM json_each(?))) = ? "
            f"ORDER BY id LIMIT 1) RETURNING {_JOBS.columns}",
            (
                JobState.RUNNING,
                now_ns,
                now_ns,
                engine_id,
                JobState.QUEUED,
                msgspec.json.encode(sorted(kinds)).decode(),
                among,
            ),
        ).fetchone()
    return _JOBS.read(row) if row else None


def _anything_waits(connection: Connection, engine_id: str) -> bool:
    """Look without taking the write lock: most looks find nothing."""
    found = connection.execute(
        "SELECT 1 FROM jobs WHERE engine_id = ? AND state = ? LIMIT 1", (engine_id, JobState.QUEUED)
    )
    return found.fetchone() is not None


def report_progress(
    connection: Connection, engine_id: str, job: Job, progress: JobProgress, now_ns: int
) -> bool:
    """Report progress. False = this attempt is not the one that counts, or has ended: stop."""
    cells = msgspec.structs.asdict(progress) | {"note": progress.note[:NOTE_LENGTH_MAX]}
    with transaction(connection):
        return update(connection, "jobs", _attempt(engine_id, job), **cells, heard_ns=now_ns) == 1


def wants_cancel(connection: Connection, engine_id: str, job: Job) -> str:
    """Return who wants a running job to end, '' = none does."""
    row = connection.execute(
        "SELECT cancel_by FROM jobs WHERE engine_id = ? AND id = ?", (engine_id, job.id)
    ).fetchone()
    return str(row[0]) if row else ""


def finish(
    connection: Connection,
    engine_id: str,
    job: Job,
    *,
    state: JobState,
    now_ns: int,
    result: str = "",
    error: str = "",
) -> bool:
    """End this attempt. False = it had ended already, or another attempt counts: nothing changed.

    A job that is done has done all of it.
    """
    with transaction(connection):
        moved = update(
            connection,
            "jobs",
            _attempt(engine_id, job),
            state=state,
            finished_ns=now_ns,
            heard_ns=now_ns,
            result=result,
            error=error[:ERROR_LENGTH_MAX],
        )
        if moved and state is JobState.DONE:
            connection.execute("UPDATE jobs SET done = total WHERE id = ?", (job.id,))
        if moved and state is JobState.FAILED and job.who in UNATTENDED:
            _tell(connection, engine_id, f"{job.kind} of the {job.who} failed: {error}", now_ns)
    return moved == 1


def _attempt(engine_id: str, job: Job) -> dict[str, object]:
    running = JobState.RUNNING
    return {"engine_id": engine_id, "id": job.id, "attempts": job.attempts, "state": running}


def cancel(connection: Connection, *, engine_id: str, job: int, who: str, now_ns: int) -> str:
    """End a waiting job at once, ask a running one to end; give what was done in a sentence.

    Raises BadInput where there is no such job or it has ended.
    """
    with transaction(connection):
        found = find(connection, engine_id, job)
        if found is None:
            raise BadInput(f"there is no job {job}")
        if found.state in JOB_ENDS:
            raise BadInput(f"job {job} has ended already: it is {found.state}")
        waits = found.state is JobState.QUEUED
        update(connection, "jobs", {"id": job}, cancel_by=who)
        if waits:
            update(
                connection,
                "jobs",
                {"id": job},
                state=JobState.CANCELLED,
                finished_ns=now_ns,
                error=f"cancelled by {who} before it began",
            )
        note(
            connection,
            engine_id,
            now_ns,
            who,
            "job cancel",
            job=job,
            kind=found.kind,
            was=found.state,
        )
    return f"job {job} is cancelled" if waits else f"job {job} was asked to end"


def forget_ended(connection: Connection, engine_id: str, before_ns: int) -> int:
    """Delete jobs that ended before a time; give how many. The runs they made stay."""
    marks = ", ".join("?" * len(JOB_ENDS))
    with transaction(connection):
        gone = connection.execute(
            f"DELETE FROM jobs WHERE engine_id = ? AND state IN ({marks}) AND finished_ns < ?",  # noqa: S608 our own marks
            (engine_id, *sorted(JOB_ENDS), before_ns),
        )
    return gone.rowcount


def recover(
    connection: Connection, engine_id: str, now_ns: int, *, job: int | None = None
) -> list[tuple[int, str]]:
    """Settle what ran when the worker ended; give (job, what became of it).

    Call it when a worker starts and nothing of the former one can be alive any more; with a `job`,
    when what ran that one has ended.
    """
    recovered: list[tuple[int, str]] = []
    with transaction(connection):
        ran = (engine_id, JobState.RUNNING, job)
        which = "engine_id = ?1 AND state = ?2 AND (?3 IS NULL OR id = ?3) ORDER BY id"
        for one in _JOBS.all(connection, which, ran):
            state, text = _after_crash(one)
            ended = state in JOB_ENDS
            update(
                connection,
                "jobs",
                {"id": one.id},
                state=state,
                note=text,
                error=text if ended else "",
                finished_ns=now_ns if ended else None,
            )
            if state is JobState.FAILED and one.who in UNATTENDED:
                _tell(connection, engine_id, f"{one.kind} of the {one.who} failed: {text}", now_ns)
            recovered.append((one.id, text))
    return recovered


def _after_crash(job: Job) -> tuple[JobState, str]:
    if job.cancel_by:
        return JobState.CANCELLED, f"cancelled by {job.cancel_by}; the worker ended meanwhile"
    if job.attempts < ATTEMPTS_MAX:
        text = f"the worker ended during attempt {job.attempts}: it is offered again"
        return JobState.QUEUED, text
    text = f"the worker ended during each of {job.attempts} attempts; look into worker.log"
    return JobState.FAILED, text


# -- the schedule: what the engine posts when, and when it did so last -----------------------------


class ScheduleSeen(msgspec.Struct, frozen=True, kw_only=True):
    """One entry. `next_ns` None = it is off, or never due; `problem` = why it cannot be."""

    name: str
    cron: str
    what: str
    next_ns: int | None
    problem: str = ""
    zone: str = "UTC"
    """Of the times in `cron`."""


_SCHEDULE = Table(ScheduleSeen, "schedule")


def put_schedule(
    connection: Connection, engine_id: str, entries: tuple[ScheduleSeen, ...], now_ns: int
) -> None:
    """Write all entries inside the caller's transaction; those not among them are gone."""
    keep_only(connection, "schedule", engine_id, "name", [entry.name for entry in entries])
    moves = _SCHEDULE.moving(["name"], "updated_ns")
    _SCHEDULE.put(connection, engine_id, entries, "INSERT", moves, updated_ns=now_ns)


def note_posted(connection: Connection, engine_id: str, name: str, at_ns: int) -> None:
    """Note inside the caller's transaction when an entry was posted."""
    update(connection, "schedule", {"engine_id": engine_id, "name": name}, last_ns=at_ns)


def last_posted(connection: Connection, engine_id: str) -> dict[str, int]:
    """Return when each entry was posted last; for one that never was, when it was first written.

    An entry that is new has missed nothing.
    """
    rows = connection.execute(
        "SELECT name, coalesce(last_ns, updated_ns) FROM schedule WHERE engine_id = ?", (engine_id,)
    )
    return {name: int(at_ns) for name, at_ns in rows}


def ever_posted(connection: Connection, engine_id: str) -> frozenset[str]:
    """Return the names of the entries that were posted once or more."""
    rows = connection.execute(
        "SELECT name FROM schedule WHERE engine_id = ? AND last_ns IS NOT NULL", (engine_id,)
    )
    return frozenset(str(name) for (name,) in rows)


def schedule(connection: Connection, engine_id: str) -> list[Row]:
    """Return the schedule as the engine reported it last, what is due first first."""
    return query(
        connection,
        "SELECT * FROM schedule WHERE engine_id = ? ORDER BY next_ns IS NULL, next_ns, name",
        (engine_id,),
    )


class LatestJob(msgspec.Struct, frozen=True, kw_only=True):
    """The newest job of a kind with the same arguments."""

    id: int
    kind: str
    arguments: str
    state: JobState
    started_ns: int | None
    finished_ns: int | None
    result: str
    error: str


_LATEST = Table(LatestJob, "jobs")


def latest_jobs(connection: Connection, engine_id: str) -> dict[tuple[str, str], LatestJob]:
    """Return the newest job of each kind and arguments, whoever asked for it."""
    found = _LATEST.all(
        connection,
        "id IN (SELECT max(id) FROM jobs WHERE engine_id = ? GROUP BY kind, arguments)",
        (engine_id,),
    )
    return {(one.kind, one.arguments): one for one in found}


# -- recordings made by the engine; the frames are in files ----------------------------------------
# recording → stopped | failed. One that was recording when the engine ended goes on at its next
# start, with a gap.


class RecordingState(StrEnum):
    """Where a recording stands."""

    RECORDING = "recording"
    STOPPED = "stopped"
    FAILED = "failed"
    """It ended because it could not go on; what it holds is whole up to there."""


class RecordingSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A recording that goes on, as the next start of the engine finds it."""

    name: str
    instruments: tuple[str, ...]
    who: str
    started_ns: int
    events: int
    gaps: int
    first_ns: int | None
    last_ns: int | None


_RECORDINGS = Table(RecordingSeen, "recordings")


class RecordingFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What a recording holds now. `bytes` on the disk; times in ns UTC, None = nothing yet."""

    events: int
    bytes: int
    gaps: int
    first_ns: int | None
    last_ns: int | None


def begin_recording(
    connection: Connection,
    *,
    engine_id: str,
    name: str,
    instruments: tuple[str, ...],
    who: str,
    now_ns: int,
) -> None:
    """Note a new recording. Raises BadInput where the name is taken."""
    with transaction(connection):
        taken = connection.execute(
            "SELECT 1 FROM recordings WHERE engine_id = ? AND name = ?", (engine_id, name)
        ).fetchone()
        if taken:
            raise BadInput(f"there is a recording {name!r} already; choose another name")
        insert(
            connection,
            "recordings",
            engine_id=engine_id,
            name=name,
            state=RecordingState.RECORDING,
            instruments=msgspec.json.encode(instruments).decode(),
            who=who,
            started_ns=now_ns,
            reason="",
            events=0,
            bytes=0,
            gaps=0,
            updated_ns=now_ns,
        )


def note_figures(
    connection: Connection, engine_id: str, name: str, figures: RecordingFigures, now_ns: int
) -> None:
    """Write what a recording holds, inside the caller's transaction."""
    which = {"engine_id": engine_id, "name": name}
    update(connection, "recordings", which, **msgspec.structs.asdict(figures), updated_ns=now_ns)


def end_recording(
    connection: Connection,
    engine_id: str,
    name: str,
    *,
    state: RecordingState,
    reason: str,
    now_ns: int,
) -> None:
    """Note inside the caller's transaction that a recording has ended, and why."""
    which = {"engine_id": engine_id, "name": name, "state": RecordingState.RECORDING}
    times = {"ended_ns": now_ns, "updated_ns": now_ns}
    update(connection, "recordings", which, state=state, reason=reason, **times)


def unended(connection: Connection, engine_id: str) -> list[RecordingSeen]:
    goes_on = (engine_id, RecordingState.RECORDING)
    return _RECORDINGS.all(connection, "engine_id = ? AND state = ? ORDER BY name", goes_on)


RECORDING_KEY = ("started_ns", "name")
"""What recordings are sorted by, downwards."""


def recordings(connection: Connection, engine_id: str, before: PageKey | None = None) -> list[Row]:
    """Return recordings, newest first, at most `ROWS_MAX`."""
    return page(connection, engine_id, "recordings t", key=RECORDING_KEY, before=before)


def recordable(connection: Connection, engine_id: str, now_ns: int) -> list[str]:
    """Return what can be recorded: series first, then the instruments that are open."""
    series = connection.execute(
        "SELECT DISTINCT series FROM instruments WHERE engine_id = ? AND series != '' "
        "AND coalesce(closes_ns, ?) >= ? ORDER BY series",
        (engine_id, now_ns, now_ns),
    ).fetchall()
    alone = connection.execute(
        "SELECT id FROM instruments WHERE engine_id = ? AND coalesce(closes_ns, ?) >= ? "
        "AND payout_yes_micro IS NULL ORDER BY series != '', id LIMIT ?",
        (engine_id, now_ns, now_ns, ROWS_MAX),
    ).fetchall()
    return [name for (name,) in (*series, *alone)]
