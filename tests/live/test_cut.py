"""The state's writer killed in the middle of its work: nothing it had written is lost or half."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from random import Random

import pytest

from engine.clock import WallClock
from engine.runtime.state_writer import StateKeeper
from storage.commands import CommandState, LeftCommand, answer, cut
from storage.database import connect_writer
from storage.schema import migrate

ENGINE = "pitboss"
CUT = "the engine ended before it was answered"

WRITER = """
import sys, time
from pathlib import Path
from engine.clock import WallClock
from engine.domain.commands import AckAlert
from engine.runtime.state_writer import StateKeeper
from storage.database import note
from storage.commands import CommandState, answer, leave
from storage.database import connect_writer, transaction
from storage.live import EngineHeartbeat, put_engine

ENGINE, path, first = "pitboss", Path(sys.argv[1]), int(sys.argv[2])

def both(number):
    def write(connection):
        connection.execute(
            "INSERT INTO alerts (engine_id, severity, kind, text, count, first_ns, last_ns) "
            "VALUES (?, 'warning', 'n', ?, 1, 1, 1)", (ENGINE, str(number)))
        note(connection, ENGINE, 1, "x", "n", n=number)
    return write

def alone(number):
    def write(connection):
        with transaction(connection):
            both(number)(connection)
        print(number, flush=True)  # the rows up to here are committed
    return write

def beat(number):
    made = EngineHeartbeat(state="RUNNING", heartbeat_ns=number, started_ns=1, pid=number,
        version="1", latched=False)
    return lambda connection: put_engine(connection, ENGINE, made)

def received(left):
    for one in left:
        keeper.write(lambda c, one=one: answer(
            c, ENGINE, one.id, state=CommandState.DONE, text="so", now_ns=2))

keeper = StateKeeper(
    path, engine_id=ENGINE, clock=WallClock(), received=received,
    crash=lambda error: print(repr(error)))
keeper.listen()
page = connect_writer(path)
for number in range(first, first + 100_000):
    keeper.do(alone(number)) if number % 10 == 9 else keeper.write(both(number))
    keeper.put("engine", beat(number))
    if number % 25 == 0:
        leave(page, engine_id=ENGINE, id=f"c{number}", command=AckAlert(alert=1), who="x",
            now_ns=time.time_ns())
    while keeper.waiting > 200:
        time.sleep(0.001)
"""


@contextmanager
def writer(path: Path, first: int) -> Iterator[subprocess.Popen[str]]:
    program = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), str(first)],
        cwd=Path(__file__).resolve().parents[2], stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with program:
        try:
            yield program
        finally:
            program.kill()


def numbers(connection: sqlite3.Connection, sql: str) -> list[int]:
    return [int(value) for (value,) in connection.execute(sql)]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("cut") / "pitboss.db"
    migrate(made)
    return made


@pytest.mark.long
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_writer_killed_in_the_middle_loses_nothing_it_had_written_and_nothing_is_half(
    path: Path, seed: int
) -> None:
    with closing(connect_writer(path)) as connection:
        began = numbers(connection, "SELECT count(*) FROM alerts WHERE kind = 'n'")[0]
    with writer(path, began) as program:
        assert program.stdout is not None
        program.stdout.readline()
        time.sleep(Random(seed).uniform(0.02, 0.4))  # wherever it is then
        program.send_signal(signal.SIGKILL)
        told = [int(line) for line in program.stdout.read().split("\n")[:-1]]
    with closing(connect_writer(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        alerts = numbers(connection, "SELECT text FROM alerts WHERE kind = 'n' ORDER BY id")
        noted = "SELECT json_extract(detail, '$.n') FROM audit WHERE what = 'n' ORDER BY id"
        assert alerts == numbers(connection, noted) == list(range(len(alerts)))
        assert alerts[-1] >= max(told, default=began)
        left = numbers(connection, "SELECT count(*) FROM commands")[0]
        audited = "SELECT count(*) FROM audit WHERE what = 'command AckAlert'"
        assert numbers(connection, audited) == [left]
        cut(connection, ENGINE, CUT, 3)
        received: list[LeftCommand] = []
        keeper = StateKeeper(
            path, engine_id=ENGINE, clock=WallClock(), received=received.extend, crash=pytest.fail
        )
        keeper.listen()
        pending = "SELECT count(*) FROM commands WHERE state = 'pending'"
        while numbers(connection, pending) != [0]:
            time.sleep(0.005)
        keeper.close()
        for one in received:
            answer(connection, ENGINE, one.id, state=CommandState.DONE, text="so", now_ns=4)
        ends = dict(connection.execute("SELECT answer, count(*) FROM commands GROUP BY answer"))
        assert sum(ends.values()) == left
        assert ends.keys() <= {"so", CUT}
