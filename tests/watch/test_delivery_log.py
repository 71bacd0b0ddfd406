"""The delivery log refuses: alerts are sent all the same, and nothing in it is lost."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from engine.watch.desk import SECOND_NS, DeskPlace, Trouble
from engine.watch.program import DeliveryLog
from storage import watch as log
from storage.database import connect_writer
from storage.watch import NAME, RequestKind
from tests.watch.desks import NOON_NS, Watched


def full(watched: Watched) -> None:
    """Let the file grow no further: what SQLite says then is what it says on a full disk."""
    connection = watched.watch._log.connection
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages}")


def test_a_full_disk_keeps_no_alert_from_being_sent(desk: Watched) -> None:
    desk.raise_("kill", account="before")
    desk.turn(3)
    full(desk)
    for number in range(40):
        name = "abcdefghijklmnopqrstuvwxyz"[number % 26] * (1 + number // 26)
        desk.raise_("kill", f"{name} " * 60, account=name)
    desk.turn(2)
    assert "disk is full" in desk.watch._log.error
    told = {line.where.get("account") for _, one in desk.sends.sent for line in one.lines}
    assert {"before", "a"} <= told
    assert (
        len([1 for _, one in desk.sends.sent if one.lines[0].where.get("account") == "before"]) == 1
    )
    desk.turn(20)
    assert desk.watch._log.error == "", "the disk takes it again"
    kept = sqlite3.connect(desk.home / NAME)
    assert kept.execute("SELECT count(*) FROM notices WHERE kind = 'kill'").fetchone() == (41,)
    kept.close()
    assert any("The delivery log is not written" in title for title in desk.sends.titles())


def test_a_deleted_log_is_written_anew_from_what_the_watch_knows(desk: Watched) -> None:
    desk.raise_("kill")
    desk.turn(3)
    for path in desk.home.glob(f"{NAME}*"):
        path.unlink()
    desk.turn(30)
    desk.again(5)
    desk.turn(5)
    assert desk.sends.titles().count("[CRITICAL] KILL") == 1
    assert desk.rows("SELECT count(*) FROM notices WHERE kind = 'kill'") == [(1,)]


def test_a_damaged_log_is_kept_beside_a_new_one(tmp_path: Path) -> None:
    path = tmp_path / NAME
    path.write_bytes(b"garbage" * 1_000)
    made = DeliveryLog(path, 5)
    assert made.error == ""
    assert (tmp_path / f"{NAME}.damaged-5").read_bytes().startswith(b"garbage")
    made.close()


def test_a_log_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / NAME
    connection = connect_writer(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    made = DeliveryLog(path, 5)
    assert "newer version" in made.error
    made.run(lambda one: log.put_meta(one, "a", "b"))
    made.close()
    left = sqlite3.connect(path)
    assert left.execute("PRAGMA user_version").fetchone() == (99,)
    left.close()


def test_what_a_page_asks_while_the_log_is_in_memory_is_not_lost(desk: Watched) -> None:
    desk.turn(2)
    full(desk)
    desk.raise_("kill", "x" * 60_000)
    desk.turn(1)
    assert desk.watch._log.error
    log.ask(desk.home, RequestKind.TEST, "phone", "ann", desk.now_ns)
    desk.turn(20)
    assert "[Pitboss] This is a test" in desk.sends.titles()


@pytest.mark.parametrize("how", ["missing", "garbage", "locked"])
def test_without_a_state_database_the_watch_goes_on_and_says_so(desk: Watched, how: str) -> None:
    desk.settle({"rules": {"critical": {"again_min": 7}}})
    desk.turn(2)
    holder = sqlite3.connect(desk.state, isolation_level=None)
    if how == "locked":
        holder.execute("PRAGMA locking_mode = EXCLUSIVE")
        holder.execute("BEGIN EXCLUSIVE")
    else:
        holder.close()
        desk.state.unlink()
        if how == "garbage":
            desk.state.write_bytes(b"garbage" * 1_000)
    from engine.watch.probes.state import StateProbe

    desk.watch._probes = {"state": StateProbe(), "scripted": desk.probe}
    desk.probe.found = [Trouble(kind="engine_dead", text="no process")]
    desk.turn(6)
    told = " ".join(one.text() for _, one in desk.sends.sent)
    assert "The engine is not running" in told
    titles = {
        "missing": "The state database is gone",
        "garbage": "The state database cannot be read",
        "locked": "The state database is locked",
    }
    assert titles[how] in told
    holder.close()
    desk.again(2)
    assert desk.watch._settings.now.rules["critical"].again_min == 7, "the last rules apply"


def test_a_place_is_what_its_program_is_given() -> None:
    place = DeskPlace(folder="/home/x", state="/home/x/pitboss.db")
    assert place.supervisor == Path("/home/x/run/supervisor.sock")
    assert NOON_NS % SECOND_NS == 0
