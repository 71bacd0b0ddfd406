"""A market channel that receives the fake venue, and what it told."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from engine.domain.events import Event
from engine.domain.instruments import InstrumentId
from engine.feeds.counts import FeedCounts
from engine.venues.polymarket.market.channel import MarketChannel
from engine.venues.polymarket.market.rest import PublicRest
from engine.venues.polymarket.market.source import Discovery
from tests.fakes.polymarket.crowd import Crowd
from tests.fakes.polymarket.server import Served, serving
from tests.venues.polymarket.adapter import urls


async def until(true: Callable[[], object], what: str, seconds: float = 40.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what}")
        await asyncio.sleep(0.01)


@dataclass
class Received:
    served: Served
    counts: FeedCounts
    rest: PublicRest
    channel: MarketChannel
    discovery: Discovery
    crowd: Crowd
    events: list[Event] = field(default_factory=list)
    frames: dict[str, int] = field(default_factory=dict)

    def of(self, kind: type[Event], name: InstrumentId | None = None) -> list[Event]:
        return [
            event
            for event in self.events
            if type(event) is kind and name in {None, getattr(event, "instrument", None)}
        ]

    async def watch(self, *slugs: str) -> list[InstrumentId]:
        """Find markets by slug, follow them, and wait for their books."""
        names = [
            market.instrument
            for market in self.served.venue.by_condition.values()
            if market.slug in slugs
        ]
        found = await self.discovery.look(names, ())
        for listing in found.listings:
            self.channel.watch(listing)
        await until(lambda: all(self.trusted(name) for name in names), "books are there")
        return names

    def trusted(self, name: InstrumentId) -> bool:
        market = self.channel.core.watched(name)
        return market is not None and market.trusted

    def act(self, times: int) -> None:
        """Let the crowd do something, and the venue say it."""
        for _ in range(times):
            self.crowd.act(self.served.venue.exchange.now_ns)
        self.served.venue.pump()

    def same(self, name: InstrumentId) -> bool:
        """Say whether our book is the venue's."""
        market = self.channel.core.watched(name)
        book = self.served.venue.books[name].book
        bids = tuple((price, book.bids[price]) for price in book.bid_prices)
        asks = tuple((price, book.asks[price]) for price in reversed(book.ask_prices))
        return market is not None and market.trusted and market.primary().sides() == (bids, asks)


@contextlib.asynccontextmanager
async def receiving() -> AsyncIterator[Received]:
    """Serve a venue with a crowd that acts when told, and receive it."""
    async with serving() as served:
        counts, events, frames = FeedCounts(), [], {}

        def tape(kind: str, _frame: bytes, _at_ns: int) -> None:
            frames[kind] = frames.get(kind, 0) + 1

        rest = PublicRest(urls(served.url), counts)
        channel = MarketChannel(
            f"{served.ws}/ws/market",
            rest=rest,
            counts=counts,
            now_ns=time.time_ns,
            publish=lambda batch, _at_ns: events.extend(batch),
            tape=tape,
        )
        discovery = Discovery(rest, time.time_ns)
        crowd = Crowd(served.venue, per_s=1)
        made = Received(served, counts, rest, channel, discovery, crowd, events, frames)
        tasks = [asyncio.ensure_future(channel.run()), asyncio.ensure_future(_advance(channel))]
        try:
            yield made
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await rest.close()


async def _advance(channel: MarketChannel) -> None:
    while True:
        await asyncio.sleep(0.02)
        channel.advance(time.time_ns())
