"""What happens between frames: a market falls silent, closes, and is forgotten."""

from __future__ import annotations

import heapq
from collections.abc import Iterator

from engine.domain.events import Event, FeedLost, FeedRestored, InstrumentClosed
from engine.lab.recordings.btc5m_market import SECOND_NS, RecordedMarket
from engine.lab.recordings.door import RecordingStats

FEED = "polymarket"
SILENCE_NS = 10 * SECOND_NS
"""A market of this product trades eleven times a second: ten seconds of nothing are a gap."""

FORGET_AFTER_NS = 600 * SECOND_NS
"""A market is dropped from memory so long after its close; its last frames come in seconds."""

NEVER_NS = 1 << 62


class SilenceWatch:
    """Markets by condition id, and the heap of what is due for them."""

    def __init__(self, stats: RecordingStats) -> None:
        self._stats = stats
        self.markets: dict[str, RecordedMarket] = {}
        self.due_ns = NEVER_NS
        """When something is due without a further frame."""
        self._heap: list[tuple[int, int, str, str]] = []
        self._counter = 0

    def add(self, condition: str, market: RecordedMarket, now_ns: int) -> None:
        """Watch a market from its first frame on."""
        self.markets[condition] = market
        starts_ns, closes_ns = window_of(market)
        self._push(max(closes_ns, now_ns), "close", condition)
        self._push(max(now_ns, starts_ns) + SILENCE_NS, "silence", condition)

    def heard(self, condition: str, market: RecordedMarket, now_ns: int) -> list[Event]:
        """Note a frame. Gives FeedRestored where the market had been lost."""
        silent_ns = now_ns - max(market.clock_ns, window_of(market)[0])
        market.clock_ns = now_ns
        if not market.lost:
            return []
        market.lost = False
        self._stats.gap_ns += silent_ns
        self._push(now_ns + SILENCE_NS, "silence", condition)
        return [FeedRestored(feed=FEED, instrument=market.id)]

    def due(self, now_ns: int) -> Iterator[tuple[int, Event]]:
        """Yield what has become due up to now, each at its own time, in order."""
        heap = self._heap
        while heap and heap[0][0] <= now_ns:
            at_ns, _, what, condition = heapq.heappop(heap)
            market = self.markets[condition]
            event = self._happen(at_ns, what, condition, market)
            if event is not None:
                self._stats.events += 1
                yield at_ns, event
        self.due_ns = heap[0][0] if heap else NEVER_NS

    def rest(self) -> Iterator[tuple[int, Event]]:
        """Yield what is due after the last frame: the close of every market is announced.

        A market whose window outlives the recording is lost first: nobody saw the rest of it.
        """
        yield from self.due(NEVER_NS)

    def _happen(
        self, at_ns: int, what: str, condition: str, market: RecordedMarket
    ) -> Event | None:
        if what == "silence":
            return self._silence(at_ns, condition, market)
        if what == "close":
            market.closed = True
            if market.lost:
                market.lost = False
                self._stats.gap_ns += at_ns - max(market.clock_ns, window_of(market)[0])
            self._push(at_ns + FORGET_AFTER_NS, "forget", condition)
            return InstrumentClosed(instrument=market.id)
        del self.markets[condition]
        return None

    def _silence(self, at_ns: int, condition: str, market: RecordedMarket) -> Event | None:
        starts_ns, closes_ns = window_of(market)
        silent_ns = max(market.clock_ns, starts_ns) + SILENCE_NS
        if market.closed or silent_ns >= closes_ns:
            return None
        if silent_ns > at_ns:
            self._push(silent_ns, "silence", condition)
            return None
        market.lost = True
        market.book = None
        self._stats.gaps += 1
        return FeedLost(feed=FEED, instrument=market.id, reason="no frame for 10 s")

    def _push(self, at_ns: int, what: str, condition: str) -> None:
        self._counter += 1
        heapq.heappush(self._heap, (at_ns, self._counter, what, condition))
        self.due_ns = min(self.due_ns, self._heap[0][0])


def window_of(market: RecordedMarket) -> tuple[int, int]:
    """Return (start, close) of the measured window in ns; a 5-minute market has both."""
    instrument = market.instrument
    return instrument.starts_ns or 0, instrument.closes_ns or NEVER_NS
