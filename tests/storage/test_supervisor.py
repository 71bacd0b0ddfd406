"""The one door to supervisor: programs as they are, faults, and answers that are none."""

from __future__ import annotations

import configparser
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from storage import supervisor
from storage.supervisor import FAILURES, ProgramStatus, SupervisorFault, socket_in
from tests.fakes.supervisor import supervised


@pytest.fixture
def path() -> Iterator[Path]:
    with TemporaryDirectory(prefix="pb") as folder:  # a socket's name has about a hundred bytes
        yield socket_in(Path(folder))


def test_programs_are_given_as_supervisor_has_them(path: Path) -> None:
    with supervised(path, engine="FATAL", demo="RUNNING"):
        found = supervisor.programs(path)
        one = supervisor.program(path, "demo")
    assert found["engine"] == ProgramStatus(
        state="FATAL", start_s=5, now_s=65, exit_code=1, spawn_error="gave up",
        description="as FATAL",
    )  # fmt: skip
    assert (found["engine"].words, found["demo"].words) == ("gave up", "as RUNNING")
    assert one == found["demo"]


def test_a_fault_is_raised_with_its_code(path: Path) -> None:
    with supervised(path, engine="STOPPED"), pytest.raises(SupervisorFault) as raised:
        supervisor.call(path, "stopProcess", "engine", True)
    assert raised.value.faultCode == supervisor.NOT_RUNNING


def test_without_a_supervisor_the_call_fails_by_name(path: Path) -> None:
    with pytest.raises(FAILURES):
        supervisor.programs(path)


def answering(path: Path, text: bytes) -> socket.socket:
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen()

    def answer() -> None:
        taken, _ = server.accept()
        with taken:
            got = b""
            while b"</methodCall>" not in got:
                got += taken.recv(65_536)
            taken.sendall(text)

    threading.Thread(target=answer, daemon=True).start()
    return server


@pytest.mark.parametrize(
    "text",
    [
        b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nnot xml",
        b"garbage\r\n\r\n",
    ],
)
def test_what_is_no_answer_is_a_failure_by_name(path: Path, text: bytes) -> None:
    with answering(path, text), pytest.raises(FAILURES):
        supervisor.program(path, "engine")


def test_a_supervisor_that_hangs_is_not_waited_for(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            supervisor.program(path, "engine", timeout_s=0.1)
        assert time.monotonic() - began < 1


def test_how_a_program_ended_last_is_in_supervisors_log(tmp_path: Path) -> None:
    assert supervisor.last_end(tmp_path, "engine", 0) == ""
    log = tmp_path / "supervisord.log"
    log.write_text(
        "2026-11-27 12:16:50,388 WARN exited: engine (exit status 5; not expected)\n"
        "2026-11-27 12:16:52,388 WARN exited: engine (terminated by SIGABRT (core dumped); not "
        "expected)\n2026-11-27 12:16:53,040 INFO exited: worker (exit status 0; expected)\n"
        "2026-11-27 12:16:53,041 INFO spawned: 'engine' with pid 13083\n"
    )
    assert supervisor.last_end(tmp_path, "engine", 0) == "terminated by SIGABRT (core dumped)"
    assert supervisor.last_end(tmp_path, "worker", 0) == "exit status 0"
    assert supervisor.last_end(tmp_path, "demo", 0) == ""
    late_ns = log.stat().st_mtime_ns + 1
    assert supervisor.last_end(tmp_path, "engine", late_ns) == "", "another start's log"


def test_programs_are_stopped_engine_first_and_the_watch_that_tells_of_it_last() -> None:
    conf = configparser.RawConfigParser(inline_comment_prefixes=(" ;",))
    conf.read(Path(__file__).parents[2] / "supervisord.conf")
    named = [one for one in conf.sections() if one.startswith("program:")]
    by_priority = sorted(named, key=lambda one: conf.getint(one, "priority"), reverse=True)
    stopped = [one.removeprefix("program:") for one in by_priority]
    stopped.remove(supervisor.BY_HAND)
    assert (stopped[0], stopped[-1]) == ("engine", "watch"), "supervisor ends the highest first"
