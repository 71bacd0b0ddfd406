"""Supervisor, asked over its socket in `PITBOSS_HOME/run`: what programs do; start, stop, signal.

The one door to it, for pages, the command line and the watch. Each call has a patience: the
standard library's own client waits for ever, and a hung supervisord must not hang a KILL.
"""

from __future__ import annotations

import http.client
import os
import re
import socket
import xmlrpc.client
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from xml.parsers.expat import ExpatError

import msgspec

from engine.domain.plain import PlainView

TIMEOUT_S = 1.0
"""What an answer may take that waits for no program."""

BAD_NAME, NOT_RUNNING, ALREADY_STARTED, SHUTTING_DOWN = 10, 70, 60, 6
"""Codes of supervisor's faults: no such program; it does not run; it runs already; all end."""

SupervisorFault = xmlrpc.client.Fault
FAILURES = (OSError, http.client.HTTPException, xmlrpc.client.Error, ExpatError)
"""Everything a call may end with, `SupervisorFault` among them."""

RUNNING, STARTING, STOPPING = "RUNNING", "STARTING", "STOPPING"


class ProgramStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One program as supervisor has it. Times in whole seconds since 1970, 0 = never."""

    state: str
    """STOPPED, STARTING, RUNNING, BACKOFF, STOPPING, EXITED, FATAL or UNKNOWN."""
    pid: int = 0
    start_s: int = 0
    stop_s: int = 0
    now_s: int = 0
    exit_code: int = 0
    spawn_error: str = ""
    """Why the system could not start it; empty = it could."""
    description: str = ""

    @property
    def words(self) -> str:
        """Why it is not running, or for how long it is, in supervisor's words."""
        return self.spawn_error or self.description


class _Connection(http.client.HTTPConnection):
    """HTTP over a socket in the file system."""

    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(os.fspath(self._path))


def socket_in(run_folder: Path) -> Path:
    """Return the socket of the supervisor whose desk has this `run` folder."""
    return run_folder / "supervisor.sock"


def call(path: Path, method: str, *given: bool | str, timeout_s: float = TIMEOUT_S) -> Any:
    """Call `supervisor.<method>` on the socket at `path`. Raises one of `FAILURES`."""
    body = xmlrpc.client.dumps(given, f"supervisor.{method}")
    connection = _Connection(path, timeout_s)
    try:
        connection.request("POST", "/RPC2", body, {"Content-Type": "text/xml"})
        answer = connection.getresponse()
        if answer.status != 200:
            raise xmlrpc.client.ProtocolError(str(path), answer.status, answer.reason, {})
        return xmlrpc.client.loads(answer.read())[0][0]
    finally:
        connection.close()


def programs(path: Path, *, timeout_s: float = TIMEOUT_S) -> dict[str, ProgramStatus]:
    """Return every program by its name. Raises one of `FAILURES`."""
    rows = call(path, "getAllProcessInfo", timeout_s=timeout_s)
    return {str(row["name"]): _status(row) for row in rows}


def program(path: Path, name: str, *, timeout_s: float = TIMEOUT_S) -> ProgramStatus:
    """Return one program. Raises one of `FAILURES`."""
    return _status(call(path, "getProcessInfo", name, timeout_s=timeout_s))


def _status(row: PlainView) -> ProgramStatus:
    return ProgramStatus(
        state=str(row["statename"]),
        pid=int(row["pid"]),
        start_s=int(row["start"]),
        stop_s=int(row["stop"]),
        now_s=int(row["now"]),
        exit_code=int(row["exitstatus"]),
        spawn_error=str(row["spawnerr"]),
        description=str(row["description"]),
    )


# -- Whether a desk has started --------------------------------------------------------------------

BY_HAND = "kill"
"""The program that is started when it is needed."""

ENDED = frozenset({"BACKOFF", "EXITED", "FATAL", "UNKNOWN"})
FOR_GOOD = frozenset({"EXITED", "FATAL"})
TAIL_BYTES = 4_096
WELL = frozenset({"debug", "info"})
"""Levels of log lines that tell no reason for an end."""


def failures(seen: Mapping[str, ProgramStatus], logs: Path) -> dict[str, str]:
    """Return program → the sentence that says it does not start."""
    found = {}
    for name, one in seen.items():
        if one.state not in ENDED and not one.stop_s:
            continue
        last = _last_word(logs / f"{name}.log")
        why = f": {last}" if last else f": {one.spawn_error}" if one.spawn_error else ""
        again = "; it is not tried again" if one.state in FOR_GOOD else "; it is tried again"
        found[name] = f"{name.upper()} DOES NOT START{why}{again}. More in {logs / name}.log"
    return found


class LogEntry(msgspec.Struct):
    """What is asked of a line of a log."""

    level: str


def _last_word(log: Path) -> str:
    """Return the last line of a log, empty where it is no reason: what is logged while all is well.

    A program that was killed has left no reason there.
    """
    with suppress(OSError), log.open("rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL_BYTES))
        lines = file.read().decode(errors="replace").strip().splitlines()
        last = lines[-1].strip() if lines else ""
        return "" if _is_well(last) else last
    return ""


def last_end(logs: Path, name: str, since_ns: int) -> str:
    """Return how a program ended last, in supervisor's words: `terminated by SIGABRT`.

    Empty where its log does not say, or was not written since then (ns UTC): no supervisor started
    that program.
    """
    with suppress(OSError), (logs / "supervisord.log").open("rb") as file:
        found = os.fstat(file.fileno())
        if found.st_mtime_ns < since_ns:
            return ""
        file.seek(max(0, found.st_size - TAIL_BYTES))
        ends = re.findall(r"exited: (\S+) \((.+?);", file.read().decode(errors="replace"))
        return next((how for one, how in reversed(ends) if one == name), "")
    return ""


def _is_well(line: str) -> bool:
    try:
        return msgspec.json.decode(line, type=LogEntry).level in WELL
    except msgspec.MsgspecError:
        return False


def ready(needed: Mapping[str, ProgramStatus], port: str) -> bool:
    """Say whether every program runs and the dashboard answers at its port."""
    if not needed or any(one.state != RUNNING for one in needed.values()):
        return False
    asked = http.client.HTTPConnection("127.0.0.1", int(port), timeout=1)
    try:
        asked.request("GET", "/health")
        return asked.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        asked.close()
