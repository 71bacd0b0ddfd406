"""The suite's workers as forks of one process that has collected it: tests are imported once.

`pytest -p tests.workers --workers 4`, on Linux. A worker of pytest-xdist collects by itself, ten
seconds of CPU each; otherwise this does what its `--dist loadfile` does: the tests of a file stay
with one worker, files are handed out in their order, and what a worker finds goes through the
reports' own hooks to the process that prints them.
"""

from __future__ import annotations

import atexit
import os
import pickle
import selectors
import struct
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from itertools import groupby
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest

TOKEN = struct.Struct("=i")
"""The number of a file in the order of the run, and the length of a message."""
CHUNK_BYTES = 1 << 20

Sent = Callable[[str, Any], None]
"""Sends a message (its kind, its content) to the process that prints."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--workers", type=int, default=0, help="run the tests in this many forks")


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """Run what was collected in forks of this process; None = in this process, as pytest does."""
    count = session.config.getoption("--workers")
    if count < 1 or session.config.option.collectonly or session.testsfailed:
        return None
    files = [list(items) for _, items in groupby(session.items, lambda item: item.path)]
    session.config._tmp_path_factory.getbasetemp()  # one for all, made before they part
    tokens = _handed_out(len(files))
    workers = [Worker(session, files, tokens, number) for number in range(count)]
    try:
        _listen(session, workers, tokens)
    finally:
        _drain(tokens)
        for worker in workers:
            worker.wait()
    if lost := [worker.words for worker in workers if worker.words]:
        raise session.Interrupted("; ".join(lost))
    if session.shouldfail:
        raise session.Failed(session.shouldfail)
    if session.shouldstop:
        raise session.Interrupted(session.shouldstop)
    return True


def _handed_out(files: int) -> int:
    """Return the reading end of a pipe that holds the number of each file, once."""
    reading, writing = os.pipe()
    os.write(writing, b"".join(TOKEN.pack(number) for number in range(files)))
    os.close(writing)
    return reading


def _taken(tokens: int) -> int | None:
    """Take the number of the next file that no worker has; None = there is none."""
    read = os.read(tokens, TOKEN.size)
    return TOKEN.unpack(read)[0] if read else None


def _drain(tokens: int) -> None:
    """Leave no file to be taken: workers end with the one they have."""
    while os.read(tokens, CHUNK_BYTES):
        pass


class Worker:
    """One fork, as the process that prints sees it."""

    def __init__(
        self, session: pytest.Session, files: list[list[pytest.Item]], tokens: int, number: int
    ) -> None:
        self.words = ""
        """How it ended where it should not have; empty = as it should."""
        self.running: tuple[str, Any] | None = None
        """Node id and place of the test it runs."""
        self._unread = b""
        self.reading, writing = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self.reading)
            _work(session, files, tokens, number, writing)
        os.close(writing)

    def messages(self) -> Iterator[tuple[str, Any]]:
        """Give what it said since the last look; ends with `end` where it said its last."""
        read = os.read(self.reading, CHUNK_BYTES)
        if not read:
            yield "end", None
            return
        self._unread += read
        while len(self._unread) >= TOKEN.size:
            end = TOKEN.size + TOKEN.unpack_from(self._unread)[0]
            if len(self._unread) < end:
                return
            message, self._unread = self._unread[TOKEN.size : end], self._unread[end:]
            yield pickle.loads(message)

    def wait(self) -> None:
        """Wait for its end."""
        os.close(self.reading)
        _, status = os.waitpid(self.pid, 0)
        if code := os.waitstatus_to_exitcode(status):
            at = f" in {self.running[0]}" if self.running else ""
            self.words = f"a worker ended with {code}{at}"


def _listen(session: pytest.Session, workers: list[Worker], tokens: int) -> None:
    """Pass on what workers report until each has ended."""
    hook = session.config.hook
    with selectors.DefaultSelector() as selector:
        for worker in workers:
            selector.register(worker.reading, selectors.EVENT_READ, worker)
        while selector.get_map():
            for key, _ in selector.select():
                worker = key.data
                for kind, content in worker.messages():
                    if kind == "end":
                        selector.unregister(worker.reading)
                        _died(session, worker)
                    elif kind == "start":
                        worker.running = content
                        hook.pytest_runtest_logstart(nodeid=content[0], location=content[1])
                    elif kind == "finish":
                        hook.pytest_runtest_logfinish(nodeid=content[0], location=content[1])
                        worker.running = None
                    else:
                        _reported(session, content)
            if session.shouldfail or session.shouldstop:
                _drain(tokens)


def _reported(session: pytest.Session, content: Mapping[str, Any]) -> None:
    hook = session.config.hook
    report = hook.pytest_report_from_serializable(config=session.config, data=content)
    hook.pytest_runtest_logreport(report=report)


def _died(session: pytest.Session, worker: Worker) -> None:
    """Report the test in which a worker died; what it did not come to is said at the end."""
    if worker.running is None:
        return
    nodeid, location = worker.running
    words = f"worker {worker.pid} ended while it ran this test"
    report = pytest.TestReport(nodeid, tuple(location), {}, "failed", words, "call")
    session.config.hook.pytest_runtest_logreport(report=report)


# -- in the fork -----------------------------------------------------------------------------------


def _work(
    session: pytest.Session, files: list[list[pytest.Item]], tokens: int, number: int, writing: int
) -> NoReturn:
    """Run files until none is left; the process ends here."""
    code = 1
    try:
        atexit._clear()  # what was registered is the business of the process that prints
        _part(session.config, number)

        def send(kind: str, content: Any) -> None:
            message = pickle.dumps((kind, content))
            _write(writing, TOKEN.pack(len(message)) + message)

        session.config.pluginmanager.register(Sender(session.config, send), "sender")
        _run(session, files, tokens, send)
        atexit._run_exitfuncs()
        code = 0
    finally:
        if sys.exc_info()[0] not in (None, KeyboardInterrupt):
            traceback.print_exc(file=sys.__stderr__)
        os._exit(code)


def _part(config: pytest.Config, number: int) -> None:
    """Give this fork what two processes cannot share: captured streams, a folder, no terminal."""
    capture = config.pluginmanager.getplugin("capturemanager")
    capture.stop_global_capturing()
    capture.start_global_capturing()
    config.pluginmanager.unregister(name="terminalreporter")
    factory = config._tmp_path_factory
    factory._basetemp = factory.getbasetemp() / f"worker-{number}"
    factory._basetemp.mkdir(mode=0o700)
    # A page under test is written to a file named by its text: of two forks that draw the same
    # page at once, one would read it while the other has just emptied it, and draw nothing.
    if (pages := sys.modules.get("streamlit.testing.v1.app_test")) is not None:
        mine = factory._basetemp / "pages"
        mine.mkdir()
        # The folder of all is removed by the process that made it, not where it is forgotten.
        pages.TMP_DIR = SimpleNamespace(name=str(mine), of_all=pages.TMP_DIR)


def _run(session: pytest.Session, files: list[list[pytest.Item]], tokens: int, send: Sent) -> None:
    """Run one file after another; the next is taken before a file's last test.

    So that its last test ends what the next one has no need of, as in one process.
    """
    number = _taken(tokens)
    while number is not None:
        items, number = files[number], None
        for place, item in enumerate(items):
            if place + 1 < len(items):
                following = items[place + 1]
            else:
                number = _taken(tokens)
                following = None if number is None else files[number][0]
            started = (item.nodeid, item.location)
            send("start", started)
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            send("finish", started)


class Sender:
    """Sends each report of this fork to the process that prints."""

    def __init__(self, config: pytest.Config, send: Sent) -> None:
        self._config, self._send = config, send

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        hook = self._config.hook
        content = hook.pytest_report_to_serializable(config=self._config, report=report)
        self._send("report", content)


def _write(writing: int, message: bytes) -> None:
    while message:
        message = message[os.write(writing, message) :]
