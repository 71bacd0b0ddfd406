"""A dashboard whose supervisor was killed ends by itself; one started by hand does not look."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys

import psutil
import pytest

from pages.frame.server import SUPERVISED, watched

SERVER = """
import asyncio
from pages.frame.server import watched
async def main():
    async with watched(None):
        print("ready", flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""
SUPERVISOR = """
import subprocess, sys
print(subprocess.Popen([sys.executable, "-c", sys.argv[1]]).pid, flush=True)
sys.stdin.read()
"""


def test_a_server_ends_when_its_supervisor_was_killed() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, SERVER],
        env={**os.environ, SUPERVISED: "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as supervisor:
        assert supervisor.stdout is not None
        server = psutil.Process(int(supervisor.stdout.readline()))
        assert supervisor.stdout.readline() == "ready\n"
        supervisor.send_signal(signal.SIGKILL)
        server.wait(60)
    assert not server.is_running()


def test_a_dashboard_started_by_hand_looks_at_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SUPERVISED, raising=False)

    async def tasks() -> int:
        async with watched(None):
            return len(asyncio.all_tasks())

    assert asyncio.run(tasks()) == 1
