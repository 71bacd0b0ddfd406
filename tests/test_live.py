"""The live desk as processes: demo exchange and engine on a port of their own, KILL and crashes."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.domain.commands import AnyCommand, ReleaseLatch, ResumeBot, StartBot
from engine.domain.instruments import BotId
from engine.domain.orders import ORDER_ENDS
from storage.commands import ENDS, CommandState, LeftCommand, find, leave
from storage.database import connect_writer
from storage.live import KILL_PROOF, STOP_PROOF, Receipt, latest_found, latest_receipt
from storage.schema import migrate
from storage.settings import Saved, applied, save
from storage.users import ENGINE_ID

REPOSITORY = Path(__file__).resolve().parents[1]
BOT = BotId("maker")
DOCUMENT = {
    "accounts": {
        "demo": {"name": "demo", "venue": "demo", "mode": "demo", "starting_cash": 10_000.0}
    },
    "bots": {
        BOT: {
            "name": BOT,
            "strategy": "market_maker",
            "account": "demo",
            "capital": 5_000.0,
            "series": ["btc-updown-5m"],
            "instruments": ["demo:rate-cut-by-march-1"],
            "parameters": {
                "fair": "microprice",
                "sigma_warm_s": 0.5,
                "stop_before_close_s": 0.0,
                "price_min": 0.01,
                "price_max": 0.99,
                "event_jump_ticks": 0.0,
                "size_shares": 10.0,
            },
        }
    },
}


class Programs:
    """The programs of one home, each ended by its own process id."""

    def __init__(self, home: Path, port: int) -> None:
        self.home = home
        self.port = port
        self.state = home / "pitboss.db"
        self.commands = 0
        self.running: list[subprocess.Popen[bytes]] = []

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "PITBOSS_HOME": str(self.home)}
        with (self.home / f"{words[0]}.log").open("ab") as log:
            program = subprocess.Popen(
                [sys.executable, "-m", "engine", *words],
                cwd=REPOSITORY,
                env=environment,
                stdout=log,
                stderr=log,
            )
        self.running.append(program)
        return program

    def demo(self) -> subprocess.Popen[bytes]:
        program = self.start("demo", "--port", str(self.port))
        self.until(lambda: answers(self.port), "the demo exchange listens")
        return program

    def engine(self) -> subprocess.Popen[bytes]:
        return self.start("run", "--demo", f"http://127.0.0.1:{self.port}")

    def command(self, command: AnyCommand) -> LeftCommand:
        """Leave a command as a page does, and wait for its answer."""
        connection = connect_writer(self.state)
        try:
            self.commands += 1
            left = leave(
                connection,
                engine_id=ENGINE_ID,
                id=f"test-{self.commands}",
                command=command,
                who="test",
                now_ns=time.time_ns(),
                ttl_ns=60_000_000_000,
            )

            def answered() -> bool:
                nonlocal left
                left = find(connection, ENGINE_ID, left.id) or left
                return left.state in ENDS

            self.until(answered, f"{type(command).__name__} is answered")
            return left
        finally:
            connection.close()

    def until(self, true: Callable[[], object], what: str, seconds: float = 40.0) -> None:
        end = time.monotonic() + seconds
        while not true():
            if time.monotonic() > end:
                logs = "\n".join(p.read_text()[-3_000:] for p in self.home.glob("*.log"))
                pytest.fail(f"not within {seconds} s: {what}\n{logs}")
            time.sleep(0.02)

    def rows(self, sql: str) -> list[tuple[object, ...]]:
        connection = sqlite3.connect(f"file:{self.state}?mode=ro", uri=True)
        try:
            return connection.execute(sql).fetchall()
        finally:
            connection.close()

    def receipt(self, what: str) -> Receipt | None:
        connection = sqlite3.connect(f"file:{self.state}?mode=ro", uri=True)
        try:
            return latest_receipt(connection, ENGINE_ID, what)
        finally:
            connection.close()

    def live(self) -> int:
        ends = ", ".join(f"'{end}'" for end in ORDER_ENDS)
        return int(str(self.rows(f"SELECT count(*) FROM orders WHERE state NOT IN ({ends})")[0][0]))

    def count(self, table: str) -> int:
        return int(str(self.rows(f"SELECT count(*) FROM {table}")[0][0]))

    def end(self) -> None:
        for program in reversed(self.running):
            if program.poll() is None:
                program.send_signal(signal.SIGKILL)
            program.wait(10)


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def prepare(state: Path) -> None:
    """Migrate, save settings, and leave the start of the bot."""
    migrate(state)
    connection = connect_writer(state)
    try:
        saved = save(
            connection, engine_id=ENGINE_ID, who="test", diff=DOCUMENT, base_version=0, now_ns=1
        )
        assert isinstance(saved, Saved)
        applied(connection, ENGINE_ID, saved.version, 1)
    finally:
        connection.close()


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Programs]:
    made = Programs(tmp_path, free_port())
    prepare(made.state)
    yield made
    made.end()


def test_desk_trades_survives_a_crash_and_proves_its_kill(programs: Programs) -> None:
    programs.demo()
    engine = programs.engine()
    assert programs.command(StartBot(bot=BOT)).state is CommandState.DONE
    programs.until(lambda: programs.live() > 0, "an order rests")

    engine.kill()
    engine.wait(10)
    before = programs.count("orders")
    engine = programs.engine()
    programs.until(lambda: programs.count("orders") > before, "it trades again by itself")
    connection = sqlite3.connect(programs.state)
    found = latest_found(connection, ENGINE_ID)
    connection.close()
    assert found is not None
    assert found["bots"] == {BOT: "starting"}
    assert found["records"] > 0
    programs.until(lambda: programs.live() > 0, "an order rests")

    engine.send_signal(signal.SIGUSR1)
    programs.until(lambda: programs.receipt(KILL_PROOF), "a receipt of the KILL")
    programs.until(
        lambda: (receipt := programs.receipt(KILL_PROOF)) and receipt.proven, "the KILL is proven"
    )
    assert (programs.home / "KILL").exists()
    programs.until(lambda: programs.live() == 0, "every order has its end in the projection")
    refused = programs.command(ResumeBot(bot=BOT))
    assert (refused.state, "latch is set" in refused.answer) == (CommandState.REFUSED, True)
    assert programs.command(ReleaseLatch(reason=" ")).state is CommandState.REFUSED
    assert programs.start("command", "release-latch", "reason=tested").wait(40) == 0
    assert not (programs.home / "KILL").exists()
    assert programs.command(ResumeBot(bot=BOT)).state is CommandState.DONE
    programs.until(lambda: programs.live() > 0, "an order rests again")

    engine.send_signal(signal.SIGTERM)
    assert engine.wait(40) == 0
    receipt = programs.receipt(STOP_PROOF)
    assert receipt is not None
    assert receipt.proven
    assert programs.live() == 0


def test_kill_without_an_engine_is_the_engine(programs: Programs) -> None:
    programs.demo()
    engine = programs.engine()
    assert programs.command(StartBot(bot=BOT)).state is CommandState.DONE
    programs.until(lambda: programs.live() > 0, "an order rests")
    engine.kill()
    engine.wait(10)

    assert programs.start("kill", "--demo", f"http://127.0.0.1:{programs.port}").wait(40) == 0
    receipt = programs.receipt(KILL_PROOF)
    assert receipt is not None
    assert receipt.proven
    assert programs.live() == 0
    assert (programs.home / "KILL").exists()


def test_second_engine_is_refused(programs: Programs) -> None:
    first = programs.engine()
    programs.until(lambda: programs.rows("SELECT 1 FROM engine_state"), "the first one lives")
    assert programs.engine().wait(40) == 4
    assert first.poll() is None
