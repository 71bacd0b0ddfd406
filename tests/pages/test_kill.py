from __future__ import annotations

import os
import sqlite3
import time

import pytest

from engine.config import Config
from engine.domain.commands import Kill
from pages.frame.kill import KillResponse, kill
from storage import supervisor
from storage.commands import find
from storage.database import reading
from storage.latch import read_latch
from storage.supervisor import SupervisorFault
from tests.pages.conftest import Supervise


def told(receipt: KillResponse) -> dict[str, tuple[bool, str]]:
    return {step.name: (step.done, step.text) for step in receipt.steps}


def test_without_an_engine_the_latch_is_set_and_the_rest_is_told(config: Config) -> None:
    receipt = kill(config, "ann", 5)
    assert read_latch(config.kill_path).who == "ann"  # type: ignore[union-attr]
    shown = told(receipt)
    assert [step.name for step in receipt.steps] == ["latch", "signal", "command"]
    assert shown["latch"][0]
    assert not shown["signal"][0]
    assert "no supervisor runs here" in shown["signal"][1]
    assert shown["command"][0]
    with reading(config.state_path) as connection:
        left = find(connection, "pitboss", receipt.command)
    assert left is not None
    assert (left.command, left.who) == (Kill(), "ann")


def test_a_running_engine_gets_the_signal(config: Config, supervise: Supervise) -> None:
    server = supervise("RUNNING")
    assert told(kill(config, "ann", 5))["signal"] == (True, "USR1 sent to the engine")
    assert server.asked == [("signalProcess", "engine", "USR1")]


def test_a_dead_engine_is_replaced_by_the_program_kill(
    config: Config, supervise: Supervise
) -> None:
    server = supervise("STOPPED")
    done, text = told(kill(config, "ann", 5))["signal"]
    assert done
    assert "program kill was started" in text
    assert server.asked[-1] == ("startProcess", "kill", False)


def test_another_fault_is_told_as_it_is(config: Config, supervise: Supervise) -> None:
    supervise("RUNNING").fault = SupervisorFault(supervisor.BAD_NAME, "BAD_NAME: engine")
    assert told(kill(config, "ann", 5))["signal"] == (False, "NOT SENT: BAD_NAME: engine")


def test_a_dead_socket_is_told(config: Config) -> None:
    config.run_folder.mkdir(parents=True, exist_ok=True)
    (config.run_folder / "supervisor.sock").touch()
    done, text = told(kill(config, "ann", 5))["signal"]
    assert not done
    assert "did not answer" in text


def test_a_locked_database_neither_stops_nor_slows_kill(config: Config) -> None:
    blocker = sqlite3.connect(config.state_path, isolation_level=None)
    blocker.execute("BEGIN EXCLUSIVE")
    try:
        began = time.monotonic()
        receipt = kill(config, "ann", 5)
        took = time.monotonic() - began
    finally:
        blocker.execute("ROLLBACK")
        blocker.close()
    assert read_latch(config.kill_path) is not None
    done, text = told(receipt)["command"]
    assert not done
    assert "locked by another process" in text
    assert took < 5


def test_a_missing_database_does_not_stop_kill_and_is_not_created(config: Config) -> None:
    config.state_path.unlink()
    receipt = kill(config, "ann", 5)
    assert told(receipt)["latch"][0]
    assert "NOT QUEUED" in told(receipt)["command"][1]
    assert not config.state_path.exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_disk_that_refuses_the_latch_is_told_as_not_set(config: Config) -> None:
    config.home.chmod(0o500)
    try:
        receipt = kill(config, "ann", 5)
    finally:
        config.home.chmod(0o700)
    assert not told(receipt)["latch"][0]


def test_a_latch_that_cannot_be_written_does_not_stop_the_signal(config: Config) -> None:
    config.kill_path.mkdir()
    receipt = kill(config, "ann", 5)
    assert len(receipt.steps) == 3
