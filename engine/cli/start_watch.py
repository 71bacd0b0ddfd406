"""Says on the terminal of a desk when it is ready, what does not start and why, and how it ended.

supervisord itself is silent there: an address and a password alone look like a desk that runs.
Runs beside it as `python -m engine.cli.start_watch HOME STATE`. Once all programs have started a
shell of a megabyte takes its place; at Ctrl-C, or when supervisord has ended, that runs it with
`--ended`.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from engine.clock import WallClock
from engine.errors import PitbossError
from storage.supervisor import (
    BY_HAND,
    FAILURES,
    RUNNING,
    ProgramStatus,
    failures,
    programs,
    ready,
    socket_in,
)
from storage.switch import WAIT_S, EngineSwitch

LOOK_S = 0.5
LOOKS_MAX = 1_200
READY = "ready"
"""No program's name: what was said once."""

STEADY_S = 60
"""What has run for so long has started. supervisord says so after 2 s: a busy machine takes longer
to load a program that then finds out that it cannot."""


def watch(home: Path) -> None:
    """Print each failure once, until every program has started or the supervisor has ended."""
    parent, said = os.getppid(), set[str]()
    for look in range(1, LOOKS_MAX + 1):
        time.sleep(LOOK_S)
        if os.getppid() != parent:
            return
        needed = dict[str, ProgramStatus]()
        with suppress(*FAILURES):  # it does not answer yet
            needed = programs(socket_in(home / "run"))
        needed.pop(BY_HAND, None)
        if READY not in said and ready(needed, os.environ.get("DESK_PORT", "")):
            print(f"The desk is ready after {look * LOOK_S:.0f} s", flush=True)
            said.add(READY)
        if needed and all(map(_steady, needed.values())):
            return
        for name, sentence in failures(needed, home / "log").items():
            if name not in said:
                print(sentence, file=sys.stderr, flush=True)
            said.add(name)


def _steady(program: ProgramStatus) -> bool:
    return program.state == RUNNING and program.now_s - program.start_s >= STEADY_S


# -- The end of a desk: the engine's proof, on the terminal it was started from --------------------

ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""What asks a desk to end, or reaches all it was started with: the proof is said all the same."""

_SAYS = 'trap "" INT TERM HUP; exec "$1" -m engine.cli.start_watch "$2" "$4" --ended'
WAITS = f"trap '{_SAYS}' INT TERM HUP; while kill -0 \"$3\" 2>/dev/null; do sleep 1; done; {_SAYS}"
"""Waits for Ctrl-C, another request to end, or the end of process `$3`, in a shell: Python would
take 25 MB for it. A second Ctrl-C must not end who says what the first has led to."""


def ended(home: Path, state: Path, clock: Callable[[], int], *, end_s: float = WAIT_S) -> str:
    """Wait until the engine has stopped; return what is proven of that, empty = it did not run.

    `clock` gives ns UTC. Raises StorageError where the state file cannot be read.
    """
    switch = EngineSwitch(
        run_folder=home / "run",
        state_path=state,
        start_paused_path=home / "run" / "start_paused",
    )
    found = switch.wait_for_end(clock, end_s=end_s)
    return found.sentence() if found.ran else ""


def main(home: Path, state: Path, *, is_over: bool) -> None:
    """Watch the start, then hand over to the shell that waits for the end; or say how it ended."""
    parent = os.getppid()
    if not is_over:
        for number in ENDS:
            signal.signal(number, signal.default_int_handler)
        try:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDS)  # who starts this had them wait
            watch(home)
        except KeyboardInterrupt:
            is_over = True
        else:
            words = ["sh", sys.executable, str(home), str(parent), str(state)]
            os.execv("/bin/sh", ["/bin/sh", "-c", WAITS, *words])  # noqa: S606 our own words
    for number in ENDS:
        signal.signal(number, signal.SIG_IGN)  # the wait has an end of its own
    with suppress(PitbossError):
        said = ended(home, state, WallClock().now_ns)
        if said:
            print(said, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), is_over="--ended" in sys.argv[3:])
