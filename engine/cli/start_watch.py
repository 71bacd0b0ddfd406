"""Says on the terminal which program of a desk does not start, and why; ends once all have started.

supervisord itself is silent there: an address and a password alone look like a desk that runs.
Runs beside it as `python -m engine.cli.start_watch HOME`.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from storage.supervisor import FAILURES, RUNNING, ProgramStatus, programs, socket_in

LOOK_S = 0.5
LOOKS_MAX = 1_200
BY_HAND = "kill"
"""The program that is started when it is needed."""

ENDED = frozenset({"BACKOFF", "EXITED", "FATAL", "UNKNOWN"})
FOR_GOOD = frozenset({"EXITED", "FATAL"})
STEADY_S = 60
"""What has run for so long has started. supervisord says so after 2 s: a busy machine takes longer
to load a program that then finds out that it cannot."""

TAIL_BYTES = 4_096


def failures(seen: Mapping[str, ProgramStatus], logs: Path) -> dict[str, str]:
    """Return program → the sentence that says it does not start."""
    found = {}
    for name, one in seen.items():
        if one.state not in ENDED and not one.stop_s:
            continue
        last = _last_line(logs / f"{name}.log")
        why = f": {last}" if last else f": {one.spawn_error}" if one.spawn_error else ""
        again = "; it is not tried again" if one.state in FOR_GOOD else "; it is tried again"
        found[name] = f"{name.upper()} DOES NOT START{why}{again}. More in {logs / name}.log"
    return found


def _last_line(log: Path) -> str:
    with suppress(OSError), log.open("rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL_BYTES))
        lines = file.read().decode(errors="replace").strip().splitlines()
        return lines[-1].strip() if lines else ""
    return ""


def watch(home: Path) -> None:
    """Print each failure once, until every program has started or the supervisor has ended."""
    parent, said = os.getppid(), set[str]()
    for _ in range(LOOKS_MAX):
        time.sleep(LOOK_S)
        if os.getppid() != parent:
            return
        needed = dict[str, ProgramStatus]()
        with suppress(*FAILURES):  # it does not answer yet
            needed = programs(socket_in(home / "run"))
        needed.pop(BY_HAND, None)
        if needed and all(map(_steady, needed.values())):
            return
        for name, sentence in failures(needed, home / "log").items():
            if name not in said:
                print(sentence, file=sys.stderr, flush=True)
            said.add(name)


def _steady(program: ProgramStatus) -> bool:
    return program.state == RUNNING and program.now_s - program.start_s >= STEADY_S


if __name__ == "__main__":
    watch(Path(sys.argv[1]))
