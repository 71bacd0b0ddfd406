"""Where a recording listens: a stream of its own at the demo exchange, else the venue's hearing.

A public venue is connected to once, for accounts and recordings together: a recording is one more
that wants markets, and keeps them heard while no bot does.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from typing import Any

from engine.clock import Clock
from engine.domain.events import Event
from engine.domain.instruments import InstrumentId
from engine.errors import BadInput
from engine.live.engine import Engine
from engine.runtime.meter import Meter
from engine.runtime.recording import LiveRecording, Source
from engine.venues.demo.client import DemoMarket
from engine.venues.demo.plugin import DEMO
from engine.venues.demo.streams import FEED, MarketStream
from engine.venues.polymarket.market.core import PREFIX
from engine.venues.polymarket.market.routes import Subscriber
from engine.venues.polymarket.market.source import VENUE as POLYMARKET
from engine.venues.polymarket.market.source import PolymarketMarketData

NAMED = re.compile(re.escape(PREFIX) + "0x[0-9a-f]{64}")
"""A market of Polymarket by its condition: whether there is one, its listing says."""


class Apart:
    """What the stream of a recording needs of an engine: its frames are not the engine's."""

    def __init__(self, clock: Clock) -> None:
        self.meter = Meter()
        self.clock = clock

    def tape(self, kind: str, payload: bytes, at_ns: int) -> None:
        """Leave the engine's tape alone: its own stream fills it."""

    def keep(self, event: Event, at_ns: int) -> None:
        """Leave the engine's journal alone."""


class DemoSource:
    """A stream of the demo exchange for one recording."""

    feed = FEED

    def __init__(self, market: DemoMarket, clock: Clock) -> None:
        self._market = market
        self._clock = clock

    async def tell(self, recording: LiveRecording) -> None:
        """Let a recording hear the exchange until cancelled."""
        heard: Callable[[], list[Any]] = lambda: [recording]  # noqa: E731 it is one word
        await MarketStream(Apart(self._clock), heard, kept=False).run(self._market)


class PolymarketSource:
    """Polymarket's market as the accounts hear it, and every reference price that is heard."""

    feed = POLYMARKET

    def __init__(self, hearing: PolymarketMarketData) -> None:
        self._hearing = hearing

    async def tell(self, recording: LiveRecording) -> None:
        """Let a recording hear the venue until cancelled."""
        wanted = recording.seen.instruments
        named = tuple(InstrumentId(one) for one in wanted if one.startswith(PREFIX))
        series = tuple(one for one in wanted if not one.startswith(PREFIX))
        ear = Subscriber(named, series, recording)
        self._hearing.ears.append(ear)
        try:
            await asyncio.Event().wait()
        finally:
            self._hearing.ears.remove(ear)


def venue_of(instruments: Sequence[str]) -> str:
    """Return which venue a recording listens to; series alone are the demo exchange's.

    Raises BadInput where there are two.
    """
    venues = list(dict.fromkeys(one.partition(":")[0] for one in instruments if ":" in one))
    if len(venues) > 1:
        raise BadInput(
            f"a recording listens to one venue, these are of {' and '.join(venues)}: begin one each"
        )
    return venues[0] if venues else DEMO


def source_of(house: Engine, instruments: Sequence[str]) -> Source:
    """Return where to listen for these instruments."""
    venues = house.accounts.venues
    hearing = venues.hearings.get(venue_of(instruments))
    if isinstance(hearing, PolymarketMarketData):
        return PolymarketSource(hearing)
    return DemoSource(venues.market(), house.clock)


def known(house: Engine, venue: str, asked: Sequence[str]) -> set[str]:
    """Return which instruments and series can be recorded at a venue. Raises BadInput."""
    views = [
        view.instrument
        for shell in house.shells.values()
        for view in shell.desk.cache.views.values()
    ]
    here = [one for one in views if one.id.startswith(f"{venue}:")]
    found = {str(one.id) for one in here} | {one.series for one in here if one.series}
    if venue == POLYMARKET:
        accounts = house.settings.document.accounts.values()
        if not any(one.venue == POLYMARKET for one in accounts):
            raise BadInput(
                "no account is at Polymarket, so nothing is heard there: add a paper account with "
                "venue polymarket under Settings, apply it, then record"
            )
        return found | {one for one in asked if NAMED.fullmatch(one)}
    elsewhere = {one.series for one in views if one.id.startswith(PREFIX)} - found
    for one in asked:
        if one in elsewhere:
            raise BadInput(
                f"{one} is a series of Polymarket: name one of its markets, polymarket:0x…, beside "
                "it, so that it is plain which venue is meant"
            )
    return found
