"""A rolling up/down series: windows listed ahead, closed and paid at their end."""

from __future__ import annotations

from random import Random

from engine.venues.demo.timeline import Due
from tests.fakes.polymarket.listing import Listed, window
from tests.fakes.polymarket.settings import S
from tests.fakes.polymarket.venue import Venue

AHEAD = 2
"""Windows that are listed before they begin."""


class Series:
    """Windows of one asset. An actor: it wakes at each window's end."""

    def __init__(self, venue: Venue, *, asset: str, minutes: int, seed: int = 5) -> None:
        self._venue = venue
        self._asset = asset
        self._minutes = minutes
        self._rng = Random(seed)
        self.name = f"series-{asset}-{minutes}"
        self.windows: dict[int, Listed] = {}
        venue.exchange.join(self)

    def start(self) -> None:
        """List the running window and those ahead."""
        self._list(self._venue.exchange.now_ns)

    def _list(self, now_ns: int) -> None:
        length_ns = self._minutes * 60 * S
        first_ns = now_ns // length_ns * length_ns
        for number in range(AHEAD + 1):
            start_ns = first_ns + number * length_ns
            if start_ns not in self.windows:
                made = window(self._asset, self._minutes, start_ns)
                self.windows[start_ns] = self._venue.add(made)
        timeline = self._venue.exchange.timeline
        timeline.set(first_ns + length_ns, Due.ACTOR, self.name)

    def wake(self, topic: int, now_ns: int) -> None:  # noqa: ARG002 - an actor's door
        """Resolve what is over and list what comes."""
        for start_ns in [s for s in self.windows if (self.windows[s].end_ns or 0) <= now_ns]:
            market = self.windows.pop(start_ns)
            market.closed_ns = now_ns
            payout = self._rng.choice((0, 1_000_000))
            self._venue.exchange.listing.resolve(market.instrument, payout, "chainlink")
        self._list(now_ns)

    def state(self) -> bytes:
        """Nothing survives: this venue lives in memory."""
        return b""

    def restore(self, state: bytes) -> None:
        """Nothing to take back."""
