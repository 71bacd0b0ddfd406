"""Worker, dashboard and demo exchange, as supervisor has them; and supervisor itself."""

from __future__ import annotations

from collections.abc import Iterator

from engine.watch.desk import SECOND_NS, Desk, Trouble
from engine.watch.starts import RESTARTS, ProgramStarts, again

DOWN_NS = 20 * SECOND_NS
"""How long a program may be away: supervisor starts it again within seconds."""

WATCHED = {
    "worker": "the worker",
    "dashboard": "the dashboard",
    "demo": "the demo exchange",
}
"""Program → what a person calls it."""

UP = ("RUNNING", "STARTING", "STOPPING")


class ProgramsProbe:
    """Looks at every program but the engine."""

    every_s = 1.0

    def __init__(self) -> None:
        self._since_ns: dict[str, int] = {}
        self._starts = {name: ProgramStarts(name) for name in WATCHED}

    def look(self, desk: Desk, now_ns: int) -> Iterator[Trouble]:
        """Give the programs that are down."""
        if desk.orphaned:
            yield Trouble(
                kind="desk_gone",
                text="the supervisor that started the programs has ended without stopping them",
            )
        for name, called in WATCHED.items():
            program = desk.program(name)
            count = self._starts[name].look(program, desk.meta, now_ns)
            if program is None or program.state in UP:
                self._since_ns.pop(name, None)
                if count >= RESTARTS:
                    yield Trouble(kind=f"{name}_down", text=again(called, count))
                continue
            since_ns = self._since_ns[name] = min(self._since_ns.get(name, now_ns), now_ns)
            if now_ns - since_ns < DOWN_NS and not desk.stood(f"{name}_down"):
                continue
            by_hand = program.state == "STOPPED" and "Not started" not in program.words
            said = f"{called} does not run; supervisor says {program.state}: {program.words}"
            if program.exit_code:
                said += f", exit code {program.exit_code}"
            if by_hand:
                said += "; a person stopped it"
            yield Trouble(kind=f"{name}_down", text=said)


PROBE = ProgramsProbe
