"""The chain of a heartbeat's ids. Pure.

The first beat carries "" and arms; each answer names the id of the next one; a wrong one is refused
with the right one (trading API, §5.6). One refusal is natural after a start, after a beat whose
answer was lost, and after a silence in which the venue may have dropped the chain; any other means
that a second program beats with this key.
"""

from __future__ import annotations

from engine.errors import AuthRefused

UNEXPLAINED_MAX = 2
"""Refusals nothing explains before we are sure of a second writer."""


class SecondWriter(AuthRefused):
    """Another program beats with our key: it may place and cancel beside us."""


class HeartbeatChain:
    """One API key's chain."""

    __slots__ = ("_refusal_expected", "_refused_before", "_unexplained", "next_id")

    def __init__(self) -> None:
        self.next_id = ""
        """What the next beat must carry."""
        self._refusal_expected = True
        self._unexplained = 0
        self._refused_before = False

    def answered(self, next_id: str) -> None:
        self.next_id = next_id
        self._refusal_expected = False
        self._refused_before = False

    def lost(self) -> None:
        """Know that a beat was not answered: the venue may have moved on without us."""
        self._refusal_expected = True

    def refused(self, expected: str) -> None:
        """Take the id the venue waits for. Raises SecondWriter where somebody else is beating."""
        self.next_id = expected
        repeated, self._refused_before = self._refused_before, True
        if self._refusal_expected:
            self._refusal_expected = False
            return
        self._unexplained += 1
        if repeated or self._unexplained >= UNEXPLAINED_MAX:
            raise SecondWriter(
                "another program sends heartbeats with this API key: stop it, or give this engine "
                "a key of its own"
            )
