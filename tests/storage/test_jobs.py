"""The job table: taken once, reported by one attempt, offered again after a crash, never lost."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from engine.errors import BadInput
from storage.database import connect_writer
from storage.jobs import (
    ATTEMPTS_MAX,
    QUEUED_MAX,
    WAIT_NS_MAX,
    Job,
    JobProgress,
    JobState,
    cancel,
    claim,
    find,
    finish,
    forget_ended,
    queue,
    recover,
    report_progress,
    wants_cancel,
)
from storage.schema import migrate

ENGINE = "e1"


@pytest.fixture
def state(tmp_path: Path) -> sqlite3.Connection:
    migrate(tmp_path / "state.db")
    return connect_writer(tmp_path / "state.db")


def queued(state: sqlite3.Connection, kind: str = "backup", command: str = "") -> int:
    return queue(
        state, engine_id=ENGINE, kind=kind, arguments="{}", who="ann", now_ns=1, command=command
    )


def claimed(state: sqlite3.Connection) -> Job:
    job = claim(state, ENGINE, 2)
    assert job is not None
    return job


def job_of(state: sqlite3.Connection, number: int) -> Job:
    job = find(state, ENGINE, number)
    assert job is not None
    return job


def test_jobs_are_claimed_oldest_first_and_once(state: sqlite3.Connection) -> None:
    first, second = queued(state), queued(state)
    assert [claimed(state).id, claimed(state).id] == [first, second]
    assert claim(state, ENGINE, 3) is None


def test_the_same_command_makes_one_job(state: sqlite3.Connection) -> None:
    assert queued(state, command="c1") == queued(state, command="c1")
    assert queued(state, command="c2") != queued(state, command="c1")


def test_jobs_of_another_engine_are_not_claimed(state: sqlite3.Connection) -> None:
    queued(state)
    assert claim(state, "other", 2) is None


def test_too_many_waiting_jobs_are_refused(state: sqlite3.Connection) -> None:
    for _ in range(QUEUED_MAX):
        queued(state)
    with pytest.raises(BadInput, match="is the worker running"):
        queued(state)


def test_a_done_job_has_done_all_of_it(state: sqlite3.Connection) -> None:
    queued(state)
    job = claimed(state)
    progress = JobProgress(done=3, total=10, unit="rows", note="n")
    assert report_progress(state, ENGINE, job, progress, 5)
    assert finish(state, ENGINE, job, state=JobState.DONE, now_ns=6, result='{"a":1}')
    row = state.execute("SELECT done, total, unit, finished_ns, result FROM jobs").fetchone()
    assert row == (10, 10, "rows", 6, '{"a":1}')


def test_what_an_earlier_attempt_reports_is_not_taken(state: sqlite3.Connection) -> None:
    queued(state)
    dead = claimed(state)
    recover(state, ENGINE, 3)
    alive = claimed(state)
    assert not report_progress(state, ENGINE, dead, JobProgress(done=9), 4)
    assert not finish(state, ENGINE, dead, state=JobState.DONE, now_ns=4)
    assert finish(state, ENGINE, alive, state=JobState.DONE, now_ns=5)
    assert not finish(state, ENGINE, alive, state=JobState.FAILED, now_ns=6)
    assert job_of(state, alive.id).state is JobState.DONE


def test_a_crashed_job_is_offered_again_then_failed_with_a_sentence(
    state: sqlite3.Connection,
) -> None:
    number = queued(state)
    for attempt in range(1, ATTEMPTS_MAX + 1):
        assert claimed(state).attempts == attempt
        [(job_id, text)] = recover(state, ENGINE, 3)
        assert job_id == number
    job = job_of(state, number)
    assert job.state is JobState.FAILED
    assert job.error == text
    assert f"{ATTEMPTS_MAX} attempts" in text
    assert recover(state, ENGINE, 4) == []


def test_a_waiting_job_is_cancelled_at_once_and_audited(state: sqlite3.Connection) -> None:
    number = queued(state)
    assert "is cancelled" in cancel(state, engine_id=ENGINE, job=number, who="bob", now_ns=2)
    assert job_of(state, number).state is JobState.CANCELLED
    assert claim(state, ENGINE, 3) is None
    assert state.execute("SELECT who, what FROM audit").fetchall() == [("bob", "job cancel")]


def test_a_running_job_is_asked_to_end(state: sqlite3.Connection) -> None:
    number = queued(state)
    job = claimed(state)
    assert "asked to end" in cancel(state, engine_id=ENGINE, job=number, who="bob", now_ns=2)
    assert wants_cancel(state, ENGINE, job) == "bob"
    assert job_of(state, number).state is JobState.RUNNING


def test_a_cancelled_job_whose_worker_died_is_not_offered_again(state: sqlite3.Connection) -> None:
    number = queued(state)
    claimed(state)
    cancel(state, engine_id=ENGINE, job=number, who="bob", now_ns=2)
    recover(state, ENGINE, 3)
    assert job_of(state, number).state is JobState.CANCELLED


def test_what_has_ended_or_never_was_cannot_be_cancelled(state: sqlite3.Connection) -> None:
    number = queued(state)
    finish(state, ENGINE, claimed(state), state=JobState.DONE, now_ns=2)
    with pytest.raises(BadInput, match="it is done"):
        cancel(state, engine_id=ENGINE, job=number, who="bob", now_ns=3)
    with pytest.raises(BadInput, match="there is no job 99"):
        cancel(state, engine_id=ENGINE, job=99, who="bob", now_ns=3)


def test_only_jobs_that_ended_long_ago_are_forgotten(state: sqlite3.Connection) -> None:
    old, new, waiting = queued(state), queued(state), queued(state)
    for now_ns in (10, 20):
        finish(state, ENGINE, claimed(state), state=JobState.DONE, now_ns=now_ns)
    assert forget_ended(state, ENGINE, 20) == 1
    assert find(state, ENGINE, old) is None
    assert {job_of(state, new).state, job_of(state, waiting).state} == {
        JobState.DONE,
        JobState.QUEUED,
    }


def told(state: sqlite3.Connection) -> list[str]:
    return [text for (text,) in state.execute("SELECT text FROM alerts WHERE kind = 'job'")]


def nightly(state: sqlite3.Connection, now_ns: int) -> int:
    return queue(
        state, engine_id=ENGINE, kind="backup", arguments="{}", who="schedule", now_ns=now_ns
    )


def test_a_job_of_the_schedule_that_fails_is_told(state: sqlite3.Connection) -> None:
    queued(state)
    finish(state, ENGINE, claimed(state), state=JobState.FAILED, now_ns=3, error="no space")
    assert told(state) == []  # whoever asked for it looks at its result
    nightly(state, 1)
    finish(state, ENGINE, claimed(state), state=JobState.FAILED, now_ns=3, error="no space")
    assert told(state) == ["backup of the schedule failed: no space"]
    nightly(state, 1)
    for _ in range(ATTEMPTS_MAX):
        claimed(state)
        recover(state, ENGINE, 4)
    assert "each of 3 attempts" in told(state)[1]


def test_a_job_of_the_schedule_that_waits_for_hours_is_told_and_waits_once(
    state: sqlite3.Connection,
) -> None:
    first = nightly(state, 1)
    assert nightly(state, WAIT_NS_MAX) == first
    assert told(state) == []
    assert nightly(state, WAIT_NS_MAX + 1) == first
    assert "is the worker running" in told(state)[0]
    assert (claimed(state).id, claim(state, ENGINE, 2)) == (first, None)


def test_each_lane_claims_its_own_kinds_and_settles_its_own_job(state: sqlite3.Connection) -> None:
    first, short, last = (queued(state, kind=kind) for kind in ("replay", "backup", "odd"))
    mine = claim(state, ENGINE, 2, kinds=("backup", "export"), among=True)
    assert mine is not None
    assert mine.id == short
    assert claim(state, ENGINE, 2, kinds=("backup", "export"), among=True) is None
    others = [claim(state, ENGINE, 2, kinds=("backup", "export")) for _ in range(2)]
    assert [one and one.id for one in others] == [first, last]
    assert [number for number, _ in recover(state, ENGINE, 3, job=short)] == [short]
    assert find(state, ENGINE, first).state is JobState.RUNNING  # type: ignore[union-attr]
