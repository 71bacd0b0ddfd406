"""An engine whose turns take long, and orders that are answered late."""

from __future__ import annotations

from collections.abc import Iterator

from engine.watch.conditions import Since, StateSeen, judged
from engine.watch.desk import Trouble

FOR_NS = 60 * 1_000_000_000
SLOW = "latency"
TURNS = ""
"""The subject of slow turns; that of late answers is `answers`."""

ANSWERS = "answers"
ANSWERS_MIN = 3
"""So few answers of a minute are judged by nothing: one that hung is no latency."""


class Latency:
    """Reads how long the turns of the last second took, and the answers of the last minute."""

    every_s = 5.0
    kinds = (SLOW,)

    def __init__(self) -> None:
        self._since = Since()

    def find(self, seen: StateSeen) -> Iterator[Trouble]:
        """Give a turn time, or a time until orders are answered, too long for a minute."""
        limits = seen.alerts.thresholds
        looks = {
            TURNS: lambda: _turns(seen, limits.turn_ms),
            ANSWERS: lambda: _answers(seen, limits.answer_ms),
        }
        rows = [{"name": name} for name in looks]
        found, unread = judged(
            "what the engine measured:",
            rows,
            lambda row: str(row["name"]),
            lambda row: looks[row["name"]](),
        )
        yield from unread
        slow = {one.subject: one for one in found.values()}
        for subject in self._since.longer(slow, FOR_NS, seen.now_ns, seen.stood(SLOW)):
            yield slow[subject]


def _turns(seen: StateSeen, most_ms: float) -> Trouble | None:
    p99_ms = (seen.detail.get("turn_p99_us") or 0.0) / 1_000
    if p99_ms <= most_ms:
        return None
    text = f"99 of 100 turns took up to {p99_ms:,.1f} ms, for a minute or longer"
    return Trouble(kind=SLOW, subject=TURNS, text=text, numbers={"turn p99": f"{p99_ms:,.1f} ms"})


def _answers(seen: StateSeen, most_ms: float) -> Trouble | None:
    count = seen.detail.get("answers") or 0
    median_ms = seen.detail.get("answer_ms_median") or 0.0
    slowest_ms = seen.detail.get("answer_ms_max") or 0.0
    if count < ANSWERS_MIN or median_ms <= most_ms:
        return None
    text = (
        f"half of the last minute's {count:,} new orders were answered after {median_ms:,.0f} ms "
        f"or later, the slowest after {slowest_ms:,.0f} ms, for a minute or longer"
    )
    numbers = {"answer median": f"{median_ms:,.0f} ms", "slowest": f"{slowest_ms:,.0f} ms"}
    return Trouble(kind=SLOW, subject=ANSWERS, text=text, numbers=numbers)


CONDITION = Latency
