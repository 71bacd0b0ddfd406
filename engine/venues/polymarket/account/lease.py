"""The heartbeat without its wire: when a beat is sent, which id it bears, who else beats. Pure.

A beat tells the venue that this engine watches its orders, so it is sent only while everything that
watches them is proven to work. When that ends, quoting stops first: at once where we know why, and
before the venue's own limit where beats stay unanswered. Reference of the trading API, §5.6: ten
silent seconds cancel everything of the key, looked for every five; there is no disarming.
"""

from __future__ import annotations

from engine.errors import AuthRefused

S = 1_000_000_000
HEARTBEAT_EVERY_NS = 5 * S
RETRY_NS = 1 * S
"""After a beat that failed: three more fit into the time the venue grants."""
QUOTES_STOP_NS = 8 * S
"""A valid beat older than this and nothing is quoted any more."""
LAPSES_NS = 10 * S
CHECK_EVERY_NS = 5 * S


class HealthLease:
    """One API key's lease. Times are when a beat was sent: the venue had it no earlier."""

    __slots__ = ("armed_ns", "ended", "last_ns", "next_ns", "why")

    def __init__(self) -> None:
        self.why = "nothing is proven yet"
        """Why no beat is sent; empty = everything is proven."""
        self.ended = ""
        """Why none will be sent any more: a person must act."""
        self.armed_ns: int | None = None
        self.last_ns: int | None = None
        """When the last beat was sent that the venue took; None = none was."""
        self.next_ns = 0

    def look(self, why: str) -> None:
        """Take what is not proven at this moment; empty = everything is."""
        self.why = why

    def end(self, why: str) -> None:
        """Beat no more."""
        self.ended = why

    def due(self, now_ns: int) -> bool:
        """Say whether a beat is to be sent now."""
        return not self.why and not self.ended and now_ns >= self.next_ns

    def renew(self, sent_ns: int) -> None:
        """Know that the venue took the beat sent at a time."""
        if self.armed_ns is None:
            self.armed_ns = sent_ns
        self.last_ns = sent_ns
        self.next_ns = sent_ns + HEARTBEAT_EVERY_NS

    def missed(self, now_ns: int) -> None:
        """Know that a beat stayed without a good answer."""
        self.next_ns = now_ns + RETRY_NS

    def forbids(self, now_ns: int) -> str:
        """Return why nothing may be quoted; empty = it may."""
        if self.ended:
            return self.ended
        if self.why:
            return f"no heartbeat is sent: {self.why}"
        if self.last_ns is None:
            return "the venue has accepted no heartbeat yet"
        silent_ns = now_ns - self.last_ns
        if silent_ns > QUOTES_STOP_NS:
            return f"the venue has accepted no heartbeat for over {QUOTES_STOP_NS / S:.0f} s"
        return ""

    def lapsed(self, now_ns: int) -> bool:
        """Say whether the venue has given up waiting for the beat after the last one."""
        return self.last_ns is not None and now_ns - self.last_ns >= LAPSES_NS

    @property
    def cancels_ns(self) -> int | None:
        """When the venue will have cancelled everything unless it receives another beat."""
        return None if self.last_ns is None else self.last_ns + LAPSES_NS + CHECK_EVERY_NS


# -- The chain of ids ------------------------------------------------------------------------------
# The first beat carries "" and arms; each answer names the id of the next one; a wrong one is
# refused with the right one (§5.6). One refusal is natural after a start, after a beat whose answer
# was lost, and after a silence in which the venue may have dropped the chain; any other means that
# a second program beats with this key.

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
