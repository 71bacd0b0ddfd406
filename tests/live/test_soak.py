"""Kill -9 at random moments while trading: the exchange's own ledger is the judge."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.domain.commands import StartBot
from storage import supervisor
from storage.commands import STOP_PROOF, CommandState
from tests.live.programs import BOT, Programs, answers, check_books, prepare
from tests.ports import free_port

KILLS = 20


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Programs]:
    made = Programs(tmp_path, free_port())
    prepare(made.state)
    yield made
    made.end()


@pytest.mark.soak
@pytest.mark.parametrize("seed", [1, 2])
def test_nothing_is_lost_doubled_or_left_behind(programs: Programs, seed: int) -> None:
    chance = random.Random(seed)
    demo, engine = programs.demo(), programs.engine()
    assert programs.command(StartBot(bot=BOT)).state is CommandState.DONE
    programs.until(lambda: programs.live() > 0, "an order rests")
    for turn in range(KILLS):
        time.sleep(chance.uniform(0.2, 5.0))
        victim = engine if turn % 2 else demo
        victim.kill()
        victim.wait(150)
        if victim is engine:
            engine = programs.engine()
        else:
            demo = programs.demo()
        orders = programs.count("orders")
        programs.until(lambda seen=orders: programs.count("orders") > seen, "it trades again", 90.0)
    time.sleep(6)  # settlements end
    engine.terminate()
    assert engine.wait(150) == 0
    receipt = programs.receipt(STOP_PROOF)
    assert receipt is not None
    assert receipt.proven, receipt.sentence()
    time.sleep(8)  # the exchange settles the last fills
    check_books(programs)


SUPERVISED = ("engine", "demo", "dashboard", "worker")


@pytest.fixture
def desk() -> Iterator[Programs]:
    """A home of a short name: the supervisor's socket is in it."""
    home = Path(tempfile.mkdtemp(prefix="pb"))
    made = Programs(home, free_port())
    prepare(made.state)
    yield made
    for program in made.running:
        if "up" in list(program.args) and program.poll() is None:  # type: ignore[arg-type]
            program.terminate()  # it ends its programs
            program.wait(120)
    made.end()
    shutil.rmtree(home)


def pid_of(programs: Programs, name: str) -> int:
    """The process of a program as its supervisor has it; 0 = it does not run."""
    try:
        found = supervisor.program(supervisor.socket_in(programs.home / "run"), name)
    except supervisor.FAILURES:
        return 0
    return found.pid if found.state == supervisor.RUNNING else 0


def trades(programs: Programs) -> None:
    orders = programs.count("orders")
    programs.until(lambda: programs.count("orders") > orders, "it trades again", 90.0)


def up(programs: Programs, dashboard: int) -> subprocess.Popen[bytes]:
    made = programs.start("up", "--port", str(dashboard), "--demo-port", str(programs.port))
    for name in SUPERVISED:
        programs.until(lambda name=name: pid_of(programs, name), f"{name} runs", 120.0)
    programs.until(lambda: answers(dashboard), "the dashboard answers", 120.0)
    return made


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.soak
@pytest.mark.timeout(2_700)
def test_each_program_is_killed_twenty_times_and_the_ledger_agrees(desk: Programs) -> None:
    chance, dashboard = random.Random(3), free_port()
    whole = up(desk, dashboard)
    assert desk.command(StartBot(bot=BOT)).state is CommandState.DONE
    desk.until(lambda: desk.live() > 0, "an order rests")
    back: dict[str, list[float]] = {name: [] for name in SUPERVISED}
    victims = [name for name in SUPERVISED for _ in range(KILLS)]
    chance.shuffle(victims)
    for name in victims:
        time.sleep(chance.uniform(0.1, 2.0))
        pid = pid_of(desk, name)
        desk.until(lambda name=name: pid_of(desk, name), f"{name} runs", 120.0)
        pid = pid_of(desk, name)
        os.kill(pid, signal.SIGKILL)
        began = time.monotonic()
        desk.until(lambda n=name, p=pid: pid_of(desk, n) not in (0, p), f"{name} is back", 120.0)
        back[name].append(time.monotonic() - began)
        if name in ("engine", "demo"):
            trades(desk)
    for name, times in back.items():
        print(f"\n{name}: {len(times)} x kill -9, running again after {max(times):.1f} s at most")
    stopped_with_proof(desk, whole)


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_programs_of_a_dead_supervisor_end_and_the_next_start_accounts_for_all(
    desk: Programs,
) -> None:
    for _ in range(3):
        whole = up(desk, free_port())
        desk.command(StartBot(bot=BOT))  # refused where it goes on by itself
        desk.until(lambda: desk.live() > 0, "an order rests", 90.0)
        engine, page = pid_of(desk, "engine"), pid_of(desk, "dashboard")
        began, began_ns = time.monotonic(), time.time_ns()
        whole.kill()
        whole.wait(10)
        desk.until(lambda pid=engine: gone(pid), "the engine stops with its parent", 60.0)
        took = time.monotonic() - began
        receipt = desk.receipt(STOP_PROOF)
        assert receipt is not None
        assert receipt.reported_ns > began_ns
        # The exchange ends with its parent, too: what nobody can answer must not be claimed.
        assert receipt.proven or "listings" in receipt.sentence()
        print(f"\nsupervisor killed: the engine ended after {took:.1f} s: {receipt.sentence()}")
        desk.until(lambda: not answers(desk.port), "the exchange ends, too", 60.0)
        os.kill(page, signal.SIGKILL)  # the dashboard holds nothing and asks nobody
    whole = up(desk, free_port())
    trades(desk)
    stopped_with_proof(desk, whole)


def stopped_with_proof(desk: Programs, whole: subprocess.Popen[bytes]) -> None:
    time.sleep(8)  # settlements end
    whole.terminate()
    assert whole.wait(150) == 0
    receipt = desk.receipt(STOP_PROOF)
    assert receipt is not None
    assert receipt.proven, receipt.sentence()
    desk.demo()
    time.sleep(8)  # the exchange settles the last fills
    check_books(desk)
