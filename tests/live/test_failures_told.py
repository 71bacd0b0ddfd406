"""What failures of a whole desk take until their alert is at a webhook; docs/alerts.md has it.

By the rules as shipped. The times printed are from the act to the message; each must be less than
three minutes.
"""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from engine.domain.commands import StartBot
from engine.watch import sealed
from storage import supervisor, watch
from storage.channels import put_channel
from storage.commands import CommandState
from tests.live.programs import BOT, Programs, prepare
from tests.ports import free_port
from tests.watch.desks import Receiver, receiving
from tests.watch.secret_search import search

TOLD_S_MAX = 180.0


class Told:
    """A desk with one channel, a webhook."""

    def __init__(self, programs: Programs, hook: Receiver) -> None:
        self.programs = programs
        self.hook = hook
        self.rows: list[str] = []
        home = programs.home
        fields = {"url": f"{hook.url}/hook", "secret": "an-example-of-a-secret"}
        entry = sealed.seal(
            sealed.make_key(home), "hook", fields, kind="webhook", label="hook",
            now_ns=time.time_ns(),
        )  # fmt: skip
        put_channel(home, "hook", entry)

    def pid(self, name: str) -> int:
        """The process of a program that runs; 0 = it does not."""
        try:
            found = supervisor.program(supervisor.socket_in(self.programs.home / "run"), name)
        except supervisor.FAILURES:
            return 0
        return found.pid if found.state == supervisor.RUNNING else 0

    def spawned(self, name: str) -> int:
        """Wait for a program's process, which has not begun to run."""
        path = supervisor.socket_in(self.programs.home / "run")

        def there() -> int:
            with suppress(*supervisor.FAILURES):
                return supervisor.program(path, name).pid
            return 0

        end = time.monotonic() + TOLD_S_MAX
        while not (pid := there()):
            assert time.monotonic() < end
        return pid

    def runs(self, name: str) -> int:
        self.programs.until(lambda: self.pid(name), f"{name} runs", 120.0)
        return self.pid(name)

    def begins(self) -> None:
        """Wait until engine and watch run, and the watch has looked once."""
        for name in ("engine", "watch"):
            self.runs(name)

        def looked() -> bool:
            with watch.reading_watch(self.programs.home) as connection:
                return connection is not None and watch.meta(connection, "beat") is not None

        self.programs.until(looked, "the watch has looked", 120.0)

    def told(self, what: str, kind: str, began_s: float, seen: int) -> None:
        """Wait for an alert among the messages after the first `seen`; note how long it took."""

        def there() -> bool:
            bodies = self.hook.bodies()[seen:]
            lines = (line for body in bodies for line in body["lines"])
            return any(line["kind"] == kind and not line["over"] for line in lines)

        self.programs.until(there, f"{kind} is told", TOLD_S_MAX)
        self.rows.append(f"{what} | {kind} | {time.monotonic() - began_s:.0f} s")
        print(self.rows[-1])

    def text_of(self, kind: str, seen: int) -> str:
        """Return what the first message of a kind after the first `seen` says."""
        bodies = self.hook.bodies()[seen:]
        return next(
            str(line["text"]) for body in bodies for line in body["lines"] if line["kind"] == kind
        )

    def now(self) -> tuple[float, int]:
        return time.monotonic(), len(self.hook.got)


@pytest.fixture
def desk() -> Iterator[Told]:
    home = Path(tempfile.mkdtemp(prefix="pb"))  # the supervisor's socket is in it
    programs = Programs(home, free_port())
    prepare(programs.state)
    with receiving() as hook:
        yield Told(programs, hook)
        for program in programs.running:
            if program.poll() is None:
                program.terminate()  # supervisor ends its programs
                program.wait(120)
        programs.end()
    shutil.rmtree(home)


@pytest.mark.soak
@pytest.mark.timeout(1_200)
def test_each_failure_reaches_a_person_in_less_than_three_minutes(desk: Told) -> None:
    programs = desk.programs
    programs.start("up", "--port", str(free_port()), "--demo-port", str(programs.port))
    desk.begins()

    began, seen = desk.now()
    os.kill(desk.runs("watch"), signal.SIGKILL)
    desk.told("watch killed", "watch_restarted", began, seen)

    for number in range(5):
        began, seen = desk.now()
        pid = desk.runs("engine")
        os.kill(pid, signal.SIGKILL)
        programs.until(lambda pid=pid: desk.pid("engine") not in (0, pid), "it is back", 120.0)
        if not number:
            desk.told(
                "engine killed; supervisor starts it again", "ended_without_stop", began, seen
            )
    desk.told("engine in a crash loop, from its last death", "engine_restarting", began, 0)

    pid = desk.runs("engine")
    began, seen = desk.now()
    os.kill(pid, signal.SIGABRT)
    desk.told("engine aborted by SIGABRT", "ended_without_stop", began, seen)
    assert "terminated by SIGABRT" in desk.text_of("ended_without_stop", seen)

    programs.until(lambda: desk.pid("engine") not in (0, pid), "it is back", 120.0)
    pid = desk.runs("engine")
    began, seen = desk.now()
    os.kill(pid, signal.SIGSTOP)
    desk.told("engine stopped by SIGSTOP", "engine_hung", began, seen)
    os.kill(pid, signal.SIGCONT)

    with closing(sqlite3.connect(programs.state, isolation_level=None, timeout=60)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        began, seen = desk.now()
        desk.told("state database locked by another program", "state_locked", began, seen)
        holder.execute("ROLLBACK")

    done = search(programs.home)
    assert done.programs >= len(("supervisor", "engine", "worker", "watch", "dashboard", "demo"))
    assert done.found == []
    print("\n" + "\n".join([*desk.rows, done.words()]))


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_a_watch_killed_before_its_first_look_or_gone_for_good_reaches_a_person(
    desk: Told,
) -> None:
    programs = desk.programs
    programs.start("up", "--port", str(free_port()), "--demo-port", str(programs.port))
    began, seen = desk.now()
    os.kill(desk.spawned("watch"), signal.SIGKILL)
    desk.told("watch killed before its first look", "watch_restarted", began, seen)
    assert "before its first look" in desk.hook.bodies()[-1]["lines"][0]["text"]

    desk.runs("engine")
    began, _ = desk.now()
    os.kill(desk.runs("watch"), signal.SIGSTOP)
    absent = "SELECT 1 FROM alerts WHERE kind = 'watch_absent'"
    programs.until(lambda: programs.rows(absent), "the page has it", TOLD_S_MAX)
    desk.rows.append(f"watch stopped by SIGSTOP | watch_absent | {time.monotonic() - began:.0f} s")
    print("\n" + "\n".join(desk.rows))
    seen = len(desk.hook.got)
    os.kill(desk.runs("watch"), signal.SIGCONT)
    desk.told("watch goes on", "watch_absent", began, seen)


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_a_lost_database_and_a_lost_supervisor_reach_a_person(desk: Told) -> None:
    programs, state = desk.programs, desk.programs.state
    programs.start("up", "--port", str(free_port()), "--demo-port", str(programs.port))
    desk.begins()
    time.sleep(5)  # the engine has written its first states
    away = state.with_name("away.db")

    began, seen = desk.now()
    state.rename(away)
    state.write_bytes(b"garbage" * 1_000)
    desk.told("garbage in place of the state database", "state_unreadable", began, seen)
    away.replace(state)
    desk.runs("engine")
    time.sleep(5)  # programs go on with it

    began, seen = desk.now()
    for ends in ("", "-wal", "-shm"):
        state.with_name(state.name + ends).unlink(missing_ok=True)
    desk.told("state database deleted", "state_missing", began, seen)

    began, seen = desk.now()
    os.kill(int((programs.home / "run" / "supervisord.pid").read_text()), signal.SIGKILL)
    desk.told("supervisord killed, without a state database", "desk_gone", began, seen)
    print("\n" + "\n".join(desk.rows))


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_a_stop_that_proves_nothing_reaches_a_person_before_the_watch_ends(desk: Told) -> None:
    programs = desk.programs
    starts = ("up", "--port", str(free_port()), "--demo-port", str(programs.port))
    supervisor_of = programs.start(*starts)
    desk.begins()
    assert programs.command(StartBot(bot=BOT)).state is CommandState.DONE
    programs.until(programs.live, "orders rest", 120.0)
    os.kill(desk.runs("demo"), signal.SIGSTOP)  # nobody answers what is open any more

    began, seen = desk.now()
    supervisor_of.terminate()
    desk.told("desk stopped, its exchange silent", "stop_unproven", began, seen)
    assert supervisor_of.wait(120) == 0
    print("\n" + "\n".join(desk.rows))
