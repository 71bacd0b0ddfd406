"""A growing delay after wrong passwords, kept in a file so that a restart does not forgive."""

from __future__ import annotations

from pathlib import Path

import msgspec

FREE = 3
"""Wrong passwords without a delay: people mistype."""

DELAY_S_MAX = 900
SECOND_NS = 1_000_000_000


class Lockout(msgspec.Struct, frozen=True, kw_only=True):
    """How many wrong passwords in a row, and until when no further one is looked at."""

    failures: int = 0
    until_ns: int = 0
    refused: int = 0
    """Guesses that came too early and were not looked at, since the last one that was."""

    def wait_s(self, now_ns: int) -> int:
        """Return the seconds left to wait, rounded up; a clock set back cannot prolong them."""
        left = -((now_ns - self.until_ns) // SECOND_NS)
        return max(0, min(left, self.delay_s))

    @property
    def delay_s(self) -> int:
        """The delay after the last wrong password: 2, 4, 8 … 900 s."""
        over = self.failures - FREE
        return min(2 ** min(over, 20), DELAY_S_MAX) if over > 0 else 0

    def failed(self, now_ns: int) -> Lockout:
        """Return the state after one more wrong password."""
        more = Lockout(failures=self.failures + 1)
        return Lockout(failures=more.failures, until_ns=now_ns + more.delay_s * SECOND_NS)


def read(path: Path) -> Lockout:
    """Return the state on the disk; none, or a torn one, is a clean slate."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Lockout)
    except (FileNotFoundError, msgspec.DecodeError):
        return Lockout()


def write(path: Path, state: Lockout) -> None:
    """Keep the state. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = path.with_suffix(".tmp")
    beside.write_bytes(msgspec.json.encode(state))
    beside.replace(path)
