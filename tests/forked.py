"""Programs of ours as forks of one process that has imported them: a start without its imports.

A program takes a second of CPU to import what it is made of, and the suite starts hundreds. What a
test gets is a process of its own all the same: arguments, environment, folder, streams, signals and
exit code are a program's, and its parent goes when the test's process does. `sys.executable` and
`/proc/PID/cmdline` are the fork server's. Tests of the start itself start programs by `Popen`.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import IO, Any

from tests.kit.permissions import OBEYS, obey

REPOSITORY = Path(__file__).resolve().parents[1]
ENGINE, FAKE = "engine", "tests.fakes.polymarket"
COMMANDS = ("run", "demo", "kill", "command")
"""Commands of the engine that are forked: `worker` and `up` become other programs anyway."""

IMPORTED = (
    *(f"engine.cli.{name}" for name in COMMANDS),
    "engine.live.handover",
    "engine.venues.demo.client",
    "engine.venues.polymarket.account.venue",
    "tests.fakes.polymarket.__main__",
)
MESSAGE_BYTES_MAX = 1 << 18
LOOK_S = 0.01


class Forked(subprocess.Popen[bytes]):
    """A program that was forked; used as one that `Popen` started."""

    def __init__(self, server: _Server, pid: int, words: Sequence[str]) -> None:
        self._server = server
        self.args = list(words)
        self.stdin = self.stdout = self.stderr = None
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            self.returncode = self._server.asked({"ended": self.pid})
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        end = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if timeout is not None and end is not None and time.monotonic() > end:
                raise subprocess.TimeoutExpired(self.args, timeout)
            time.sleep(LOOK_S)
        return code


class _Server:
    """The process that has imported everything, as its user sees it."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._one_asks = threading.Lock()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.forked", str(theirs.fileno())],
                cwd=REPOSITORY,
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
                pass_fds=(theirs.fileno(),),
            )
        atexit.register(self._end)

    def _end(self) -> None:
        self._socket.close()
        self._process.wait(10)

    def asked(self, request: Mapping[str, Any], files: Sequence[int] = ()) -> Any:
        with self._one_asks:
            socket.send_fds(self._socket, [json.dumps(request).encode()], files)
            answer = self._socket.recv(MESSAGE_BYTES_MAX)
        assert answer, "the fork server has died"
        return json.loads(answer)


@cache
def _server(pid: int) -> _Server:
    """Return the server of this process."""
    return _Server()


def start(
    module: str,
    words: Sequence[str],
    environment: Mapping[str, str],
    log: IO[bytes],
    *,
    source: Path = REPOSITORY,
    fork: bool = True,
) -> subprocess.Popen[bytes]:
    """Start `python -m MODULE WORDS` in a folder of sources; what it says goes to `log`.

    It is forked where it can be, unless `fork` is False: for tests of the start itself.
    """
    command = [sys.executable, "-m", module, *words]
    known = module == FAKE or words[0] in COMMANDS
    if not (fork and known and source == REPOSITORY and sys.platform == "linux"):
        return subprocess.Popen(command, cwd=source, env=environment, stdout=log, stderr=log)
    server = _server(os.getpid())
    request = {"module": module, "words": list(words), "environment": dict(environment)}
    return Forked(server, server.asked(request, [log.fileno()]), command)


def _keep_permissions() -> None:
    """Obey the permissions of files to the end, where that is asked for."""
    if os.environ.pop(OBEYS, ""):
        obey()


def _serve(ours: socket.socket) -> Callable[[], int | None]:
    """Fork until nobody is left who asks; return what is to be run, in each fork and at the end."""
    while True:
        data, files, _, _ = socket.recv_fds(ours, MESSAGE_BYTES_MAX, 1)
        if not data:
            return lambda: 0
        request = json.loads(data)
        if "ended" in request:
            pid, status = os.waitpid(request["ended"], os.WNOHANG)
            ours.send(json.dumps(os.waitstatus_to_exitcode(status) if pid else None).encode())
            continue
        pid = os.fork()
        if pid == 0:
            ours.close()
            return _become(request, files[0])
        ours.send(json.dumps(pid).encode())
        os.close(files[0])


def _become(request: Mapping[str, Any], log: int) -> Callable[[], int | None]:
    """Take over what a program is given at its start; return its main."""
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    os.environ.clear()
    os.environ.update(request["environment"])
    _keep_permissions()
    module, words = request["module"], request["words"]
    sys.argv[1:] = words
    main: Callable[[], int | None] = importlib.import_module(f"{module}.__main__").main
    if module == ENGINE:
        os.umask(0o077)
        _keep_secrets()
    return main


def _keep_secrets() -> None:
    """Be as a program after `start_clean`: its own `environ` never held the secrets."""
    from engine.__main__ import secrets_in
    from engine.live.handover import keep_to_itself

    if secrets_in(os.environ):
        keep_to_itself()


def _import_everything() -> None:
    gc.disable()
    for name in IMPORTED:
        importlib.import_module(name)
    from engine.strategies import registry as strategies
    from engine.venues import registry as venues

    venues.entries()
    assert strategies.STRATEGIES
    assert threading.active_count() == 1, threading.enumerate()
    gc.collect()
    gc.freeze()
    gc.enable()


if __name__ == "__main__":
    try:
        _import_everything()
        run = _serve(socket.socket(fileno=int(sys.argv[1])))
    except KeyboardInterrupt:
        sys.exit(130)  # Ctrl-C is for the whole terminal: our forks receive it themselves
    sys.exit(run())
