from __future__ import annotations

import argparse
import json
import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from engine.cli import status
from engine.cli.status import SECOND_NS, describe, read
from engine.config import Config
from engine.domain.instruments import Mode
from engine.domain.orders import OrderState
from engine.errors import StorageError
from storage import schema
from storage.database import connect_writer
from storage.runs import Run, RunKind, RunStatus, save_run

NOW_NS = 1_776_081_600 * SECOND_NS


@pytest.fixture
def config(tmp_path: Path) -> Config:
    made = Config(home=tmp_path / "var")
    schema.migrate(made.state_path)
    return made


def insert(config: Config, table: str, **values: object) -> None:
    """Insert a row; columns that are not given get an empty value of their kind."""
    with closing(connect_writer(config.state_path)) as connection:
        columns = connection.execute(f"PRAGMA table_info({table})").fetchall()
        row = {
            name: values.get(name, default or ("" if "CHAR" in kind else 0))
            for _, name, kind, _, default, _ in columns
        }
        marks = ", ".join("?" * len(row))
        connection.execute(
            f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", tuple(row.values())
        )


def engine(config: Config, *, age_s: float, pid: int) -> None:
    at_ns = NOW_NS - int(age_s * SECOND_NS)
    insert(config, "engine_state", engine_id="e1", state="RUNNING", heartbeat_ns=at_ns, pid=pid)


def test_without_a_database_nothing_has_run_and_no_file_appears(tmp_path: Path) -> None:
    config = Config(home=tmp_path / "var")
    text = "\n".join(describe(read(config, NOW_NS)))
    assert "does not exist yet: nothing has run here" in text
    assert "no engine is running" in text
    assert not config.home.exists()


def test_empty_database_says_plainly_that_no_engine_is_running(config: Config) -> None:
    assert describe(read(config, NOW_NS)) == [
        f"database   {config.state_path}",
        "engine     no engine is running",
        "orders     none live, none unknown",
        "runs       none yet",
    ]


def test_fresh_heartbeat_of_a_living_process_is_a_running_engine(config: Config) -> None:
    engine(config, age_s=1.5, pid=os.getpid())
    found = read(config, NOW_NS)
    assert found.engines[0].running
    assert found.engines[0].heartbeat_age_s == 1.5
    assert not any("no engine is running" in line for line in describe(found))


def test_turns_of_all_seconds_stand_beside_the_heartbeat(config: Config) -> None:
    engine(config, age_s=1.5, pid=os.getpid())
    assert not read(config, NOW_NS).engines[0].turns
    detail = {"turns_measured": 1_200, "turn_p99_us_all": 512.5, "turn_us_max": 9_100}
    with closing(connect_writer(config.state_path)) as connection:
        connection.execute("UPDATE engine_state SET detail = ?", (json.dumps(detail),))
    line = "           turns: 99 of 100 within 0.51 ms, the longest 9.1 ms, of 1,200"
    assert line in describe(read(config, NOW_NS))


@pytest.mark.parametrize(("age_s", "living"), [(11.0, True), (1.0, False)])
def test_old_heartbeat_or_dead_process_is_no_running_engine(
    age_s: float, living: bool, config: Config
) -> None:
    nobody = 2**22 + 1  # beyond the largest pid of Linux
    engine(config, age_s=age_s, pid=os.getpid() if living else nobody)
    text = "\n".join(describe(read(config, NOW_NS)))
    assert "no engine is running" in text
    assert "e1 is gone: RUNNING, last heartbeat" in text


@pytest.mark.parametrize(("state", "how"), [("RUNNING", "silent"), ("STOPPED", "gone")])
def test_old_heartbeat_of_a_living_process_is_a_silent_engine(
    state: str, how: str, config: Config
) -> None:
    at_ns = time.time_ns()
    insert(config, "engine_state", engine_id="e1", state=state, heartbeat_ns=at_ns, pid=os.getpid())
    text = "\n".join(describe(read(config, at_ns + 12 * SECOND_NS)))
    assert f"e1 is {how}: {state}, last heartbeat 12.0 s ago" in text
    assert ("no engine is running" in text) is (how == "gone")


def test_orders_that_have_not_ended_are_counted_by_mode(config: Config) -> None:
    states = [OrderState.OPEN, OrderState.UNKNOWN, OrderState.FILLED, OrderState.CANCELLING]
    for number, state in enumerate(states):
        insert(config, "orders", engine_id="e1", account="a", id=number, mode="paper", state=state)
    insert(config, "orders", engine_id="e1", account="b", id=1, mode="demo", state="open")
    found = {orders.mode: (orders.live, orders.unknown) for orders in read(config, NOW_NS).orders}
    assert found == {Mode.PAPER: (3, 1), Mode.DEMO: (1, 0)}


def replay(started_ns: int, recording: str) -> Run:
    return Run(
        engine_id="replay",
        account="paper:replay",
        kind=RunKind.REPLAY,
        recording=recording,
        bot="b",
        strategy="market_maker",
        started_ns=started_ns,
        status=RunStatus.DONE,
        pnl_micro=1_250_000,
        orders=1_200,
        fills=30,
        digest="d1ge57",
    )


def test_a_bot_that_names_no_market_of_its_venue_is_shown(config: Config) -> None:
    engine(config, age_s=1, pid=os.getpid())
    why = "no such market listed by demo so far: demo:typo"
    insert(config, "bots", engine_id="e1", name="maker", unlisted=why)
    insert(config, "bots", engine_id="e1", name="other", unlisted="")
    seen = read(config, NOW_NS)
    assert seen.unlisted == {"maker": why}
    assert f"bot        maker: {why}" in describe(seen)


def test_last_run_is_the_one_started_last(config: Config) -> None:
    with closing(connect_writer(config.state_path)) as connection:
        save_run(connection, replay(NOW_NS, "/data/later"))
        save_run(connection, replay(NOW_NS - 1, "/data/earlier"))
    found = read(config, NOW_NS)
    assert found.runs == 2
    text = "\n".join(describe(found))
    assert "2, the last: replay 1 of later by market_maker, done" in text
    assert "started 2026-04-13T12:00:00" in text
    assert "orders 1,200   fills 30   PnL +1.2500   digest d1ge57" in text


def test_kill_latch_is_told(config: Config) -> None:
    config.kill_path.touch()
    assert any("KILL is set" in line for line in describe(read(config, NOW_NS)))


def test_foreign_schema_is_refused(config: Config) -> None:
    with closing(sqlite3.connect(config.state_path, isolation_level=None)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StorageError, match="9999"):
        read(config, NOW_NS)


def test_json_is_one_object(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    assert status.run(argparse.Namespace(json=True), config) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["exists"] is True
    assert found["engines"] == []
    assert found["last_run"] is None


def test_fills_that_failed_to_settle_are_told_by_account(config: Config) -> None:
    insert(config, "venue_heartbeats", engine_id="e1", account="real", mode="live")
    for number, state in enumerate(("confirmed", "failed", "confirmed", "matched")):
        insert(
            config, "fills", engine_id="e1", account="real", id=f"f{number}", mode="live",
            state=state,
        )  # fmt: skip
    text = "\n".join(describe(read(config, NOW_NS)))
    assert "ghosts     real: 1 of 4 fills (25.00 %) failed to settle and were reversed" in text


def test_an_engine_that_was_stopped_shows_what_its_stop_has_proved(config: Config) -> None:
    engine(config, age_s=90, pid=2**22 + 1)
    line = "           its stop: PROVEN: nothing of ours is open"
    for phase, is_shown in (("RUNNING", False), ("STOPPED", True), ("INIT", False)):
        said = line.partition("its stop: ")[2] if phase == "STOPPED" else ""
        insert(config, "engine_phases", engine_id="e1", phase=phase, reason=said, at_ns=NOW_NS)
        assert (line in describe(read(config, NOW_NS))) is is_shown
