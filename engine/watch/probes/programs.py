"""Worker, dashboard and demo exchange, as supervisor has them; and supervisor itself."""

from __future__ import annotations

from collections.abc import Iterator

from engine.watch.desk import SECOND_NS, Desk, Trouble

DOWN_NS = 20 * SECOND_NS
"""How long a program may be away: supervisor starts it again within seconds."""

WATCHED = ("worker", "dashboard", "demo")
UP = ("RUNNING", "STARTING", "STOPPING")


class ProgramsProbe:
    """Looks at every program but the engine."""

    every_s = 2.0

    def __init__(self) -> None:
        self._since_ns: dict[str, int] = {}

    def look(self, desk: Desk, now_ns: int) -> Iterator[Trouble]:
        """Give the programs that are down."""
        if desk.orphaned:
            yield Trouble(
                kind="desk_gone",
                text="the supervisor that started the programs has ended without stopping them",
            )
        for name in WATCHED:
            program = desk.program(name)
            if program is None or program.state in UP:
                self._since_ns.pop(name, None)
                continue
            since_ns = self._since_ns.setdefault(name, now_ns)
            if now_ns - since_ns < DOWN_NS:
                continue
            by_hand = program.state == "STOPPED" and "Not started" not in program.words
            said = f"supervisor says {program.state}: {program.words}"
            if program.exit_code:
                said += f", exit code {program.exit_code}"
            if by_hand:
                said += "; a person stopped it"
            yield Trouble(kind=f"{name}_down", text=said)


PROBE = ProgramsProbe
