"""A forked program is a program: what it is given at its start, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from engine.__main__ import BAD_ARGUMENTS
from tests import forked
from tests.kit.permissions import OBEYS
from tests.live.programs import REPOSITORY, Programs, answers
from tests.ports import free_port

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="programs are forked on Linux")

ORPHAN = """
import os, sys
from tests import forked
with open(sys.argv[1], "ab") as log:
    started = forked.start("engine", sys.argv[2:], os.environ, log)
print(started.pid, flush=True)
sys.stdin.read()
os._exit(1)
"""


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Programs]:
    made = Programs(tmp_path, free_port())
    yield made
    made.end()


def test_its_words_environment_and_streams_are_those_it_was_given(programs: Programs) -> None:
    started = programs.start("run", "--feed", "nothing", PITBOSS_LOG_LEVEL="error")
    assert isinstance(started, forked.Forked)
    assert started.wait(60) == BAD_ARGUMENTS
    assert "--feed 'nothing'" in (programs.home / "run.log").read_text()


def test_each_has_the_environment_of_its_own(programs: Programs) -> None:
    assert programs.start("run", PITBOSS_LOG_LEVEL="no level").wait(60) == BAD_ARGUMENTS
    assert "PITBOSS_LOG_LEVEL" in (programs.home / "run.log").read_text()
    (programs.home / "run.log").unlink()
    assert programs.start("run", "--feed", "nothing").wait(60) == BAD_ARGUMENTS
    assert "PITBOSS_LOG_LEVEL" not in (programs.home / "run.log").read_text()


def test_one_that_is_to_obey_permissions_lacks_root_s_right(programs: Programs) -> None:
    started = programs.start("demo", "--port", str(programs.port), **{OBEYS: "1"})
    programs.until(lambda: answers(programs.port), "it listens")
    status = Path(f"/proc/{started.pid}/status").read_text()
    effective = next(line for line in status.splitlines() if line.startswith("CapEff"))
    assert int(effective.split()[1], 16) & 0b110 == 0


def test_it_writes_for_its_owner_alone(programs: Programs) -> None:
    programs.demo()
    found = [path for path in (programs.home / "demo").rglob("*") if path.is_file()]
    assert found
    assert [path for path in found if path.stat().st_mode & 0o077] == []


def test_it_ends_by_signals_with_the_code_of_a_program(programs: Programs) -> None:
    assert programs.demo().poll() is None
    programs.running[-1].terminate()
    assert programs.running[-1].wait(60) == 0
    killed = programs.demo()
    killed.kill()
    assert killed.wait(60) == -signal.SIGKILL
    assert killed.poll() == -signal.SIGKILL
    killed.terminate()  # one that is gone is left alone


def test_waiting_for_one_that_lives_ends_in_time(programs: Programs) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        programs.demo().wait(0.05)


def test_secrets_in_its_environment_are_none_of_the_systems(programs: Programs) -> None:
    secret = "0x" + "5e" * 32
    started = programs.start("demo", "--port", str(programs.port), POLYMARKET_PRIVATE_KEY=secret)
    programs.until(lambda: answers(programs.port), "it listens")
    assert secret.encode() not in Path(f"/proc/{started.pid}/environ").read_bytes()
    limits = Path(f"/proc/{started.pid}/limits").read_text()
    assert ["Max", "core", "file", "size", "0", "0"] in [
        line.split()[:6] for line in limits.splitlines()
    ]


def test_it_loses_its_parent_when_the_tests_process_is_gone(tmp_path: Path) -> None:
    port = free_port()
    words = [str(tmp_path / "demo.log"), "demo", "--port", str(port)]
    with subprocess.Popen(
        [sys.executable, "-c", ORPHAN, *words],
        cwd=REPOSITORY, env={**os.environ, "PITBOSS_HOME": str(tmp_path)},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as tester:  # fmt: skip
        assert tester.stdout is not None
        assert tester.stdin is not None
        started = psutil.Process(json.loads(tester.stdout.readline()))
        waiting = Programs(tmp_path, port)
        waiting.until(lambda: answers(port), "it listens")
        tester.stdin.close()
        tester.wait(60)
    started.wait(60)
    assert '"event":"demo.closed"' in (tmp_path / "demo.log").read_text()
