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
    """Watches one feed's events for one house. `count` = gaps of this start."""

    def __init__(self, house: Services, feed: str) -> None:
        self._house = house
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
        self._end(instrument, self._house.clock.now_ns())

    def _begin(self, name: InstrumentId, now_ns: int, reason: str) -> None:
        house, feed = self._house, self._feed
        self._open[name] = now_ns
        self.count += 1
        house.state.write(
            lambda c: begin_gap(
                c, house.engine_id, feed, instrument=name, since_ns=now_ns, reason=reason
            )
        )

    def _end(self, name: InstrumentId, now_ns: int) -> None:
        since_ns = self._open.pop(name, None)
        if since_ns is None:
            return
        house, feed = self._house, self._feed
        house.state.write(
            lambda c: end_gap(
                c, house.engine_id, feed, instrument=name, since_ns=since_ns, until_ns=now_ns
            )
        )
