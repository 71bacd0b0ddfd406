"""The live desk as processes: demo exchange and engine on a port of their own, KILL and crashes."""

from __future__ import annotations

import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.domain.commands import ReleaseLatch, ResumeBot, StartBot
from storage.commands import CommandState
from storage.live import KILL_PROOF, STOP_PROOF, latest_found
from storage.users import ENGINE_ID
from tests.live_programs import BOT, Programs, free_port, prepare


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
