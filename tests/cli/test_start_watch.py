"""However a desk in the foreground is asked to end, what its stop has proved is said."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engine.cli.start_watch import ENDS, WAITS

REPOSITORY = Path(__file__).parents[2]
BECOMES = (
    "import os, signal as s, sys; [s.signal(n, s.SIG_DFL) for n in (s.SIGINT, s.SIGTERM, s.SIGHUP)]"
    "; os.execv('/bin/sh', sys.argv[1:])"
)
"""A shell traps no signal that it was started to ignore, as tests in the background or under nohup
are."""
STARTS_S = 30.0


def traps(process: int, number: signal.Signals) -> bool:
    """Say whether a process catches a signal (`SigCgt` of proc_pid_status(5))."""
    status = (Path("/proc") / str(process) / "status").read_text()
    caught = status.partition("SigCgt:")[2].split()[0]
    is_shell = (Path("/proc") / str(process) / "comm").read_text() == "sh\n"
    return is_shell and bool(int(caught, 16) >> (number - 1) & 1)


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("number", ENDS)
def test_the_shell_that_waits_says_the_end_once_however_often_it_is_asked(
    number: signal.Signals, times: int, tmp_path: Path
) -> None:
    says = tmp_path / "says"
    says.write_text("#!/bin/sh\nsleep 0.3\necho said $*\n")
    says.chmod(0o700)
    words = ["sh", str(says), "home", str(os.getpid()), "state"]
    shell = subprocess.Popen(
        [sys.executable, "-c", BECOMES, "sh", "-c", WAITS, *words],
        stdout=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    try:
        until = time.monotonic() + STARTS_S
        while not traps(shell.pid, number):
            assert time.monotonic() < until, "the shell does not trap it"
            time.sleep(0.05)
        for _ in range(times):
            os.killpg(shell.pid, number)
            time.sleep(0.1)
        out, _ = shell.communicate(timeout=20)
    finally:
        if shell.poll() is None:
            os.killpg(shell.pid, signal.SIGKILL)
            shell.wait()
    assert out.decode() == "said -m engine.cli.start_watch home state --ended\n"


@pytest.mark.sampled(1)
@pytest.mark.parametrize("number", ENDS)
def test_a_request_to_end_that_comes_while_it_is_imported_waits_for_it(
    number: signal.Signals, tmp_path: Path
) -> None:
    kept = signal.pthread_sigmask(signal.SIG_BLOCK, ENDS)  # as `engine up` does
    started = subprocess.Popen(
        [sys.executable, "-m", "engine.cli.start_watch", str(tmp_path), str(tmp_path / "none")],
        cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    signal.pthread_sigmask(signal.SIG_SETMASK, kept)
    started.send_signal(number)
    out, errors = started.communicate(timeout=60)
    assert (started.returncode, out, errors) == (0, b"", b""), "no engine ran: nothing to prove"


SUPERVISED = (
    "import os, signal as s, sys; s.signal(s.SIGHUP, s.SIG_IGN if sys.argv[1] == 'nohup' else"
    " s.SIG_DFL); os.execv(sys.executable, [sys.executable, '-m', 'engine.cli.supervise', '-n',"
    " '-c', sys.argv[2]])"
)
CONF = """[supervisord]
nodaemon=true
silent=true
logfile={home}/log
pidfile={home}/pid
[program:one]
command=/bin/sleep 60
startsecs=0
"""


@pytest.mark.parametrize("started", ["terminal", "nohup"])
def test_a_terminal_that_is_closed_stops_the_desk_but_for_nohup(
    started: str, tmp_path: Path
) -> None:
    conf, log = tmp_path / "conf", tmp_path / "log"
    conf.write_text(CONF.format(home=tmp_path))
    desk = subprocess.Popen(
        [sys.executable, "-c", SUPERVISED, started, str(conf)], cwd=REPOSITORY,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        until = time.monotonic() + STARTS_S
        while not log.exists() or "spawned: 'one'" not in log.read_text():
            assert time.monotonic() < until, "supervisord does not start"
            time.sleep(0.05)
        desk.send_signal(signal.SIGHUP)
        if started == "nohup":
            time.sleep(0.3)
            assert desk.poll() is None
            desk.terminate()
        assert desk.wait(timeout=STARTS_S) == 0
    finally:
        if desk.poll() is None:
            desk.kill()
            desk.wait()
    assert log.read_text().count("spawned: 'one'") == 1
    assert "restart request" not in log.read_text()
