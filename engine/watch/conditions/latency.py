"""An engine whose turns take long."""

from __future__ import annotations

from collections.abc import Iterator

from engine.watch.conditions import Since, StateSeen
from engine.watch.desk import Trouble

FOR_NS = 60 * 1_000_000_000
SLOW = "turns"


class Latency:
    """Reads how long the turns of the last second took."""

    every_s = 5.0

    def __init__(self) -> None:
        self._since = Since()

    def find(self, seen: StateSeen) -> Iterator[Trouble]:
        """Give a turn time that has been too long for a minute."""
        p99_ms = (seen.detail.get("turn_p99_us") or 0.0) / 1_000
        slow = p99_ms > seen.alerts.thresholds.turn_ms
        if self._since.longer([SLOW] if slow else [], FOR_NS, seen.now_ns):
            text = f"99 of 100 turns took up to {p99_ms:,.1f} ms, for a minute or longer"
            yield Trouble(kind="latency", text=text, numbers={"turn p99": f"{p99_ms:,.1f} ms"})


CONDITION = Latency
