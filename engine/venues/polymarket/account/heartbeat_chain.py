"""The heartbeat's chain of ids: which id the next beat carries, and who else is beating. Pure.

The first beat carries "" and arms; each answer names the id of the next one; a wrong one is refused
with the right one (reference of the trading API, §5.6). One refusal is natural after a start and
after a beat whose answer was lost; any other means that a second program beats with this key.
"""

from __future__ import annotations

from engine.errors import AuthRefused

STRANGE_MAX = 2
"""Refusals nothing explains before we are sure of a second writer."""


class SecondWriter(AuthRefused):
    """Another program beats with our key: it may place and cancel beside us."""


class Beats:
    """One API key's chain."""

    __slots__ = ("_again", "_excused", "_strange", "next_id")

    def __init__(self) -> None:
        self.next_id = ""
        """What the next beat must carry."""
        self._excused = True
        self._strange = 0
        self._again = False

    def answered(self, next_id: str) -> None:
        """Take the id of the next beat from the answer to this one."""
        self.next_id = next_id
        self._excused = False
        self._again = False

    def lost(self) -> None:
        """Know that a beat was not answered: the venue may have moved on without us."""
        self._excused = True

    def refused(self, expected: str) -> None:
        """Take the id the venue waits for. Raises SecondWriter where somebody else is beating."""
        self.next_id = expected
        again, self._again = self._again, True
        if self._excused:
            self._excused = False
            return
        self._strange += 1
        if again or self._strange >= STRANGE_MAX:
            raise SecondWriter(
                "another program sends heartbeats with this API key: stop it, or give this engine "
                "a key of its own"
            )
