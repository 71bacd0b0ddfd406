"""Who wants what: one subscription per key `venue:feed:params`, however many want it."""

from __future__ import annotations

from collections.abc import Iterable

from engine.errors import BadInput

KEYS_MAX = 5_000
"""Subscriptions of one feed at once."""


class Subscriptions:
    """Counts holders per key. Keys come out in the order in which they were first wanted."""

    def __init__(self) -> None:
        self._wants: dict[str, dict[str, None]] = {}
        self._holders: dict[str, dict[str, None]] = {}

    @property
    def keys(self) -> tuple[str, ...]:
        """Everything anybody wants."""
        return tuple(self._holders)

    def holders(self, key: str) -> tuple[str, ...]:
        """Return who wants a key."""
        return tuple(self._holders.get(key, ()))

    def want(self, holder: str, keys: Iterable[str]) -> tuple[list[str], list[str]]:
        """Replace what a holder wants; give (keys wanted by somebody now, by nobody any more).

        Raises BadInput, having changed nothing, where that were more than `KEYS_MAX`.
        """
        wanted = dict.fromkeys(keys)
        before = self._wants.get(holder, {})
        new = [key for key in wanted if key not in self._holders]
        if len(self._holders) + len(new) > KEYS_MAX:
            raise BadInput(f"more than {KEYS_MAX} subscriptions are wanted at once")
        gone: list[str] = []
        for key in before:
            if key in wanted:
                continue
            holders = self._holders[key]
            del holders[holder]
            if not holders:
                del self._holders[key]
                gone.append(key)
        for key in wanted:
            self._holders.setdefault(key, {})[holder] = None
        self._wants[holder] = wanted
        if not wanted:
            del self._wants[holder]
        return new, gone
