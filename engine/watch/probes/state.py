"""The state database: gone, damaged, or locked by a program that does not let go."""

from __future__ import annotations

from collections.abc import Iterator

from engine.watch.desk import SECOND_NS, Desk, Trouble, program_name, write_lock_holder

LOCKED_NS = 30 * SECOND_NS
"""How long one program may hold the lock: the longest write of the desk takes seconds."""


class StateProbe:
    """Looks at the file itself and at who holds its lock."""

    every_s = 2.0

    def __init__(self) -> None:
        self._holder: int | None = None
        self._since_ns = 0
        self._unreadable_ns = 0

    def look(self, desk: Desk, now_ns: int) -> Iterator[Trouble]:
        """Give why nothing can be read or written."""
        found = desk.unreadable
        # A time later than now was noted before the clock went back.
        self._unreadable_ns = min(self._unreadable_ns or now_ns, now_ns) if found else 0
        if found is not None:
            # A page of a file that is being replaced may be read torn once.
            if now_ns - self._unreadable_ns >= 2 * SECOND_NS or desk.stood(found.kind):
                yield Trouble(kind=found.kind, text=found.text)
            return
        holder = write_lock_holder(desk.place.state_path)
        if holder != self._holder:
            self._holder, self._since_ns = holder, now_ns
        self._since_ns = min(self._since_ns, now_ns)
        held_ns = now_ns - self._since_ns
        if holder is not None and (held_ns >= LOCKED_NS or desk.stood("state_locked")):
            name = program_name(holder)
            text = (
                f"{desk.place.state_path.name} is locked for writing by process {holder}"
                f"{f' ({name})' if name else ''} for {held_ns // SECOND_NS} s"
            )
            yield Trouble(kind="state_locked", text=text, numbers={"process": str(holder)})


PROBE = StateProbe
