"""A venue's mode as an account believes it: a word of the venue ages, as every word does.

No venue is bound to say that it opened, and an answer that comes late may carry a mode that is
over. So a closed mode is believed for a bounded time; then, a step at a time, more is tried. What
is tried is refused untouched where the venue is closed still, and that word begins the time anew.
"""

from __future__ import annotations

from datetime import UTC, datetime

from engine.domain.events import ModeChanged, VenueMode

S = 1_000_000_000
BELIEVED_NS = 30 * S
"""How long a closed mode is believed where the venue does not say how long it lasts."""

BELIEVED_NS_MIN = 5 * S
"""Polymarket's restarts say "1 s" each time, however long they last (polymarket.md §3.3)."""

BELIEVED_NS_MAX = 600 * S
"""The longest time to wait that is taken from a venue."""


class ModeBelief:
    """What one venue takes, as far as one account knows."""

    __slots__ = ("mode", "reason", "until_ns")

    def __init__(self) -> None:
        self.mode = VenueMode.OPEN
        self.reason = ""
        """What the venue said of a closed mode; empty = nothing."""
        self.until_ns: int | None = None
        """Until when a closed mode is believed without being received again; None = it is open."""

    def take(self, event: ModeChanged, now_ns: int) -> None:
        self.mode, self.reason = event.mode, event.reason or ""
        if event.mode is VenueMode.OPEN:
            self.until_ns = None
            return
        asked_ns = event.retry_after_ns or BELIEVED_NS
        self.until_ns = now_ns + max(BELIEVED_NS_MIN, min(BELIEVED_NS_MAX, asked_ns))

    @property
    def words(self) -> str:
        """Name the mode, until when it is believed, and why, for people."""
        if self.until_ns is None or not self.reason:
            return f"venue is {self.mode}"
        until = datetime.fromtimestamp(self.until_ns // S, UTC)
        return f"venue is {self.mode} until {until:%H:%M:%S} UTC, then it is tried: {self.reason}"

    def age(self, now_ns: int) -> bool:
        """Believe one step more where a closed mode was not received again; True = it changed.

        Whatever was closed takes post-only orders first: that is how venues come back, and one that
        is refused has cost nothing.
        """
        aged = False
        while self.until_ns is not None and now_ns >= self.until_ns:
            aged = True
            if self.mode is VenueMode.POST_ONLY:
                self.mode, self.until_ns = VenueMode.OPEN, None
            else:
                self.mode, self.until_ns = VenueMode.POST_ONLY, self.until_ns + BELIEVED_NS
        return aged
