"""What happens to markets by the clock: series that roll, and games that start."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from engine.domain.orders import CancelReason
from engine.venues.demo.timeline import TimelineEntry
from tests.fakes.polymarket.exchange import VenueExchange
from tests.fakes.polymarket.listing import Listed, window
from tests.fakes.polymarket.settings import S

if TYPE_CHECKING:
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
        timeline.set(first_ns + length_ns, TimelineEntry.ACTOR, self.name)

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


class GameStarts:
    """Clears the books of games that begin (polymarket.md §5.3). An actor."""

    name = "games"

    def __init__(self, exchange: VenueExchange) -> None:
        self._exchange = exchange
        self._games: list[Listed] = []
        exchange.join(self)

    def watch(self, market: Listed) -> None:
        """Clear this market's book when its game starts."""
        if market.clear_book_on_start and market.game_start_ns is not None:
            self._games.append(market)
            number = len(self._games) - 1
            self._exchange.timeline.set(
                market.game_start_ns, TimelineEntry.ACTOR, self.name, number
            )

    def wake(self, topic: int, now_ns: int) -> None:  # noqa: ARG002 - an actor's door
        """End everything that rests in a game's market."""
        book = self._exchange.order_entry.markets[self._games[topic].instrument].book
        self._exchange.order_entry.withdraw(book.resting(), CancelReason.VENUE)

    def state(self) -> bytes:
        """Nothing survives: this venue lives in memory."""
        return b""

    def restore(self, state: bytes) -> None:
        """Nothing to take back."""
