"""The worker as a process: jobs run in children, are cancelled, and survive `kill -9`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from storage.backup import backups
from storage.database import connect_writer
from storage.jobs import JOB_ENDS, Job, JobState, cancel, find, queue
from storage.schema import migrate
from storage.users import ENGINE_ID
from tests.storage.kept import differing

REPOSITORY = Path(__file__).resolve().parents[2]
LONG_S = 200.0
"""The end of patience: a job is nice, on a busy machine it comes last."""


class Desk:
    """A home with a state database, and workers ended by their own ids."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.state = home / "pitboss.db"
        migrate(self.state)
        self.running: list[subprocess.Popen[bytes]] = []
        # Opened once: each opening reads the whole schema, and a wait looks a thousand times.
        self.connection = connect_writer(self.state)

    def worker(self, **environment: str) -> subprocess.Popen[bytes]:
        with (self.home / "worker.log").open("ab") as log:
            program = subprocess.Popen(
                [sys.executable, "-m", "engine", "worker"],
                cwd=REPOSITORY,
                env={**os.environ, "PITBOSS_HOME": str(self.home), **environment},
                stdout=log,
                stderr=log,
            )
        self.running.append(program)
        return program

    def queue(self, kind: str, **arguments: Any) -> int:
        return queue(
            self.connection,
            engine_id=ENGINE_ID,
            kind=kind,
            arguments=json.dumps(arguments),
            who="test",
            now_ns=time.time_ns(),
        )

    def job(self, number: int) -> Job:
        job = find(self.connection, ENGINE_ID, number)
        assert job is not None
        return job

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in self.connection.execute(sql)]

    def ended(self, number: int) -> Job:
        self.until(lambda: self.job(number).state in JOB_ENDS, f"job {number} ends")
        return self.job(number)

    def under_way(self, number: int) -> None:
        """Wait until a job has told of progress: it is in the middle."""
        self.until(
            lambda: self.rows(f"SELECT done > 0 FROM jobs WHERE id = {number}") == [(1,)],
            f"job {number} is under way",
        )

    def until(self, true: Callable[[], object], what: str) -> None:
        end = time.monotonic() + LONG_S
        while not true():
            assert time.monotonic() < end, f"{what}: {(self.home / 'worker.log').read_text()}"
            time.sleep(0.05)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    yield made
    for program in made.running:
        program.kill()
        program.wait(150)
    made.connection.close()


@pytest.fixture(scope="module")
def long_tape(make_recording: Callable[..., Path]) -> Path:
    """Return a recording that takes some seconds to replay."""
    return make_recording(markets=40, frames=320)


def children_of(pid: int) -> list[int]:
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
    return [int(word) for word in found.stdout.split()]


@pytest.mark.long
def test_a_replay_becomes_a_run_of_its_job(desk: Desk, tape: Path) -> None:
    number = desk.queue("replay", path=str(tape), decisions=False)
    worker = desk.worker(POLYMARKET_PRIVATE_KEY="not to be seen")
    job = desk.ended(number)
    assert job.state is JobState.DONE, job.error
    result = json.loads(job.result)
    [(run, of_job, status, digest)] = desk.rows("SELECT id, job, status, digest FROM runs")
    assert (run, of_job, status, digest) == (result["run"], number, "done", result["digest"])
    environ = Path(f"/proc/{worker.pid}/environ")
    if environ.exists():
        assert b"not to be seen" not in environ.read_bytes()
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(LONG_S) == 0


@pytest.mark.long
def test_what_a_job_cannot_do_is_a_sentence(desk: Desk) -> None:
    missing = desk.queue("replay", path="no-such-recording")
    wrong = desk.queue("backup", keep=0)
    unknown = desk.queue("brew-coffee")
    desk.worker()
    assert "there is no recording 'no-such-recording'" in desk.ended(missing).error
    assert "keep" in desk.ended(wrong).error
    assert "known: backup" in desk.ended(unknown).error
    assert desk.job(missing).attempts == 1


@pytest.mark.long
def test_a_running_job_is_cancelled_and_leaves_nothing(desk: Desk, long_tape: Path) -> None:
    number = desk.queue("replay", path=str(long_tape))
    worker = desk.worker()
    desk.under_way(number)
    cancel(desk.connection, engine_id=ENGINE_ID, job=number, who="ann", now_ns=time.time_ns())
    job = desk.ended(number)
    assert (job.state, job.error) == (JobState.CANCELLED, "cancelled by ann")
    assert desk.rows("SELECT count(*) FROM runs") == [(0,)]
    assert list((desk.home / "runs").iterdir()) == []
    assert worker.poll() is None


@pytest.mark.long
def test_housekeeping_does_not_wait_behind_a_long_replay(desk: Desk, long_tape: Path) -> None:
    worker = desk.worker()
    long = desk.queue("replay", path=str(long_tape))
    desk.under_way(long)
    (child,) = children_of(worker.pid)
    os.kill(child, signal.SIGSTOP)  # it takes for ever from here on
    try:
        later = desk.queue("replay", path=str(long_tape))
        assert desk.ended(desk.queue("backup")).state is JobState.DONE
        assert desk.job(long).state is JobState.RUNNING
        assert desk.job(later).state is JobState.QUEUED, "two long ones run one after the other"
    finally:
        os.kill(child, signal.SIGCONT)


@pytest.mark.long
def test_kill_9_of_the_worker_in_the_middle_runs_the_job_once_more_and_once(
    desk: Desk, long_tape: Path
) -> None:
    number = desk.queue("replay", path=str(long_tape), decisions=False, journal=False)
    first = desk.worker()
    desk.under_way(number)
    [child] = children_of(first.pid)
    first.kill()
    first.wait(150)
    desk.worker()
    job = desk.ended(number)
    assert (job.state, job.attempts) == (JobState.DONE, 2)
    assert desk.rows("SELECT count(*), min(job) FROM runs") == [(1, number)]
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


@pytest.mark.long
def test_kill_9_of_the_child_offers_the_job_again(desk: Desk, long_tape: Path) -> None:
    number = desk.queue("replay", path=str(long_tape), decisions=False, journal=False)
    worker = desk.worker()
    desk.under_way(number)
    [child] = children_of(worker.pid)
    os.kill(child, signal.SIGKILL)
    job = desk.ended(number)
    assert (job.state, job.attempts) == (JobState.DONE, 2)


@pytest.mark.long
def test_a_stopped_worker_hands_its_job_to_the_next(desk: Desk, long_tape: Path) -> None:
    number = desk.queue("replay", path=str(long_tape), decisions=False, journal=False)
    worker = desk.worker()
    desk.under_way(number)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(LONG_S) == 0
    assert desk.job(number).state is JobState.QUEUED


@pytest.mark.long
def test_there_is_one_worker_per_home(desk: Desk) -> None:
    desk.worker()
    lock = desk.home / "run" / "worker.lock"
    desk.until(lock.exists, "the first worker works")
    second = desk.worker()
    assert second.wait(LONG_S) == 4
    assert "another worker runs" in (desk.home / "worker.log").read_text()


@pytest.mark.long
def test_a_backup_by_the_worker_is_whole(desk: Desk) -> None:
    number = desk.queue("backup", keep=2)
    desk.worker()
    assert desk.ended(number).state is JobState.DONE
    [made] = backups(desk.home / "backups")
    assert differing(made) == []


@pytest.mark.long
def test_the_worker_and_its_jobs_load_nothing_that_speaks_to_a_venue() -> None:
    """Law R: where no trading code is loaded, none can be called."""
    loaded = subprocess.run(
        [
            sys.executable,
            "-c",
            "import engine.cli.worker, engine.jobs.kinds, sys; print(*sorted(sys.modules))",
        ],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    forbidden = (
        "aiohttp",
        "httpx",
        "websockets",
        "polymarket",
        "ccxt",
        "engine.venues.demo.client",
    )
    assert [name for name in loaded if name.startswith(forbidden)] == []
