"""`python -m engine.watch`: the watch itself, started by `python -m engine watch`.

Takes one JSON object (`Place`) as its argument: configuration was read by who started it, so that
this program needs neither pydantic nor the rest of the engine. It ends at SIGTERM; where its
supervisor ends without stopping it, it tells that first, for a minute at most. Before a stop it
looks once more and sends what is due: the engine's last word, that its stop is not proven say.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

import msgspec

from engine.errors import AlreadyRuns
from engine.locks import locked
from engine.watch.desk import SECOND_NS, DeskPlace
from engine.watch.program import Watch, say
from engine.watch.sender import ChildSender
from storage.watch import LOCK

TURN_S = 1.0
LAST_WORDS_S = 60.0
"""How long a watch whose supervisor is gone goes on to tell it."""

STOP_S, LAST_LOOK_S = 6.0, 0.1
"""How long a stop sends what is due; supervisor waits 10 s for it."""

LOCK_WAIT_S = LAST_WORDS_S + 15.0
GRACE_NS = 3 * SECOND_NS


def main(argv: list[str]) -> int:
    """Watch until a signal to end."""
    place = msgspec.json.decode(argv[0], type=DeskPlace)
    ending, parent = threading.Event(), os.getppid()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ending.set())
    try:
        lock = locked(place.home / "run" / LOCK, "watch", LOCK_WAIT_S)
    except AlreadyRuns as error:
        say("refused", reason=str(error))
        return 2
    with lock:
        say("open", pid=os.getpid())
        watch = Watch(
            place, ChildSender(), time.time_ns(), parent_gone=lambda: os.getppid() != parent
        )
        _run(watch, ending, parent, lock.name)
        _send_the_last(watch)
        watch.stop(time.time_ns())
        say("closed")
    return 0


def _run(watch: Watch, ending: threading.Event, parent: int, lock: str) -> None:
    """Turn once a second until a signal to end, or until the supervisor's end is reported."""
    orphan_s: float | None = None
    while not ending.is_set():
        began_s = time.monotonic()
        watch.turn(time.time_ns())
        os.utime(lock)
        if os.getppid() != parent:
            orphan_s = orphan_s or began_s
            quiet = began_s - orphan_s > 2 * TURN_S and not watch.waiting
            if quiet or began_s - orphan_s > LAST_WORDS_S:
                return
        ending.wait(max(0.05, TURN_S - (time.monotonic() - began_s)))


def _send_the_last(watch: Watch) -> None:
    """Look once more and send what is due now, for some seconds at most."""
    until_s = time.monotonic() + STOP_S
    while True:
        watch.turn(time.time_ns())
        if not watch.leaving(time.time_ns()) or time.monotonic() >= until_s:
            return
        time.sleep(LAST_LOOK_S)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
