"""Feeds that bring nothing, as the engine tells them with its heartbeat."""

from __future__ import annotations

from collections.abc import Iterator

from engine.watch.conditions import Since, StateSeen
from engine.watch.desk import Trouble

SECOND_NS = 1_000_000_000


class Connections:
    """Reads how the feeds are."""

    every_s = 2.0

    def __init__(self) -> None:
        self._since = Since()

    def find(self, seen: StateSeen) -> Iterator[Trouble]:
        """Give feeds that have been in trouble, or silent with markets to hear of, for too long."""
        for_s = seen.alerts.thresholds.connection_s
        feeds = seen.detail.get("feeds") or {}
        troubled = {name: one["trouble"] for name, one in feeds.items() if one.get("trouble")}
        lost = self._since.longer(troubled, for_s * SECOND_NS, seen.now_ns)
        for name, one in sorted(feeds.items()):
            silent_ms = one.get("last_word_ms")
            silent = one.get("markets") and silent_ms is not None and silent_ms > for_s * 1_000
            if name not in lost and not silent:
                continue
            said = troubled.get(name) or f"nothing was received for {silent_ms / 1_000:,.0f} s"
            yield Trouble(kind="connection_lost", subject=name, text=f"feed {name}: {said}")


CONDITION = Connections
