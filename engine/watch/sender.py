"""The sender: starts one short-lived program per delivery and collects what became of it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import msgspec

from engine.watch.send import Outcome, SendOrder

AT_ONCE_MAX = 3
"""Most deliveries that are on their way at the same moment; each takes some 60 MB for a second."""

TIMEOUT_S = 60.0
SECOND_NS = 1_000_000_000
PING = "ping"
"""The name of the call of the dead man's switch: it waits for no other, one runs at a time."""

BACK_OFF_S = (10, 30, 60, 120, 300, 600, 900, 1_800)
"""How long is waited after each refusal; the last one from then on."""

PERMANENT_S = 900
"""How long is waited where a person must change something first: it may be fixed by then."""

GIVE_UP_NS = 24 * 3_600 * SECOND_NS
"""A message that no attempt of a day has delivered is given up."""

REPOSITORY = Path(__file__).resolve().parents[2]
KEPT = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "VIRTUAL_ENV",
    "PYTHONFAULTHANDLER",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
)
"""What the programs of the watch keep of the environment: no key, no credential."""

UNANSWERED = f"no answer within {TIMEOUT_S:g} s"


def clean_environment() -> dict[str, str]:
    return {name: os.environ[name] for name in KEPT if name in os.environ}


def wait_ns(attempts: int, outcome: Outcome) -> int:
    """Return how long is waited after the refusal of attempt `attempts`, the first being 1."""
    waits = PERMANENT_S if outcome.permanent else BACK_OFF_S[min(attempts, len(BACK_OFF_S)) - 1]
    return int(max(waits, outcome.retry_after_s or 0) * SECOND_NS)


class Sends(Protocol):
    """What carries orders out."""

    def room(self) -> int:
        """Return how many more may be on their way."""
        ...

    def start(self, name: str, order: SendOrder) -> bool:
        """Begin, under a name; False = too many are on their way."""
        ...

    def finished(self) -> list[tuple[str, Outcome]]:
        """Return what ended since the last call, by its name."""
        ...

    def stop(self) -> None: ...


class ChildSender:
    """Starts programs; waits for none."""

    def __init__(self, *, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._running: dict[str, tuple[subprocess.Popen[bytes], float]] = {}

    def room(self) -> int:
        """Return how many more may run."""
        return max(0, AT_ONCE_MAX - len(self._running.keys() - {PING}))

    def start(self, name: str, order: SendOrder) -> bool:
        """Start the program of an order; False = too many run."""
        if name in self._running or not (self.room() or name == PING):
            return False
        child = subprocess.Popen(
            [sys.executable, "-m", "engine.watch.send"],
            cwd=REPOSITORY,
            env=clean_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._running[name] = child, self._now_s()
        if child.stdin is not None:
            with suppress(OSError), child.stdin as given:  # where it ended, `finished` tells how
                given.write(msgspec.json.encode(order))
        return True

    def finished(self) -> list[tuple[str, Outcome]]:
        """Return outcomes of programs that ended, or took too long and were ended."""
        found = []
        for name, (child, since_s) in list(self._running.items()):
            late = self._now_s() - since_s > TIMEOUT_S
            if child.poll() is None and not late:
                continue
            found.append((name, _outcome(child, late=late)))
            del self._running[name]
        return found

    def stop(self) -> None:
        """End every program that still runs."""
        for child, _ in self._running.values():
            _end(child)
        self._running.clear()


def _end(child: subprocess.Popen[bytes]) -> None:
    child.kill()
    child.wait()
    if child.stdout is not None:
        child.stdout.close()


def _outcome(child: subprocess.Popen[bytes], *, late: bool) -> Outcome:
    if late and child.poll() is None:
        _end(child)
        return Outcome(error=UNANSWERED)
    said = b""
    if child.stdout is not None:
        with child.stdout as output:
            said = output.read()
    try:
        return msgspec.json.decode(said, type=Outcome)
    except msgspec.MsgspecError:
        return Outcome(error=f"the program that sends ended with code {child.returncode}")
