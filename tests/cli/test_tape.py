"""`run --feed tape:PATH` as a program: what it tells, what it refuses, how it is stopped."""

from __future__ import annotations

import argparse
import gzip
import json
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.__main__ import main
from engine.cli.run import add_tape_arguments, tape_options
from engine.domain.commands import StopBot
from engine.domain.instruments import BotId
from engine.errors import ConfigError
from storage.commands import KILL_PROOF, STOP_PROOF, CommandState
from tests.lab.conftest import QUOTING, write_recording
from tests.live.programs import LONG_S, Programs
from tests.ports import free_port

BOT = "market_maker"
PARAMETERS = [word for key, value in QUOTING.items() for word in ("--param", f"{key}={value}")]


@pytest.fixture(scope="module")
def tape(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recording(tmp_path_factory.mktemp("tape") / "day.jsonl")


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Programs]:
    made = Programs(tmp_path / "home", free_port())
    made.home.mkdir()
    yield made
    made.end()


def play(programs: Programs, tape: Path, *words: str) -> subprocess.Popen[bytes]:
    return programs.start("run", "--feed", f"tape:{tape}", "--json", *PARAMETERS, *words)


def result(programs: Programs) -> dict[str, Any]:
    lines = (programs.home / "run.log").read_text().splitlines()
    return json.loads(next(line for line in lines if '"effects_digest"' in line))  # type: ignore[no-any-return]


def test_tape_is_played_whole_and_decides_what_the_replay_decides(
    programs: Programs, tape: Path
) -> None:
    assert play(programs, tape, "--speed", "max", "--verify").wait(LONG_S) == 0
    found = result(programs)
    assert found["same_as_replay"]
    assert found["whole"]
    assert found["orders"] > 10
    assert found["fills"] > 0
    modes = "SELECT DISTINCT account, mode FROM"
    for table in ("orders", "fills"):
        assert programs.rows(f"{modes} {table}") == [("paper", "paper")], table
    # Equity is sampled by the wall: a run as fast as it goes may end between two samples.
    assert programs.rows(f"{modes} equity") in ([], [("paper", "paper")])
    assert programs.count("orders") == found["orders"]
    assert programs.count("fills") == found["fills"]
    ((state, beat_ns),) = programs.rows("SELECT state, heartbeat_ns FROM engine_state")
    assert state == "STOPPED"
    assert abs(time.time_ns() - int(str(beat_ns))) < 60e9
    receipt = programs.receipt(STOP_PROOF)
    assert receipt is not None
    assert receipt.proven
    # Its home has a past now, and times of another year.
    assert play(programs, tape).wait(LONG_S) == 2
    assert "PITBOSS_HOME to a new folder" in (programs.home / "run.log").read_text()


def test_person_commands_a_tape_and_stops_it_in_the_middle(programs: Programs, tape: Path) -> None:
    engine = play(programs, tape, "--speed", "5")
    orders = "SELECT 1 FROM orders WHERE state = 'open'"
    programs.until(lambda: exists(programs) and programs.rows(orders), "an order rests")
    stopped = programs.command(StopBot(bot=BotId(BOT)))
    assert stopped.state is CommandState.DONE, stopped.answer
    assert "proven" in stopped.answer
    (programs.home / "KILL").touch()
    programs.until(lambda: proven(programs, KILL_PROOF), "the KILL is proven")
    engine.send_signal(signal.SIGTERM)
    assert engine.wait(LONG_S) == 0
    assert proven(programs, STOP_PROOF)
    assert not result(programs)["whole"]
    assert programs.live() == 0


def exists(programs: Programs) -> bool:
    connection = sqlite3.connect(programs.state)
    try:
        return bool(
            connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'orders'").fetchall()
        )
    finally:
        connection.close()


def proven(programs: Programs, what: str) -> bool:
    receipt = programs.receipt(what)
    return receipt is not None and receipt.proven


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--feed", "wire:x"], "--feed 'wire:x': write it as tape:PATH"),
        (["--feed", "tape:x", "--speed", "0"], "--speed '0': write max or a number"),
        (["--feed", "tape:x", "--speed", "nan"], "--speed 'nan': write max or a number"),
        (["--feed", "tape:x", "--cash", "none"], "--cash 'none'"),
    ],
)
def test_wrong_argument_is_named(words: list[str], sentence: str) -> None:
    parser = argparse.ArgumentParser()
    add_tape_arguments(parser)
    with pytest.raises(ConfigError, match=sentence):
        tape_options(parser.parse_args(words))


def test_a_count_below_zero_is_refused_by_the_parser(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    add_tape_arguments(parser)
    with pytest.raises(SystemExit):
        parser.parse_args(["--feed", "tape:x", "--events", "-1"])
    assert "--events: '-1' is not a whole number from 0" in capsys.readouterr().err


def test_torn_recording_is_played_to_the_tear_and_stopped_in_order(
    programs: Programs, tape: Path, tmp_path: Path
) -> None:
    whole = gzip.compress(tape.read_bytes())
    torn = tmp_path / "torn.jsonl.gz"
    torn.write_bytes(whole[: len(whole) // 2])
    assert play(programs, torn, "--speed", "max", "--verify").wait(LONG_S) == 3
    found = result(programs)
    assert not found["whole"]
    assert found["events"] > 100
    assert proven(programs, STOP_PROOF)
    assert "torn.jsonl.gz, line" in (programs.home / "run.log").read_text()


def test_recording_that_is_not_there_is_a_bad_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PITBOSS_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("engine.log.configure", lambda **_: None)
    assert main(["run", "--feed", f"tape:{tmp_path / 'nothing'}"]) == 3
    assert not (tmp_path / "home").exists()
