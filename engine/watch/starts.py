"""How often a program began again after it had ended by itself: a start that was asked for is none.

Supervisor says when a program was started last, not why. Its next start is asked for where it would
not do one by itself.
"""

from __future__ import annotations

import json
from collections.abc import MutableMapping

from engine.watch.desk import SECOND_NS
from storage.supervisor import ProgramStatus

RESTARTS, WITHIN_NS = 3, 600 * SECOND_NS
"""So many within so long are a crash loop."""

LEFT_ALONE = ("STOPPED", "STOPPING", "FATAL")
"""States after which supervisor starts a program only where it is asked to."""

ENDS_FOR_GOOD = (0, 2, 6)
"""Exit codes after which it does the same; `exitcodes` in supervisord.conf."""


class ProgramStarts:
    """The starts of one program that a watch has seen, remembered over a restart of the watch."""

    def __init__(self, name: str) -> None:
        self._name = f"{name} starts"
        self._was: tuple[int, int] | None = None
        """The start that was seen last."""
        self._asked = False

    def ask(self) -> None:
        """Note that the program's next start is one that was asked for."""
        self._asked = True

    def look(
        self,
        program: ProgramStatus | None,
        memory: MutableMapping[str, str],
        now_ns: int,
        *,
        instead: tuple[int, int] | None = None,
    ) -> int:
        """Return how many starts within ten minutes followed an end by itself.

        `program` is supervisor's word, `instead` names the last start where there is none.
        """
        kept = json.loads(memory.get(self._name, "[]"))
        starts = [at for at in kept if now_ns - WITHIN_NS < at <= now_ns]
        if program is not None and left_alone(program):
            self._asked = True
        now = instead
        if program is not None:
            # Without its process: that may have ended already.
            now = (0, program.start_s) if program.start_s else None
        if now is not None and now != self._was:
            if self._was is not None and not self._asked:
                starts.append(now_ns)
            self._was = now
            # A start that supervisor has given up already is followed by none of its own.
            self._asked = program is not None and left_alone(program)
        memory[self._name] = json.dumps(starts)
        return len(starts)


def left_alone(program: ProgramStatus) -> bool:
    """Say whether supervisor waits to be asked before it starts a program again."""
    exited = program.state == "EXITED" and program.exit_code in ENDS_FOR_GOOD
    return exited or program.state in LEFT_ALONE


def again(name: str, count: int) -> str:
    """Return the sentence of a crash loop."""
    return f"{name} ended by itself and was started again {count} times within 10 minutes"
