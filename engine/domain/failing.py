"""Questions that keep failing: since when, why, and when a person must hear of it. Pure."""

from __future__ import annotations

import msgspec

S = 1_000_000_000
PATIENCE_NS = 60 * S
"""How long a question may fail before a person hears of it."""
REPEAT_NS = 600 * S
"""How often a person hears of it from then on."""
REASON_MAX = 300


class _Failing(msgspec.Struct, kw_only=True):
    since_ns: int
    due_ns: int
    said: bool = False


class FailingQuestions:
    """Which questions of one account fail, by name. One that is answered is forgotten."""

    __slots__ = ("_failing",)

    def __init__(self) -> None:
        self._failing: dict[str, _Failing] = {}

    def failed(self, question: str, reason: str, now_ns: int) -> str:
        """Note that a question got no usable answer. Return what to tell a person; empty = nothing.

        A clock that went back begins the minute anew.
        """
        known = self._failing.get(question)
        if known is None or now_ns < known.since_ns:
            self._failing[question] = _Failing(since_ns=now_ns, due_ns=now_ns + PATIENCE_NS)
            return ""
        if now_ns < known.due_ns:
            return ""
        known.due_ns, known.said = now_ns + REPEAT_NS, True
        seconds = (now_ns - known.since_ns) // S
        return f"the venue has not told {question} for {seconds} s: {reason[:REASON_MAX]}"

    def answered(self, question: str) -> str:
        """Note an answer. Return what to tell a person; empty = its failure was not reported."""
        known = self._failing.pop(question, None)
        return f"the venue tells {question} again" if known is not None and known.said else ""
