"""The state file's threads: nothing lost under a lock, commands taken once, projections current."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from engine.clock import WallClock
from engine.domain.commands import Kill
from engine.domain.events import CashMoved
from engine.domain.instruments import AccountId
from engine.errors import BrokenInvariant
from engine.runtime import state_writer
from engine.runtime.state_writer import Projector, StateKeeper, StateWrite
from storage.commands import CommandState, LeftCommand, answer, find, leave
from storage.database import connect_writer
from storage.journal_writer import JournalWriter
from storage.live import EngineHeartbeat, put_engine
from storage.schema import migrate

ENGINE = "pitboss"


class Desk:
    def __init__(self, path: Path) -> None:
        migrate(path)
        self.path = path
        self.received: list[LeftCommand] = []
        self.crashes: list[BaseException] = []
        self.keeper = StateKeeper(
            path,
            engine_id=ENGINE,
            clock=WallClock(),
            received=self.received.extend,
            crash=self.crashes.append,
        )

    def rows(self, sql: str) -> list[tuple[object, ...]]:
        connection = sqlite3.connect(self.path)
        try:
            return connection.execute(sql).fetchall()
        finally:
            connection.close()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path / "state.db")
    yield made
    made.keeper.close()
    assert not made.crashes


def until(true: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_a_command_is_not_late_where_the_clock_was_set_back(tmp_path: Path) -> None:
    path, received, back_ns = tmp_path / "state.db", list[LeftCommand](), 0
    migrate(path)

    def wall_ns() -> int:
        return time.time_ns() - back_ns

    clock = WallClock(wall_ns=wall_ns)
    back_ns = 3_600 * 10**9
    keeper = StateKeeper(
        path, engine_id=ENGINE, clock=clock, received=received.extend, crash=pytest.fail
    )
    connection = connect_writer(path)
    leave(connection, engine_id=ENGINE, id="c1", command=Kill(), who="ann", now_ns=wall_ns())
    keeper.listen()
    until(lambda: connection.execute("SELECT 1 FROM commands WHERE state != 'pending'").fetchall())
    keeper.close()
    connection.close()
    assert [left.id for left in received] == ["c1"]


def beat(pid: int) -> Callable[[sqlite3.Connection], None]:
    made = EngineHeartbeat(
        state="RUNNING", heartbeat_ns=1, started_ns=1, pid=pid, version="1", latched=False,
    )  # fmt: skip
    return lambda connection: put_engine(connection, ENGINE, made)


def add(number: int) -> StateWrite:
    return lambda c: c.execute(
        "INSERT INTO commands (id, engine_id, kind, body, who, state, created_ns, expires_ns, "
        "answer) VALUES (?, 'other', 'Kill', '', '', 'done', 1, 1, '')",
        (str(number),),
    )


def test_latest_of_a_name_is_written(desk: Desk) -> None:
    for pid in range(50):
        desk.keeper.put("engine", beat(pid))
    until(lambda: desk.rows("SELECT pid FROM engine_state") == [(49,)])


def test_locked_file_delays_and_loses_nothing(desk: Desk) -> None:
    lock = sqlite3.connect(desk.path, isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    for pid in range(3):
        desk.keeper.write(beat(pid))
    until(lambda: desk.keeper.failure is not None)
    assert "locked" in str(desk.keeper.failure)
    lock.execute("ROLLBACK")
    lock.close()
    until(lambda: desk.rows("SELECT pid FROM engine_state") == [(2,)])
    until(lambda: desk.keeper.failure is None)


class Meanwhile:
    """A job that waits; as the writer looks at it, the engine's thread leaves one more."""

    refused = None

    def __init__(self, desk: Desk) -> None:
        self.job = add(1)
        self._leave = [partial(desk.keeper.write, add(2))]

    @property
    def alone(self) -> bool:
        while self._leave:
            self._leave.pop()()
        return False


def test_a_row_left_while_others_are_gathered_is_written_after_them(desk: Desk) -> None:
    desk.keeper._queue(Meanwhile(desk), awaited=True)  # type: ignore[arg-type]
    until(lambda: desk.rows("SELECT id FROM commands ORDER BY id") == [("1",), ("2",)])


def test_a_state_file_moved_away_is_told_and_nothing_is_lost(desk: Desk) -> None:
    desk.keeper.put("engine", beat(1))
    until(lambda: desk.rows("SELECT pid FROM engine_state") == [(1,)])
    moved = desk.path.rename(desk.path.with_name("moved.db"))
    with capture_logs() as logged:
        desk.keeper.put("engine", beat(2))
        until(lambda: logged)
    assert logged[0]["event"] == "state.refused"
    until(lambda: desk.keeper.failure is not None)
    assert "was deleted, moved or replaced while it was open" in str(desk.keeper.failure)
    until(lambda: desk.keeper.waiting == 1)
    moved.rename(desk.path)
    until(lambda: desk.rows("SELECT pid FROM engine_state") == [(2,)])


def test_rows_wait_for_company_and_go_out_with_the_one_that_is_awaited(desk: Desk) -> None:
    begun: list[str] = []

    def counted(job: StateWrite) -> StateWrite:
        def do(connection: sqlite3.Connection) -> None:
            connection.set_trace_callback(lambda sql: begun.append(sql) if "BEGIN" in sql else None)
            job(connection)

        return do

    desk.keeper.write(counted(add(0)))
    until(lambda: not desk.keeper.waiting)
    for number in range(1, 20):
        desk.keeper.write(add(number))
        desk.keeper.put("engine", beat(number))
    desk.keeper.write(add(20), awaited=True)
    until(lambda: not desk.keeper.waiting)
    assert len(desk.rows("SELECT id FROM commands")) == 21
    assert desk.rows("SELECT pid FROM engine_state") == [(19,)]
    assert len([one for one in begun if "IMMEDIATE" in one]) == 1


def test_command_is_received_once_and_only_after_listening(desk: Desk) -> None:
    connection = connect_writer(desk.path)
    now_ns = time.time_ns()
    leave(connection, engine_id=ENGINE, id="a", command=Kill(), who="me", now_ns=now_ns)
    time.sleep(0.05)
    assert not desk.received
    desk.keeper.listen()
    until(lambda: desk.received)
    assert [left.id for left in desk.received] == ["a"]
    desk.keeper.do(
        lambda c: answer(c, ENGINE, "a", state=CommandState.DONE, text="so", now_ns=now_ns)
    )
    until(lambda: (left := find(connection, ENGINE, "a")) and left.state is CommandState.DONE)
    connection.close()
    assert len(desk.received) == 1


def test_command_is_received_within_a_tenth_of_a_second(desk: Desk) -> None:
    desk.keeper.listen()
    received = threading.Event()
    desk.keeper._received = lambda _: received.set()
    connection = connect_writer(desk.path)
    until(lambda: desk.keeper._version >= 0)
    leave(connection, engine_id=ENGINE, id="b", command=Kill(), who="me", now_ns=time.time_ns())
    assert received.wait(150)
    connection.close()


NEVER: dict[str, StateWrite] = {
    "a number too large": lambda c: c.execute("SELECT ?", (2**63,)),
    "a value of no type": lambda c: c.execute("SELECT ?", (object(),)),
    "half a character": lambda c: c.execute("SELECT ?", ("\ud800",)),
    "a constraint": lambda c: c.execute("INSERT INTO bots (engine_id) VALUES (NULL)"),
    "no such table": lambda c: c.execute("INSERT INTO nothing VALUES (1)"),
    "text for a number": lambda _: int("seven"),
}


@pytest.mark.parametrize("way", ["write", "do", "put"])
@pytest.mark.parametrize("name", NEVER)
def test_a_row_that_can_never_be_written_is_refused_told_and_blocks_nothing(
    desk: Desk, name: str, way: str
) -> None:
    keeper = desk.keeper
    give = partial(keeper.put, "bad") if way == "put" else getattr(keeper, way)
    with capture_logs() as logged:
        keeper.write(beat(1))
        give(NEVER[name])
        keeper.write(add(7))
        until(lambda: desk.rows("SELECT count(*) FROM alerts") == [(1,)])
        until(lambda: desk.rows("SELECT id FROM commands") == [("7",)])
    assert desk.rows("SELECT pid FROM engine_state") == [(1,)]
    assert desk.rows("SELECT kind, severity, count FROM alerts") == [("row", "critical", 1)]
    assert [one["event"] for one in logged] == ["state.row_refused"]
    assert keeper.waiting == 0
    assert keeper.failure is None


def test_who_waits_for_a_row_that_can_never_be_written_receives_why(desk: Desk) -> None:
    answers: list[str] = []
    desk.keeper.do(NEVER["a number too large"], refused=answers.append)
    until(lambda: answers)
    assert "too large" in answers[0]
    assert desk.rows("SELECT count(*) FROM alerts") == [(0,)]


@pytest.mark.parametrize(
    "error", [KeyError("x"), BrokenInvariant("x"), SystemExit(1), RecursionError("x")]
)
def test_an_unexpected_error_of_any_kind_on_the_state_thread_ends_the_engine(
    tmp_path: Path, error: BaseException
) -> None:
    desk = Desk(tmp_path / "state.db")

    def fail(_: sqlite3.Connection) -> None:
        raise error

    desk.keeper.write(fail)
    until(lambda: desk.crashes)
    assert desk.crashes == [error]


def test_a_damaged_state_file_ends_the_engine(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "state.db")
    desk.keeper.write(beat(1))
    until(lambda: desk.rows("SELECT pid FROM engine_state") == [(1,)])
    damaged = sqlite3.DatabaseError("malformed")
    damaged.sqlite_errorcode = sqlite3.SQLITE_CORRUPT

    def fail(_: sqlite3.Connection) -> None:
        raise damaged

    desk.keeper.write(fail)
    until(lambda: desk.crashes)
    assert "is damaged" in str(desk.crashes[0])


def test_a_full_queue_halts_drops_nothing_and_goes_on_when_it_is_written(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state_writer, "JOBS_MAX", 10)
    lock = sqlite3.connect(desk.path, isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    for number in range(15):
        assert desk.keeper.halts == ("" if number <= 9 else desk.keeper.halts)
        desk.keeper.write(add(number))
    assert "15 rows wait for" in desk.keeper.halts
    lock.execute("ROLLBACK")
    lock.close()
    until(lambda: desk.rows("SELECT count(*) FROM commands") == [(15,)])
    until(lambda: not desk.keeper.halts)


def test_a_queue_that_grows_on_while_it_halts_ends_the_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state_writer, "JOBS_MAX", 10)
    desk = Desk(tmp_path / "state.db")
    lock = sqlite3.connect(desk.path, isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    for number in range(20):
        desk.keeper.write(add(number))
    assert "20 rows wait for" in str(desk.crashes[0])
    lock.execute("ROLLBACK")
    lock.close()
    desk.keeper.close()  # and none of them is lost where the file can be written after all
    assert desk.rows("SELECT count(*) FROM commands") == [(20,)]


def test_what_the_projection_cannot_survive_is_told(tmp_path: Path) -> None:
    state, file = tmp_path / "state.db", tmp_path / "journal.db"
    migrate(state)
    journal = JournalWriter(file, engine_id=ENGINE)
    journal.append("demo", CashMoved(account=AccountId("demo"), currency="USD", amount_micro=1), 1)
    journal.flush()
    connection = connect_writer(state)
    connection.execute(
        "INSERT INTO accounts (engine_id, account, mode, venue, currency) "
        "VALUES (?, 'demo', 'of another version', 'demo', 'USD')",
        (ENGINE,),
    )
    connection.close()
    crashes: list[BaseException] = []
    projector = Projector(journal, journal_path=file, state_path=state, crash=crashes.append)
    until(lambda: crashes)
    projector.close()
    journal.close()
    assert "row of account 'demo' in pitboss.db is damaged" in str(crashes[0])
