"""The instrument catalog on request: a venue's listing compared with what is known."""

from __future__ import annotations

import asyncio

import msgspec

from engine.domain.commands import Answered, SyncMarkets
from engine.errors import BadInput, PitbossError
from engine.live.commands.registry import Pending, command, part
from engine.live.engine import Engine
from engine.runtime.venue_plugin import MarketData
from engine.venues.registry import plugins


@part
class MarketCommands:
    """Refreshes the catalog of one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._tasks: set[asyncio.Task[None]] = set()

    def sync(self, venue: str, told: Answered) -> None:
        """Ask the venue for its listing; `told` hears the counts. Raises BadInput."""
        engine, plugin = self._engine, plugins().get(venue)
        if plugin is None or plugin.market is None:
            heard = ", ".join(one.id for one in plugins().values() if one.market is not None)
            raise BadInput(f"the listing of {venue!r} cannot be asked for: those are {heard}")
        if not any(one.venue == venue for one in engine.settings.document.accounts.values()):
            raise BadInput(f"there is no account at {plugin.title} here: nothing is asked there")
        market = engine.accounts.venues.markets[venue]
        task = asyncio.create_task(self._sync(market, plugin.title, told))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _sync(self, market: MarketData, title: str, told: Answered) -> None:
        try:
            said = await market.sync(self._engine)
        except (PitbossError, msgspec.DecodeError) as error:
            told(False, f"{title} told no listing: {error}")
        else:
            told(True, said)


@command(SyncMarkets)
def sync(engine: Engine, command: SyncMarkets, who: str) -> Pending:
    """Compare the catalog with the venue's listing."""
    del who
    pending = Pending()
    engine.part(MarketCommands).sync(command.venue, pending.done_or_failed)
    return pending
