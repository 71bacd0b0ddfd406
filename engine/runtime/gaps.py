"""Gaps of a feed as rows: since when a book could not be trusted, until when, and why."""

from __future__ import annotations

from engine.domain.events import (
    BookDistrusted,
    BookReplaced,
    Event,
    FeedLost,
    InstrumentClosed,
    InstrumentResolved,
)
from engine.domain.instruments import InstrumentId
from engine.runtime.services import Services
from storage.feeds import begin_gap, end_gap

OPEN_MAX = 10_000


class Gaps:
    """Watches one feed's events for one engine. `count` = gaps of this start."""

    def __init__(self, services: Services, feed: str) -> None:
        self._services = services
        self._feed = feed
        self._open: dict[InstrumentId, int] = {}
        """Instrument → since when."""
        self.count = 0

    def hear(self, event: Event, now_ns: int) -> None:
        """Take an event of the feed."""
        kind = type(event)
        if kind is BookReplaced:
            if self._open:
                self._end(event.instrument, now_ns)  # type: ignore[attr-defined]
        elif kind is BookDistrusted or kind is FeedLost:
            name = event.instrument  # type: ignore[attr-defined]
            if name not in self._open and len(self._open) < OPEN_MAX:
                self._begin(name, now_ns, event.reason)  # type: ignore[attr-defined]
        elif kind is InstrumentClosed or kind is InstrumentResolved:
            self._end(event.instrument, now_ns)  # type: ignore[attr-defined]

    def forget(self, instrument: InstrumentId) -> None:
        """Watch an instrument no more."""
        self._end(instrument, self._services.clock.now_ns())

    def _begin(self, name: InstrumentId, now_ns: int, reason: str) -> None:
        services, feed = self._services, self._feed
        self._open[name] = now_ns
        self.count += 1
        services.state.write(
            lambda c: begin_gap(
                c, services.engine_id, feed, instrument=name, since_ns=now_ns, reason=reason
            )
        )

    def _end(self, name: InstrumentId, now_ns: int) -> None:
        since_ns = self._open.pop(name, None)
        if since_ns is None:
            return
        services, feed = self._services, self._feed
        services.state.write(
            lambda c: end_gap(
                c, services.engine_id, feed, instrument=name, since_ns=since_ns, until_ns=now_ns
            )
        )
