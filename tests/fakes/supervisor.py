"""A supervisor's socket: answers XML-RPC as supervisord does, for programs a test moves by hand."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault
from xmlrpc.server import SimpleXMLRPCDispatcher, SimpleXMLRPCRequestHandler

ABNORMAL_TERMINATION = 40


class Handler(SimpleXMLRPCRequestHandler):
    rpc_paths = ("/RPC2",)
    disable_nagle_algorithm = False

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""

    def address_string(self) -> str:
        return "unix"


class FakeSupervisor(socketserver.UnixStreamServer, SimpleXMLRPCDispatcher):
    """Programs by name with their state; every call is kept in `asked`."""

    def __init__(self, path: Path, programs: dict[str, str]) -> None:
        SimpleXMLRPCDispatcher.__init__(self)
        self.logRequests = False
        self.programs = programs
        self.asked: list[tuple[object, ...]] = []
        self.fault: Fault | None = None
        """What every call is answered with instead."""
        self.on_stop: Callable[[], None] = lambda: None
        """What the program does while it stops."""
        socketserver.UnixStreamServer.__init__(self, str(path), Handler)
        for one in ("getAllProcessInfo", "getProcessInfo", "startProcess", "stopProcess",
                    "signalProcess"):  # fmt: skip
            self.register_function(self._recorded(one), f"supervisor.{one}")

    def _recorded(self, method: str) -> Callable[..., object]:
        def called(*given: object) -> object:
            self.asked.append((method, *given))
            if self.fault is not None:
                raise self.fault
            return getattr(self, f"_{method}")(*given)

        return called

    def _getAllProcessInfo(self) -> list[dict[str, Any]]:  # noqa: N802 supervisor's name
        return [self._getProcessInfo(name) for name in self.programs]

    def _getProcessInfo(self, name: str) -> dict[str, Any]:  # noqa: N802 supervisor's name
        state = self.programs[name]
        return {
            "name": name, "group": name, "statename": state, "pid": 7 * (state == "RUNNING"),
            "start": 5, "stop": 0, "now": 65, "exitstatus": 1 * (state == "FATAL"),
            "spawnerr": "gave up" * (state == "FATAL"), "description": f"as {state}",
        }  # fmt: skip

    def _startProcess(self, name: str, _wait: bool) -> bool:  # noqa: N802 supervisor's name
        if self.programs[name] == "FATAL":
            raise Fault(ABNORMAL_TERMINATION, f"ABNORMAL_TERMINATION: {name}")
        self.programs[name] = "RUNNING"
        return True

    def _stopProcess(self, name: str, _wait: bool) -> bool:  # noqa: N802 supervisor's name
        self._must_run(name)
        self.on_stop()
        self.programs[name] = "STOPPED"
        return True

    def _signalProcess(self, name: str, _signal: str) -> bool:  # noqa: N802 supervisor's name
        self._must_run(name)
        return True

    def _must_run(self, name: str) -> None:
        if self.programs[name] != "RUNNING":
            raise Fault(70, f"NOT_RUNNING: {name}")


@contextmanager
def supervised(path: Path, **programs: str) -> Iterator[FakeSupervisor]:
    """Answer at `path`, which has at most 107 bytes, until the end; programs by their states."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with FakeSupervisor(path, programs) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()
