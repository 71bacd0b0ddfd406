"""Long work at a whole desk: a recording over a crash, its replay as a job, the schedule's rows."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from engine.domain.commands import CancelJob, RunJob, StartRecording, StopRecording
from engine.domain.instruments import InstrumentId
from engine.domain.settings import SettingsDocument
from engine.lab.recordings.open import open_recording
from storage.commands import CommandState
from storage.database import connect_writer
from storage.tape_blocks import FILE_MAGIC, segments
from storage.users import ENGINE_ID
from tests.live.programs import Programs, prepare
from tests.ports import free_port

SERIES = InstrumentId("btc-updown-5m")
MARKET = InstrumentId("demo:rate-cut-by-march-1")
DAY_NS = 86_400 * 1_000_000_000


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Programs]:
    made = Programs(tmp_path, free_port())
    prepare(made.state)
    yield made
    made.end()


def figures(programs: Programs) -> tuple[object, ...]:
    rows = programs.rows("SELECT state, events, gaps FROM recordings WHERE name = 'day'")
    return rows[0] if rows else ("", 0, 0)


@pytest.mark.long
def test_a_recording_survives_a_crash_with_a_gap_and_is_replayed_by_the_worker(
    programs: Programs,
) -> None:
    programs.demo()
    engine = programs.engine()
    start = StartRecording(name="day", instruments=(SERIES, MARKET))

    def begun() -> bool:
        # The engine knows a market when it has heard of it; before that the command is refused.
        return programs.command(start).state is CommandState.DONE

    programs.until(begun, "the recording begins")
    again = programs.command(start)
    assert (again.state, "already" in again.answer) == (CommandState.REFUSED, True)
    programs.until(lambda: int(str(figures(programs)[1])) > 100, "it records")
    assert figures(programs)[2] == 0
    folder = programs.home / "recordings" / "day"
    first = len(FILE_MAGIC)
    programs.until(
        lambda: sum(path.stat().st_size for path in segments(folder)) > first,
        "some of it is on the disk: what a kill loses is the last two seconds",
    )
    engine.kill()
    engine.wait(150)
    before = int(str(figures(programs)[1]))

    programs.engine()
    programs.until(
        lambda: int(str(figures(programs)[1])) > before + 100 and figures(programs)[2] == 1,
        "it goes on with a gap",
    )
    stopped = programs.command(StopRecording(name="day"))
    assert stopped.state is CommandState.DONE, stopped.answer
    assert "stopped by test" in stopped.answer
    assert figures(programs)[0] == "stopped"

    read = open_recording(folder)
    events = list(read.events())
    assert read.stats.gaps == 1
    assert len(events) > 100
    assert MARKET in read.stats.markets
    assert len(read.stats.markets) >= 2

    programs.start("worker")
    queued = programs.command(RunJob(job="replay", arguments=json.dumps({"path": "day"})))
    assert "queued as job " in queued.answer
    programs.until(
        lambda: programs.rows("SELECT state FROM jobs") in ([("done",)], [("failed",)]),
        "the job ends",
    )
    [(state, error, result)] = programs.rows("SELECT state, error, result FROM jobs")
    assert (state, error) == ("done", "")
    assert programs.rows("SELECT id FROM runs") == [(json.loads(str(result))["run"],)]
    over = programs.command(CancelJob(job=1))
    assert (over.state, "has ended already" in over.answer) == (CommandState.REFUSED, True)
    unknown = programs.command(RunJob(job="brew", arguments="{}"))
    assert (unknown.state, "known: " in unknown.answer) == (CommandState.REFUSED, True)


def test_what_the_night_missed_is_asked_for_at_the_start(programs: Programs) -> None:
    with closing(connect_writer(programs.state)) as connection:
        connection.execute(
            "INSERT INTO schedule (engine_id, name, cron, what, next_ns, last_ns, problem,"
            " updated_ns) VALUES (?, 'backup', '10 2 * * *', '', NULL, ?, '', 1)",
            (ENGINE_ID, time.time_ns() - 2 * DAY_NS),
        )
    on = {name for name, entry in SettingsDocument().schedule.items() if entry.on}
    programs.demo()
    programs.engine()
    programs.until(
        lambda: programs.rows("SELECT kind, who, state FROM jobs"), "the backup is queued"
    )
    assert programs.rows("SELECT kind, who, state FROM jobs") == [("backup", "schedule", "queued")]
    due = "SELECT name, next_ns, problem FROM schedule WHERE next_ns IS NOT NULL"
    programs.until(lambda: len(programs.rows(due)) >= len(on), "the next times are told")
    assert {name for name, _, _ in programs.rows(due)} == on
    now_ns = time.time_ns()
    for name, next_ns, problem in programs.rows(due):
        assert now_ns < int(str(next_ns)) < now_ns + 8 * DAY_NS, name
        assert problem == ""
    [(last,)] = programs.rows("SELECT last_ns FROM schedule WHERE name = 'backup'")
    assert now_ns - int(str(last)) < DAY_NS // 24
    assert programs.rows("SELECT state, who FROM commands") == [("done", "schedule")]
