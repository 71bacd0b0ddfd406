"""Each probe's exact condition, under a moved clock; with real processes, sockets and locks."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from engine.clock import WallClock
from engine.watch import desk as desk_module
from engine.watch.desk import SECOND_NS, Desk, DeskPlace, Heartbeat, Trouble, Unreadable
from engine.watch.probes import engine as engine_probe
from engine.watch.probes import probes
from engine.watch.probes.dashboard import DashboardProbe
from engine.watch.probes.engine import EngineProbe
from engine.watch.probes.machine import MachineProbe
from engine.watch.probes.programs import ProgramsProbe
from engine.watch.probes.state import StateProbe
from engine.watch.rules import AlertsRead
from engine.watch.starts import ENDS_FOR_GOOD
from storage.database import transaction, writing
from storage.live import EngineHeartbeat, put_engine
from storage.phases import EnginePhase, put_phase
from storage.schema import migrate
from storage.supervisor import SHUTTING_DOWN, ProgramStatus, SupervisorFault
from tests.fakes.supervisor import supervised
from tests.ports import free_port
from tests.watch.desks import NOON_NS, Receiver, Watched

ME = os.getpid()


@pytest.fixture(autouse=True)
def machine_started_long_ago(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the machine's start before every moment of these tests: their day may be past today."""
    monkeypatch.setattr(engine_probe, "boot_ns", lambda: NOON_NS - 90 * 86_400 * SECOND_NS)


def program(state: str = "RUNNING", **cells: object) -> ProgramStatus:
    usual = {"pid": ME, "start_s": NOON_NS // SECOND_NS - 3_600, "exit_code": 0}
    return ProgramStatus(state=state, **(usual | cells))  # type: ignore[arg-type]


def beat(age_s: float = 1, state: str = "RUNNING", pid: int = ME) -> Heartbeat:
    return Heartbeat(
        engine_id="pitboss", state=state, heartbeat_ns=NOON_NS - int(age_s * SECOND_NS),
        started_ns=NOON_NS - 7_200 * SECOND_NS, pid=pid, detail="{}",
    )  # fmt: skip


def seen(home: Path, *, port: int | None = None, **given: object) -> Desk:
    place = DeskPlace(folder=str(home), state=str(home / "pitboss.db"), port=port)
    made = Desk(place, AlertsRead(), {}, began_ns=NOON_NS - 3_600 * SECOND_NS)
    for name, value in given.items():
        setattr(made, name, value)
    return made


def told(
    probe: object, desk: Desk, seconds: float = 60, *, from_ns: int = NOON_NS
) -> list[Trouble]:
    """Return what a probe says after having looked for so long."""
    found: list[Trouble] = []
    for second in range(int(seconds) + 1):
        found = list(probe.look(desk, from_ns + second * SECOND_NS))  # type: ignore[attr-defined]
    return found


def kinds(found: list[Trouble]) -> list[str]:
    return [one.kind for one in found]


def test_every_probe_is_found_by_scan() -> None:
    assert set(probes()) == {"dashboard", "engine", "machine", "programs", "state"}


# -- The engine ------------------------------------------------------------------------------------


def test_an_engine_that_reports_is_well(tmp_path: Path) -> None:
    desk = seen(tmp_path, programs={"engine": program()}, heartbeat=beat())
    assert told(EngineProbe(), desk, 30) == []


@pytest.mark.parametrize("state", ["FATAL", "EXITED", "BACKOFF"])
def test_an_engine_that_is_away_is_dead_after_ten_seconds(tmp_path: Path, state: str) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "last_error").write_text("ConfigError: no such venue\n")
    gone = program(state, pid=0, exit_code=2, description="Exited too quickly")
    desk = seen(tmp_path, programs={"engine": gone}, heartbeat=beat(12))
    assert told(EngineProbe(), desk, 9) == []
    (trouble,) = told(EngineProbe(), desk, 11)
    assert trouble.kind == "engine_dead"
    for said in (state, "exit code 2", "no such venue", "23 s old"):
        assert said in trouble.text


def test_an_engine_that_a_person_stopped_is_no_dead_one(tmp_path: Path) -> None:
    desk = seen(tmp_path, programs={"engine": program("STOPPED", pid=0)}, heartbeat=beat(99))
    assert kinds(told(EngineProbe(), desk)) == ["engine_stopped"]


def test_without_supervisor_the_process_of_the_heartbeat_is_looked_for(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    desk = seen(tmp_path, heartbeat=beat(20, pid=ended.pid))
    assert kinds(told(EngineProbe(), desk)) == ["engine_dead"]
    desk = seen(tmp_path, heartbeat=beat(20, "STOPPED", pid=ended.pid))
    assert kinds(told(EngineProbe(), desk)) == ["engine_stopped"]
    assert told(EngineProbe(), seen(tmp_path)) == [], "no desk was ever here"


def test_a_stopped_process_is_hung_and_its_state_is_named(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        child.send_signal(19)  # SIGSTOP
        os.waitpid(child.pid, os.WUNTRACED)
        running = program(pid=child.pid)
        desk = seen(tmp_path, programs={"engine": running}, heartbeat=beat(46, pid=child.pid))
        (trouble,) = told(EngineProbe(), desk, 0)
        assert trouble.kind == "engine_hung"
        assert "46 s old" in trouble.text
        assert "stopped by a signal" in trouble.text
    finally:
        child.kill()
        child.communicate()


def test_an_engine_that_has_just_been_started_may_have_an_old_heartbeat(tmp_path: Path) -> None:
    young = program(start_s=NOON_NS // SECOND_NS - 5)
    desk = seen(tmp_path, programs={"engine": young}, heartbeat=beat(500))
    assert told(EngineProbe(), desk, 110) == []
    (trouble,) = told(EngineProbe(), desk, 120)
    assert trouble.kind == "engine_hung"
    assert "began 125 s ago without a heartbeat" in trouble.text


def test_an_engine_that_has_reported_since_its_start_is_hung_after_45_s(tmp_path: Path) -> None:
    begun = program(start_s=NOON_NS // SECOND_NS - 50)
    desk = seen(tmp_path, programs={"engine": begun}, heartbeat=beat(46))
    assert kinds(told(EngineProbe(), desk, 0)) == ["engine_hung"]


def test_three_starts_within_ten_minutes_are_told_also_by_a_watch_begun_between(
    tmp_path: Path,
) -> None:
    probe, desk = EngineProbe(), seen(tmp_path, heartbeat=beat())
    found: list[Trouble] = []
    for number in range(4):
        desk.programs = {"engine": program(pid=ME, start_s=1_000 + number)}
        if number == 2:
            probe = EngineProbe()
            desk.programs = {"engine": program(pid=ME, start_s=1_001)}
            list(probe.look(desk, NOON_NS + 119 * SECOND_NS))
            desk.programs = {"engine": program(pid=ME, start_s=1_002)}
        now_ns = NOON_NS + number * 60 * SECOND_NS
        desk.heartbeat = beat(-number * 60)
        found = list(probe.look(desk, now_ns))
    assert kinds(found) == ["engine_restarting"]
    assert "3 times within 10 minutes" in found[0].text
    later = NOON_NS + 800 * SECOND_NS
    desk.heartbeat = beat(-800)
    assert list(probe.look(desk, later)) == []


def keep_phases(home: Path, *entered: str, at_s: int = 0) -> None:
    """Keep phases of the engine, one a second from `at_s` seconds after noon on."""
    with writing(home / "pitboss.db") as connection, transaction(connection):
        for number, phase in enumerate(entered):
            at_ns = NOON_NS + (at_s + number) * SECOND_NS
            one = EnginePhase(at_ns=at_ns, phase=phase, reason="PROVEN", pid=number)
            put_phase(connection, "pitboss", one)


def began(home: Path) -> None:
    """Make a state whose engine reports."""
    migrate(home / "pitboss.db")
    row = EngineHeartbeat(
        state="RUNNING", heartbeat_ns=NOON_NS, started_ns=NOON_NS, pid=ME, version="1",
        latched=False,
    )  # fmt: skip
    with writing(home / "pitboss.db") as connection, transaction(connection):
        put_engine(connection, "pitboss", row)


LIFE = ("INIT", "LOADING", "RECONCILING", "RUNNING")


@pytest.mark.parametrize("looked", ["at the stop", "between no stop and its start"])
def test_an_engine_that_a_person_stops_and_starts_three_times_is_in_no_crash_loop(
    tmp_path: Path, looked: str
) -> None:
    began(tmp_path)
    probe, meta = EngineProbe(), dict[str, str]()
    for number in range(5):
        at_s = number * 60
        if looked == "at the stop" and number:
            desk = refreshed(tmp_path, meta)
            desk.programs = {"engine": program("STOPPED", pid=0, start_s=at_s - 60)}
            assert list(probe.look(desk, NOON_NS + (at_s - 1) * SECOND_NS)) == []
        keep_phases(tmp_path, *LIFE, at_s=at_s)
        desk = refreshed(tmp_path, meta)
        desk.programs = {"engine": program(start_s=at_s)}
        desk.heartbeat = beat(-at_s)
        assert kinds(list(probe.look(desk, NOON_NS + (at_s + 4) * SECOND_NS))) == []
        # A stop that supervisor had to end, by its patience, leaves no STOPPED.
        ends = ("STOPPING",) if looked == "at the stop" else ("STOPPING", "STOPPED")
        keep_phases(tmp_path, *ends, at_s=at_s + 50)


@pytest.mark.parametrize(("state", "code"), [("STOPPED", 0), ("FATAL", 1), ("EXITED", 2)])
def test_a_start_that_supervisor_would_not_do_by_itself_was_asked_for(
    tmp_path: Path, state: str, code: int
) -> None:
    probe, desk = EngineProbe(), seen(tmp_path, heartbeat=beat())
    for number in range(5):
        now_ns = NOON_NS + number * 60 * SECOND_NS
        desk.heartbeat = beat(-number * 60)
        desk.programs = {"engine": program(start_s=1_000 + number)}
        assert list(probe.look(desk, now_ns)) == []
        desk.programs = {"engine": program(state, pid=0, start_s=1_000 + number, exit_code=code)}
        assert list(probe.look(desk, now_ns + 2 * SECOND_NS)) == []


def test_one_asked_stop_does_not_hide_the_crash_loop_after_it(tmp_path: Path) -> None:
    """Whether it dies before it writes a phase, or in the middle of its start."""
    began(tmp_path)
    keep_phases(tmp_path, *LIFE, at_s=-60)
    probe, meta, found = EngineProbe(), dict[str, str](), list[Trouble]()
    desk = refreshed(tmp_path, meta)
    desk.programs = {"engine": program(start_s=900)}
    assert list(probe.look(desk, NOON_NS)) == []
    keep_phases(tmp_path, "STOPPING", "STOPPED", at_s=-10)
    for number in range(4):  # the first of them was asked for
        assert "engine_restarting" not in kinds(found)
        desk = refreshed(tmp_path, meta)
        desk.programs = {"engine": program("BACKOFF", pid=0, start_s=1_000 + 3 * number)}
        found = list(probe.look(desk, NOON_NS + 3 * number * SECOND_NS))
    (trouble,) = (one for one in found if one.kind == "engine_restarting")
    assert trouble.text.startswith("the engine ended by itself and was started again ")


def test_exit_codes_after_which_supervisor_starts_no_engine_are_those_of_its_file() -> None:
    text = (Path(__file__).parents[2] / "supervisord.conf").read_text()
    engine = text.split("[program:engine]")[1].split("[program:")[0]
    (line,) = (one for one in engine.splitlines() if one.startswith("exitcodes="))
    assert {int(code) for code in line.removeprefix("exitcodes=").split(",")} == set(ENDS_FOR_GOOD)


def test_starts_that_end_before_a_look_finds_their_process_are_counted(tmp_path: Path) -> None:
    """Supervisor knows the time of a start longer than its process lives."""
    probe, desk = EngineProbe(), seen(tmp_path, heartbeat=beat())
    found: list[Trouble] = []
    for number in range(4):
        ended = program("BACKOFF", pid=0, start_s=1_000 + 3 * number, exit_code=4)
        desk.programs = {"engine": ended}
        found = list(probe.look(desk, NOON_NS + 3 * number * SECOND_NS))
    assert "engine_restarting" in kinds(found)


def test_deaths_between_two_looks_are_read_from_the_phases(tmp_path: Path) -> None:
    path = tmp_path / "pitboss.db"
    migrate(path)
    lives = ["RUNNING", "STOPPED", "RUNNING", "LOADING"]
    with writing(path) as connection, transaction(connection):
        row = EngineHeartbeat(
            state="RUNNING", heartbeat_ns=NOON_NS, started_ns=NOON_NS, pid=ME, version="1",
            latched=False,
        )  # fmt: skip
        put_engine(connection, "pitboss", row)
        for number, last in enumerate(lives):
            at_ns = NOON_NS - (60 - number) * SECOND_NS
            for phase in ("INIT", last):
                entered = EnginePhase(at_ns=at_ns, phase=phase, reason="", pid=number)
                put_phase(connection, "pitboss", entered)
    desk = refreshed(tmp_path)
    after_stop = NOON_NS - 58 * SECOND_NS
    assert after_stop not in desk.restarts_ns, "a start after a stop follows no death"
    died = (NOON_NS - 57 * SECOND_NS, NOON_NS - 59 * SECOND_NS)
    assert desk.restarts_ns == died
    desk.programs = {"engine": program()}
    assert list(EngineProbe().look(desk, NOON_NS)) == []
    with writing(path) as connection, transaction(connection):
        entered = EnginePhase(at_ns=NOON_NS, phase="INIT", reason="", pid=9)
        put_phase(connection, "pitboss", entered)
    desk = refreshed(tmp_path)
    desk.programs = {"engine": program()}
    (trouble,) = EngineProbe().look(desk, NOON_NS)
    assert (trouble.kind, "3 times" in trouble.text) == ("engine_restarting", True)
    later_ns = NOON_NS + 700 * SECOND_NS
    desk.heartbeat = beat(-700)
    assert list(EngineProbe().look(desk, later_ns)) == [], "ten minutes later they are past"


def test_an_engine_that_did_not_start_after_a_reboot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_probe, "boot_ns", lambda: NOON_NS - 60 * SECOND_NS)
    gone = program("FATAL", pid=0)
    desk = seen(tmp_path, programs={"engine": gone}, heartbeat=beat(5_000))
    desk.began_ns = NOON_NS
    assert told(EngineProbe(), desk, 119) == []
    assert kinds(told(EngineProbe(), desk, 121)) == ["engine_not_started"]


def test_when_this_machine_was_started_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert engine_probe.boot_ns() > 0


# -- The other programs ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["worker", "dashboard", "demo"])
def test_a_program_that_is_down_for_twenty_seconds_is_told(tmp_path: Path, name: str) -> None:
    desk = seen(tmp_path, programs={name: program("FATAL", exit_code=4, description="gave up")})
    assert told(ProgramsProbe(), desk, 19) == []
    (trouble,) = told(ProgramsProbe(), desk, 21)
    assert trouble.kind == f"{name}_down"
    assert "exit code 4" in trouble.text


@pytest.mark.parametrize("asked", [False, True])
def test_a_program_in_a_crash_loop_is_told_though_it_is_never_away_for_long(
    tmp_path: Path, asked: bool
) -> None:
    probe, desk, found = ProgramsProbe(), seen(tmp_path), list[Trouble]()
    for number in range(4):
        assert found == []
        now_ns = NOON_NS + 60 * number * SECOND_NS
        desk.programs = {"worker": program(start_s=1_000 + 60 * number)}
        found = list(probe.look(desk, now_ns))
        if asked:
            desk.programs = {"worker": program("STOPPED", pid=0, start_s=1_000 + 60 * number)}
            assert list(probe.look(desk, now_ns + SECOND_NS)) == []
    assert (
        [one.text for one in found] == []
        if asked
        else ["the worker ended by itself and was started again 3 times within 10 minutes"]
    )
    assert kinds(found) == ([] if asked else ["worker_down"])


BACK_NS = 5 * 3_600 * SECOND_NS


def set_back(probe: object, desk: Desk, for_s: float) -> list[str]:
    """Look, set the clock back by five hours, and look for so long."""
    told(probe, desk, 1)
    return kinds(told(probe, desk, for_s, from_ns=NOON_NS - BACK_NS))


def test_a_clock_that_goes_back_hides_no_program_that_is_away_or_silent(tmp_path: Path) -> None:
    away = program("FATAL", pid=0)
    assert set_back(EngineProbe(), seen(tmp_path, programs={"engine": away}), 11) == ["engine_dead"]
    hung = seen(tmp_path, programs={"engine": program()}, heartbeat=beat(1))
    assert set_back(EngineProbe(), hung, 44) == []
    assert set_back(EngineProbe(), hung, 47) == ["engine_hung"]
    down = seen(tmp_path, programs={"worker": away})
    assert set_back(ProgramsProbe(), down, 21) == ["worker_down"]
    port = free_port()
    silent = seen(tmp_path, port=port, programs={"dashboard": program()})
    silent.began_ns = NOON_NS - 2 * BACK_NS
    assert set_back(DashboardProbe(), silent, 0) == ["dashboard_silent"]
    lost = seen(tmp_path, unreadable=Unreadable(kind="state_missing", text="gone"))
    assert set_back(StateProbe(), lost, 3) == ["state_missing"]


def test_a_clock_that_goes_back_makes_no_crash_loop_of_old_starts(tmp_path: Path) -> None:
    hour_ns = 3_600 * SECOND_NS
    desk = seen(tmp_path, programs={"engine": program()}, heartbeat=beat(1))
    desk.restarts_ns = tuple(NOON_NS - hour * hour_ns for hour in range(1, 4))
    desk.meta["engine starts"] = json.dumps(list(desk.restarts_ns))
    assert told(EngineProbe(), desk, 1) == []
    assert set_back(EngineProbe(), desk, 1) == []


def test_a_supervisor_that_ended_is_told_at_once(tmp_path: Path) -> None:
    assert kinds(told(ProgramsProbe(), seen(tmp_path, orphaned=True), 0)) == ["desk_gone"]


def test_a_supervisor_is_asked_at_each_turn() -> None:
    with TemporaryDirectory(prefix="pb") as folder:  # a socket's name has about a hundred bytes
        desk = seen(Path(folder))
        desk.refresh()
        assert desk.programs is None
        with supervised(desk.place.supervisor, engine="FATAL"):
            desk.refresh()
    found = desk.program("engine")
    assert found is not None
    assert (found.state, found.words) == ("FATAL", "gave up")


def test_a_dashboard_is_asked_for_its_health(tmp_path: Path, receiver: Receiver) -> None:
    desk = seen(tmp_path, port=receiver.port)
    assert told(DashboardProbe(), desk, 0) == []
    assert [path for path, _, _ in receiver.got] == ["/health"]
    receiver.status = 503
    (trouble,) = told(DashboardProbe(), desk, 0)
    assert (trouble.kind, "answered 503" in trouble.text) == ("dashboard_silent", True)
    receiver.stop()
    (trouble,) = told(DashboardProbe(), desk, 0)
    assert "refused" in trouble.text
    desk.began_ns = NOON_NS
    assert told(DashboardProbe(), desk, 0) == [], "one that starts is given a minute"
    desk.began_ns = 0
    for age_s, silent in ((30, []), (61, ["dashboard_silent"])):
        desk.programs = {"dashboard": program(start_s=NOON_NS // SECOND_NS - age_s)}
        assert kinds(told(DashboardProbe(), desk, 0)) == silent, "also one that is started again"


# -- The machine -----------------------------------------------------------------------------------


def machine(**given: object) -> MachineProbe:
    clock = WallClock(lambda: NOON_NS, lambda: 0)
    return MachineProbe(**({"clock": clock} | given))  # type: ignore[arg-type]


def statvfs(free: int, blocks: int = 1_000_000_000) -> Callable[[Path], os.statvfs_result]:
    return lambda _: os.statvfs_result((1, 1, blocks, free, free, 0, 0, 0, 0, 255))


def test_a_disk_without_room_is_full(tmp_path: Path) -> None:
    desk = seen(tmp_path)
    assert "disk_full" not in kinds(told(machine(statvfs=statvfs(300_000_000)), desk, 0))
    (trouble,) = told(machine(statvfs=statvfs(100_000_000)), desk, 0)
    assert "100.0 MB (10.0 %) are free" in trouble.text
    (trouble,) = told(machine(statvfs=statvfs(300_000_000, 10**12)), desk, 0)
    assert trouble.kind == "disk_full", "less than one percent"


def test_memory_that_is_short_for_half_a_minute_is_told(tmp_path: Path) -> None:
    file = tmp_path / "meminfo"
    file.write_text("MemTotal: 8000000 kB\nMemAvailable: 100000 kB\n")
    probe = machine(memory=file)
    assert told(probe, seen(tmp_path), 29) == []
    assert kinds(told(probe, seen(tmp_path), 31)) == ["memory"]
    assert told(machine(memory=tmp_path / "none"), seen(tmp_path)) == []


@pytest.mark.parametrize(("by_s", "said"), [(3_600, "forward by 3,600.0 s"), (-60, "back by 60.0")])
def test_a_clock_that_jumps_is_told_for_five_minutes(tmp_path: Path, by_s: int, said: str) -> None:
    wall = {"ns": NOON_NS}
    probe = machine(clock=WallClock(lambda: wall["ns"], lambda: 0))
    assert told(probe, seen(tmp_path), 3) == []
    wall["ns"] += by_s * SECOND_NS
    (trouble,) = told(probe, seen(tmp_path), 3)
    assert trouble.kind == "clock_jump"
    assert said in trouble.text
    assert told(probe, seen(tmp_path), 0, from_ns=NOON_NS + 400 * SECOND_NS) == []


# -- The state database ----------------------------------------------------------------------------


def refreshed(home: Path, meta: dict[str, str] | None = None) -> Desk:
    desk = seen(home)
    desk.meta = desk.meta if meta is None else meta
    desk.refresh()
    return desk


def test_a_state_that_is_there_is_read(tmp_path: Path) -> None:
    migrate(tmp_path / "pitboss.db")
    with writing(tmp_path / "pitboss.db") as connection, transaction(connection):
        row = EngineHeartbeat(
            state="RUNNING", heartbeat_ns=5, started_ns=1, pid=7, version="1", latched=False
        )
        put_engine(connection, "pitboss", row)
    desk = refreshed(tmp_path)
    assert desk.unreadable is None
    assert desk.heartbeat is not None
    assert (desk.heartbeat.pid, desk.heartbeat.heartbeat_ns) == (7, 5)
    assert json.loads(desk.heartbeat.detail)["turns"] == 0
    assert told(StateProbe(), desk, 60) == []


def test_a_state_that_is_gone_damaged_or_locked_is_told_as_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "pitboss.db"
    assert kinds(told(StateProbe(), refreshed(tmp_path), 3)) == ["state_missing"]
    migrate(path)
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("PRAGMA locking_mode = EXCLUSIVE")
    holder.execute("BEGIN EXCLUSIVE")
    assert kinds(told(StateProbe(), refreshed(tmp_path), 3)) == ["state_locked"]
    holder.close()
    path.write_bytes(b"garbage" * 1_000)
    (trouble,) = told(StateProbe(), refreshed(tmp_path), 3)
    assert trouble.kind == "state_unreadable"
    assert "not a SQLite database" in trouble.text


def test_who_holds_the_write_lock_for_long_is_named(tmp_path: Path) -> None:
    path = tmp_path / "pitboss.db"
    migrate(path)
    text = (
        "import sqlite3, sys\n"
        f"c = sqlite3.connect({str(path)!r}, isolation_level=None)\n"
        "c.execute('BEGIN IMMEDIATE'); c.execute('CREATE TABLE t (x)'); print('', flush=True)\n"
        "input()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", text], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        desk = refreshed(tmp_path)
        assert desk.unreadable is None, "readers never wait for a writer"
        probe = StateProbe()
        assert told(probe, desk, 29) == []
        (trouble,) = told(probe, desk, 31)
        assert trouble.kind == "state_locked"
        assert f"process {holder.pid}" in trouble.text
        holder.communicate(b"\n")
    assert told(probe, desk, 60) == []


def test_a_desk_that_is_being_stopped_has_no_trouble_of_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Down:
        every_s = 1.0

        def look(self, desk: Desk, now_ns: int) -> Iterator[Trouble]:
            del desk, now_ns
            yield Trouble(kind="dashboard_down", text="it has ended")

    def shuts_down(*_: object, **__: object) -> None:
        raise SupervisorFault(SHUTTING_DOWN, "SHUTDOWN_STATE")

    monkeypatch.setattr(desk_module, "programs", shuts_down)
    desk = Watched(tmp_path / "home", probes={"down": Down()})
    desk.add_channel("phone")
    desk.turn(30)
    assert desk.sends.titles() == []
    desk.raise_("stop_unproven", "orders may be open")
    desk.turn(2)
    assert desk.sends.titles() == ["[CRITICAL] A stop is not proven"], "the engine's last word"
