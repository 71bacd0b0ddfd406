"""A clock for tests."""

from __future__ import annotations


class ManualClock:
    """A clock that is told the time."""

    def __init__(self, now_ns: int = 0) -> None:
        self._now_ns = now_ns

    def now_ns(self) -> int:
        return self._now_ns

    def set_back(self, ns: int) -> None:
        """Be set back, as a person or a time server sets a machine's clock."""
        self._now_ns -= ns

    def advance(self, ns: int) -> None:
        """Let time pass."""
        assert ns >= 0
        self._now_ns += ns
