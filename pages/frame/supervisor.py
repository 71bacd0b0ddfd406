"""The XML-RPC client of supervisord, over its socket in `PITBOSS_HOME/run`, with a short patience.

The standard library's own client waits for ever; a hung supervisord must not hang KILL.
"""

from __future__ import annotations

import http.client
import socket
import xmlrpc.client
from pathlib import Path
from typing import Any

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
