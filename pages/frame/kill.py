"""KILL from the dashboard: the latch first, then the signal, then the command row.

Nothing here needs SQLite before the last step, and each step says what it did: a KILL that could
only do half must not look like a whole one.
"""

from __future__ import annotations

import http.client
import socket
import uuid
import xmlrpc.client
from pathlib import Path
from typing import Any

import msgspec

from engine.config import Config
from engine.domain.commands import Kill
from engine.errors import BadInput, StorageError
from storage.commands import leave
from storage.database import connect_writer, refusals_told
from storage.latch import set_latch
from storage.views.frame import engine_of

# The XML-RPC client of supervisord, over its socket in `PITBOSS_HOME/run`, with a short patience.
# The standard library's own client waits for ever; a hung supervisord must not hang KILL.

TIMEOUT_S = 1.0
BAD_NAME = 10
NOT_RUNNING = 70
"""Faults of supervisor: no such program; it does not run."""

Fault = xmlrpc.client.Fault
FAILURES = (OSError, http.client.HTTPException, xmlrpc.client.Error)
"""Everything a call may end with."""


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT_S)
        self.sock.connect(str(self._path))


def call(path: Path, method: str, *arguments: object) -> Any:
    """Call `supervisor.<method>` on the socket at `path`. Raises one of `FAILURES`."""
    body = xmlrpc.client.dumps(arguments, f"supervisor.{method}")
    connection = _Connection(path)
    try:
        connection.request("POST", "/RPC2", body, {"Content-Type": "text/xml"})
        answer = connection.getresponse()
        if answer.status != 200:
            raise xmlrpc.client.ProtocolError(str(path), answer.status, answer.reason, {})
        return xmlrpc.client.loads(answer.read())[0][0]
    finally:
        connection.close()


# -- KILL from the dashboard: the latch first, then the signal, then the command row ---------------

BUSY_MS = 500
"""How long the command row waits for a locked database; latch and signal are out by then."""


class KillStep(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a KILL: `done` False = it had no effect, and `text` says why."""

    name: str
    done: bool
    text: str


class KillResponse(msgspec.Struct, frozen=True, kw_only=True):
    """What a KILL did here. What the engine then did is in the answer to `command`."""

    at_ns: int
    who: str
    command: str
    steps: tuple[KillStep, ...]


def kill(config: Config, who: str, now_ns: int) -> KillResponse:
    """Set the latch, signal the engine, leave the command. Never raises: each step is told."""
    command = uuid.uuid4().hex
    steps = (_latch(config, who, now_ns), _signal(config), _command(config, command, who, now_ns))
    return KillResponse(at_ns=now_ns, who=who, command=command, steps=steps)


def _latch(config: Config, who: str, now_ns: int) -> KillStep:
    path = config.kill_path
    try:
        new = set_latch(path, who, now_ns)
    except OSError as error:
        return KillStep(name="latch", done=False, text=f"NOT SET, the disk refused {path}: {error}")
    told = "set and on the disk" if new else "was set before and stays"
    return KillStep(
        name="latch", done=True, text=f"{path} {told}: no order is placed while it is there"
    )


def _signal(config: Config) -> KillStep:
    socket = config.run_folder / "supervisor.sock"
    if not socket.exists():
        text = f"NOT SENT: no supervisor runs here ({socket} is missing)"
        return KillStep(name="signal", done=False, text=text)
    try:
        call(socket, "signalProcess", "engine", "USR1")
    except Fault as fault:
        if fault.faultCode != NOT_RUNNING:
            return KillStep(name="signal", done=False, text=f"NOT SENT: {fault.faultString}")
        return _start_kill(socket)
    except FAILURES as error:
        return KillStep(
            name="signal", done=False, text=f"NOT SENT, supervisor did not answer: {error}"
        )
    return KillStep(name="signal", done=True, text="USR1 sent to the engine")


def _start_kill(socket: Path) -> KillStep:
    """Start the program that recovers with the latch set, cancels, proves and exits."""
    try:
        call(socket, "startProcess", "kill", False)
    except FAILURES as error:
        text = f"NOT SENT: the engine does not run and program kill did not start: {error}"
        return KillStep(name="signal", done=False, text=text)
    return KillStep(
        name="signal", done=True, text="the engine does not run; program kill was started"
    )


def _command(config: Config, command: str, who: str, now_ns: int) -> KillStep:
    if not config.state_path.is_file():
        text = f"NOT LEFT: {config.state_path} does not exist"
        return KillStep(name="command", done=False, text=text)
    try:
        with refusals_told(config.state_path):
            connection = connect_writer(config.state_path, busy_ms=BUSY_MS)
            try:
                engine_id = engine_of(connection)
                leave(
                    connection,
                    engine_id=engine_id,
                    id=command,
                    command=Kill(),
                    who=who,
                    now_ns=now_ns,
                )
            finally:
                connection.close()
    except (StorageError, BadInput) as error:
        return KillStep(name="command", done=False, text=f"NOT LEFT: {error}")
    return KillStep(name="command", done=True, text=f"left for engine {engine_id}")
