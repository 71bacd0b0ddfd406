"""When a closed venue may be tried again: nobody tells that it opened. Pure.

After a restart (425) the pause doubles from one second to thirty; the other modes last as long as
the venue says, or half a minute (trading API, §5.8).
"""

from __future__ import annotations

from engine.domain.events import VenueMode

S = 1_000_000_000
PAUSE_NS_MIN = 1 * S
PAUSE_NS_MAX = 30 * S


class Closing:
    """The door of one venue as an account finds it."""

    __slots__ = ("_again", "mode", "retry_ns")

    def __init__(self) -> None:
        self.mode = VenueMode.OPEN
        self.retry_ns: int | None = None
        """When a place may be tried again; None = the door is open as far as we know."""
        self._again = 0

    def shut(self, mode: VenueMode, retry_after_ns: int, now_ns: int) -> None:
        """Take the venue's word that it is closed; `retry_after_ns` 0 = it did not say how long."""
        self._again = self._again + 1 if mode is self.mode else 0
        self.mode = mode
        if mode is VenueMode.RESTARTING:
            # The venue says "1 s" each time, however long it stays away.
            pause_ns = max(retry_after_ns, min(PAUSE_NS_MAX, PAUSE_NS_MIN << min(self._again, 10)))
        else:
            pause_ns = retry_after_ns or PAUSE_NS_MAX
        self.retry_ns = now_ns + pause_ns

    def passed(self, *, post_only: bool) -> None:
        """Know that a place was judged: taken, or refused for a reason of its own."""
        if post_only and self.mode is VenueMode.POST_ONLY:
            return  # what such a door lets through anyway says nothing about it
        self.mode, self.retry_ns, self._again = VenueMode.OPEN, None, 0
