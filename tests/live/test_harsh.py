"""KILL when things are bad: hung loops, dead engines, locked databases, full disks. Each is timed.

The short forms keep to a desk of their own; the long ones are soak.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Self

import msgspec
import pytest

from engine.__main__ import FENCED, STORAGE_REFUSED
from engine.domain.commands import ReleaseLatch, ResumeBot, StartBot
from engine.domain.effects import PlaceOrder
from engine.errors import PitbossError
from engine.live.kill import HUNG, HUNG_S
from engine.venues.demo.client import DemoVenue
from storage.commands import KILL_PROOF, CommandState, Receipt
from storage.database import connect_writer
from storage.latch import read_latch, set_latch
from storage.settings import Saved, applied, save
from storage.users import ENGINE_ID
from tests.live.programs import (
    ACCOUNT,
    BOT,
    LONG_S,
    REPOSITORY,
    Programs,
    answers,
    check_books,
    ledger_of_the_exchange,
)
from tests.live.programs import prepare as prepare_state
from tests.ports import free_port

HANGING = """
import re, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
from pathlib import Path
from engine.strategies.market_maker.strategy import MarketMaker
from engine.strategies.registry import STRATEGIES

class Hanging(MarketMaker):
    name = "hanging"
    def evaluate(self, context, now_ns):
        while True:
            try:
                while Path(sys.argv[1]).exists():
                    if "deaf" in sys.argv[1]:
                        re.match("(a+)+$", "a" * 64 + "b")  # never gives the lock away
                break
            except BaseException:  # it catches even what would interrupt it
                continue
        return super().evaluate(context, now_ns)

STRATEGIES["hanging"] = Hanging
from engine.__main__ import main
sys.exit(main(sys.argv[2:]))
"""


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Programs]:
    """One home for all short forms: an engine that lives is not started again."""
    made = Programs(tmp_path_factory.mktemp("desk"), free_port())
    prepare_state(made.state)
    yield made
    made.end()


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Programs]:
    made = Programs(tmp_path, free_port())
    prepare_state(made.state)
    yield made
    made.end()


def trading(programs: Programs) -> subprocess.Popen[bytes]:
    """See that demo exchange and engine run and that an order rests; give the engine."""
    if not answers(programs.port):
        programs.demo()
    engine = living_engine(programs) or programs.engine()
    if (programs.home / "KILL").exists():
        programs.until(lambda: released(programs), "the latch is released")
    if programs.command(StartBot(bot=BOT)).state is not CommandState.DONE:
        programs.command(ResumeBot(bot=BOT))
    programs.until(lambda: programs.live() > 0, "an order rests")
    return engine


def living_engine(programs: Programs) -> subprocess.Popen[bytes] | None:
    living = [one for one in programs.running if one.poll() is None and "run" in list(one.args)]  # type: ignore[arg-type]
    return living[-1] if living else None


def released(programs: Programs) -> bool:
    return programs.command(ReleaseLatch(reason="tested")).state is CommandState.DONE


class Watch:
    """Looks at the exchange's own open orders all the time, from beside."""

    def __init__(self, port: int) -> None:
        self.seen: list[tuple[float, frozenset[int]]] = []
        self._url = f"http://127.0.0.1:{port}"
        self._over = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._look()), daemon=True)

    async def _look(self) -> None:
        venue = DemoVenue(self._url, ACCOUNT)
        try:
            while not self._over.is_set():
                try:
                    orders = (await venue.open_orders()).orders
                except PitbossError:
                    continue
                numbers = frozenset(int(one.order) for one in orders if one.order is not None)
                self.seen.append((time.monotonic(), numbers))
                await asyncio.sleep(0.01)
        finally:
            await venue.close()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(10)

    def empty_after(self, began: float) -> float | None:
        """Seconds from `began` until the exchange had no order of ours any more."""
        after = [(at, orders) for at, orders in self.seen if at >= began]
        full = [at for at, orders in after if orders]
        empty = [at for at, orders in after if not orders and (not full or at > full[-1])]
        return empty[0] - began if empty else None

    def orders(self, since: float = 0.0) -> set[int]:
        return {number for at, numbers in self.seen if at >= since for number in numbers}


def journaled(home: Path) -> set[int]:
    """The orders whose names stand in the journal."""
    with closing(sqlite3.connect(f"file:{home / 'journal.db'}?mode=ro", uri=True)) as connection:
        rows = connection.execute("SELECT body FROM records WHERE kind = 'PlaceOrder'").fetchall()
    placed = [msgspec.msgpack.decode(body, type=PlaceOrder) for (body,) in rows]
    named = {int(one.order.id) for one in placed if one.identity is not None}
    assert named, "an order rested: no name at all means that nothing was read"
    return named


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the database's write lock, as another program would."""
    with closing(sqlite3.connect(path, isolation_level=None, timeout=10)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        yield
        connection.execute("ROLLBACK")


def proven(programs: Programs, since_ns: int) -> Receipt | None:
    receipt = programs.receipt(KILL_PROOF)
    fresh = receipt is not None and receipt.proven and receipt.latched_ns >= since_ns
    return receipt if fresh else None


def kill_while_locked(
    programs: Programs,
    engine: subprocess.Popen[bytes],
    name: str,
    s: float,
    *,
    within_s: float = LONG_S,
) -> None:
    """Lock a database, KILL, let go when nothing rests, after `s` at the earliest; tell the times.

    Only the long runs have the machine for themselves and hold the KILL to a time.
    """
    since_ns = time.time_ns()
    with Watch(programs.port) as watch:
        with locked(programs.home / name):
            named, at_lock = journaled(programs.home), time.monotonic()
            time.sleep(s / 2)
            at_kill = time.monotonic()
            engine.send_signal(signal.SIGUSR1)
            until_empty = emptied(programs, watch, at_kill)
            time.sleep(max(0.0, at_lock + s - time.monotonic()))
        at_free = time.monotonic()
        programs.until(lambda: proven(programs, since_ns), "the KILL is proven")
        took = time.monotonic() - at_free
    print(
        f"\n{name} locked for {s:g} s: nothing of ours at the exchange {1000 * until_empty:.0f} ms "
        f"after the signal, PROVEN {took:.2f} s after the lock was gone"
    )
    assert until_empty < within_s
    assert engine.poll() is None
    if name != "journal.db":
        named = journaled(programs.home)
    # With the journal locked no name can be written down: no order may leave.
    assert watch.orders(at_lock) <= named


def emptied(programs: Programs, watch: Watch, began: float) -> float:
    """Wait until the exchange has no order of ours; seconds from `began` until it had none."""
    programs.until(lambda: watch.empty_after(began) is not None, "the exchange has none of ours")
    return watch.empty_after(began) or 0.0


def again(programs: Programs) -> None:
    """Release the latch and trade on."""
    assert released(programs)
    assert programs.command(ResumeBot(bot=BOT)).state is CommandState.DONE
    programs.until(lambda: programs.live() > 0, "an order rests again")


def stop(programs: Programs, engine: subprocess.Popen[bytes]) -> None:
    time.sleep(4)  # settlements end
    engine.terminate()
    assert engine.wait(LONG_S) == 0
    time.sleep(4)
    check_books(programs)


def test_locked_state_delays_no_kill(programs: Programs) -> None:
    kill_while_locked(programs, trading(programs), "pitboss.db", 1.0)


def test_locked_journal_delays_no_kill_and_lets_no_order_out(programs: Programs) -> None:
    kill_while_locked(programs, trading(programs), "journal.db", 1.0)


@pytest.mark.soak
def test_databases_locked_for_ten_seconds_lose_nothing(alone: Programs) -> None:
    engine = trading(alone)
    for name in ("pitboss.db", "journal.db"):
        kill_while_locked(alone, engine, name, 10.0, within_s=1.0)
        again(alone)
        time.sleep(3)
        assert engine.poll() is None
    stop(alone, engine)


@pytest.mark.long
def test_hung_engine_is_ended_and_its_successor_proves(alone: Programs, tmp_path: Path) -> None:
    use_strategy(alone, "hanging")
    flag = tmp_path / "hang"
    alone.demo()
    words = (str(flag), "run", "--demo", f"http://127.0.0.1:{alone.port}")
    engine = hanging(alone, words)
    assert alone.command(StartBot(bot=BOT)).state is CommandState.DONE
    alone.until(lambda: alone.live() > 0, "an order rests")
    flag.touch()
    alone.until(lambda: silent(alone), "its loop hangs")
    since_ns, began = time.time_ns(), time.monotonic()
    engine.send_signal(signal.SIGUSR1)
    assert engine.wait(LONG_S) == HUNG
    ended = time.monotonic() - began
    latch = read_latch(alone.home / "KILL")
    assert latch is not None
    assert latch.who == "signal"
    assert "did not take the KILL latch" in (alone.home / "run" / "last_error").read_text()
    hanging(alone, words)  # the supervisor's part; the strategy would still hang
    alone.until(lambda: proven(alone, since_ns), "the KILL is proven")
    print(
        f"\nhung engine: latch durable {(latch.at_ns - since_ns) / 1e6:.0f} ms and process ended "
        f"{1000 * ended:.0f} ms after the signal, PROVEN {time.monotonic() - began:.2f} s after it"
    )
    alone.until(lambda: alone.live() == 0, "every order has its end in the projection")


def test_dead_engine_is_replaced_by_kill(programs: Programs) -> None:
    engine = trading(programs)
    engine.kill()
    engine.wait(150)
    assert programs.live() > 0
    since_ns, began = time.time_ns(), time.monotonic()
    killer = programs.start("kill", "--demo", f"http://127.0.0.1:{programs.port}")
    with Watch(programs.port) as watch:
        assert killer.wait(LONG_S) == 0
    receipt = proven(programs, since_ns)
    assert receipt is not None
    until_empty = watch.empty_after(began)
    print(
        f"\ndead engine: exchange empty {until_empty or 0:.2f} s and PROVEN "
        f"{(receipt.reported_ns - since_ns) / 1e9:.2f} s after `engine kill` was started"
    )


def test_frozen_engine_is_cancelled_for_from_beside_and_never_called_proven(
    programs: Programs,
) -> None:
    """Stopped by SIGSTOP it holds the lock and receives nothing; woken it proves."""
    engine = trading(programs)
    since_ns = time.time_ns()
    engine.send_signal(signal.SIGSTOP)
    url = f"http://127.0.0.1:{programs.port}"
    killer = programs.start("kill", "--demo", url, "--wait", "0.5")
    try:
        assert killer.wait(LONG_S) == STORAGE_REFUSED
        said = (programs.home / "kill.log").read_text()
        assert "it may be frozen" in said
        assert "NOT PROVEN" in said
        assert asyncio.run(ledger_of_the_exchange(programs.port))[2] == 0
        assert proven(programs, since_ns) is None
    finally:
        engine.send_signal(signal.SIGCONT)

    def receipt() -> Receipt | None:
        # Frozen for longer than its hang timer it ends at once; the supervisor's part is ours.
        if living_engine(programs) is None:
            programs.engine()
        return proven(programs, since_ns)

    programs.until(receipt, "the KILL is proven")


def test_engine_that_another_took_over_from_ends_and_leaves_its_orders_alone(
    alone: Programs,
) -> None:
    """Its lock file was deleted, and a second one started."""
    first = trading(alone)
    (alone.home / "run" / "engine.lock").unlink()
    second = alone.engine()
    assert first.wait(LONG_S) == FENCED
    assert "of this engine has taken the lease" in (alone.home / "run.log").read_text()
    ended_ns = time.time_ns()
    young = f"SELECT count(*) FROM orders WHERE created_ns > {ended_ns} AND state = 'open'"
    alone.until(lambda: alone.rows(young)[0][0], "the second one trades")
    with Watch(alone.port) as watch:
        alone.until(lambda: len(watch.seen) > 100, "the exchange was looked at")
    assert all(numbers for _, numbers in watch.seen), "somebody cancelled what the second one has"
    stop(alone, second)


def test_start_after_a_death_by_the_timer_cancels_and_waits_for_a_person(alone: Programs) -> None:
    engine = trading(alone)
    engine.kill()
    engine.wait(150)
    (alone.home / "run" / "deaf").write_text("Timeout (0:00:10)!\n")
    since_ns = time.time_ns()
    alone.engine()
    alone.until(lambda: proven(alone, since_ns), "the KILL is proven")
    latch = read_latch(alone.home / "KILL")
    assert latch is not None
    assert latch.who == "hang timer"
    assert "Timeout (0:00:10)!" in (alone.home / "run.log").read_text()


def test_healthy_engine_cancels_at_once(programs: Programs) -> None:
    kill_healthy(programs, trading(programs), times=1, within_ms=1_000 * LONG_S)


@pytest.mark.soak
def test_healthy_engine_cancels_at_once_every_time(alone: Programs) -> None:
    engine = trading(alone)
    kill_healthy(alone, engine, times=20, within_ms=500)
    stop(alone, engine)


def kill_healthy(
    programs: Programs, engine: subprocess.Popen[bytes], *, times: int, within_ms: float
) -> None:
    firsts, empties, proofs = [], [], []
    for turn in range(times):
        if turn:
            again(programs)
        since_ns, began = time.time_ns(), time.monotonic()
        with Watch(programs.port) as watch:
            engine.send_signal(signal.SIGUSR1)
            programs.until(lambda since=since_ns: proven(programs, since), "the KILL is proven")
        receipt = proven(programs, since_ns)
        assert receipt is not None
        assert receipt.first_cancel_ns is not None
        firsts.append((receipt.first_cancel_ns - since_ns) / 1e6)
        proofs.append((receipt.reported_ns - since_ns) / 1e9)
        empties.append(1000 * (watch.empty_after(began) or 0))
    print(
        f"\nhealthy engine, worst of {times}: signal → first cancel {max(firsts):.1f} ms, nothing "
        f"of ours at the exchange {max(empties):.0f} ms, PROVEN {max(proofs):.2f} s"
    )
    assert max(firsts) < within_ms


DISK_BYTES = 24 * 1024 * 1024


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Programs]:
    """A home on a disk of its own, small enough to be filled."""
    home = tmp_path / "disk"
    home.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(home)]
    if (
        sys.platform != "linux"
        or subprocess.run(mount, check=False, capture_output=True).returncode
    ):
        pytest.skip("a disk of its own cannot be mounted here: run as root on Linux")
    made = Programs(home, free_port())
    made.venue_home = tmp_path
    prepare_state(made.state)
    yield made
    made.end()
    subprocess.run(["umount", str(home)], check=True)


def fill(home: Path) -> Path:
    """Write until the disk takes nothing more."""
    path = home / "ballast"
    with path.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    return path


def kill_on_a_full_disk(
    programs: Programs, engine: subprocess.Popen[bytes], seconds: float
) -> None:
    since_ns = time.time_ns()
    with Watch(programs.port) as watch:
        ballast = fill(programs.home)
        time.sleep(seconds / 2)
        named, at_kill = journaled(programs.home), time.monotonic()
        engine.send_signal(signal.SIGUSR1)
        until_empty = emptied(programs, watch, at_kill)
        time.sleep(max(0.0, at_kill + seconds / 2 - time.monotonic()))
        assert (programs.home / "KILL").exists()
        assert engine.poll() is None
        during = watch.orders(at_kill)
        ballast.unlink()
        at_free = time.monotonic()
        programs.until(lambda: proven(programs, since_ns), "the KILL is proven")
        took = time.monotonic() - at_free
    print(
        f"\ndisk full for {seconds:g} s: nothing of ours at the exchange "
        f"{1000 * until_empty:.0f} ms after the signal, PROVEN {took:.2f} s after there was space"
    )
    assert during <= named
    assert watch.orders() <= journaled(programs.home)


def test_full_disk_delays_no_kill_and_the_engine_recovers(small: Programs) -> None:
    engine = trading(small)
    kill_on_a_full_disk(small, engine, 1.0)
    assert small.command(ReleaseLatch(reason="tested")).state is CommandState.DONE


@pytest.mark.soak
def test_disk_full_for_ten_seconds_loses_nothing(small: Programs) -> None:
    engine = trading(small)
    kill_on_a_full_disk(small, engine, 10.0)
    again(small)
    kill_on_a_full_disk(small, engine, 10.0)
    again(small)
    stop(small, engine)


@pytest.mark.soak
def test_loop_that_holds_the_interpreter_is_ended_and_its_successor_proves(
    alone: Programs, tmp_path: Path
) -> None:
    use_strategy(alone, "hanging")
    flag = tmp_path / "deaf"
    alone.demo()
    words = (str(flag), "run", "--demo", f"http://127.0.0.1:{alone.port}")
    engine = hanging(alone, words)
    assert alone.command(StartBot(bot=BOT)).state is CommandState.DONE
    alone.until(lambda: alone.live() > 0, "an order rests")
    flag.touch()
    alone.until(lambda: silent(alone), "its loop hangs")
    since_ns, began = time.time_ns(), time.monotonic()
    engine.send_signal(signal.SIGUSR1)
    set_latch(alone.home / "KILL", "page", since_ns)  # the dashboard writes the file first
    assert engine.wait(HUNG_S + 5) == 1
    print(f"\ndeaf engine: ended {time.monotonic() - began:.1f} s after the signal")
    hanging(alone, words)
    alone.until(lambda: proven(alone, since_ns), "the KILL is proven")
    assert "evaluate" in (alone.home / "run.log").read_text()


def silent(programs: Programs) -> bool:
    (beat,) = programs.rows("SELECT heartbeat_ns FROM engine_state")[0]
    return time.time_ns() - int(str(beat)) > 2_000_000_000


def hanging(programs: Programs, words: tuple[str, ...]) -> subprocess.Popen[bytes]:
    """Start an engine that knows a strategy which loops for ever while a file is there."""
    with (programs.home / "run.log").open("ab") as log:
        program = subprocess.Popen(
            [sys.executable, "-c", HANGING, *words],
            cwd=REPOSITORY,
            env={**os.environ, "PITBOSS_HOME": str(programs.home)},
            stdout=log,
            stderr=log,
        )
    programs.running.append(program)
    return program


def use_strategy(programs: Programs, name: str) -> None:
    with closing(connect_writer(programs.state)) as connection:
        saved = save(
            connection,
            engine_id=ENGINE_ID,
            who="test",
            diff={"bots": {BOT: {"strategy": name}}},
            base_version=1,
            now_ns=2,
        )
        assert isinstance(saved, Saved)
        applied(connection, ENGINE_ID, saved.version, 2)
