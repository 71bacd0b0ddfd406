"""The instrument catalog on request: a venue's listing compared with what is known."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec

from engine.domain.commands import SyncMarkets
from engine.domain.events import BookReplaced, Event, InstrumentClosed, InstrumentListed
from engine.domain.instruments import Instrument, InstrumentId
from engine.errors import BadInput, NotSent, PitbossError
from engine.live.commands.registry import Pending, command, part
from engine.live.engine import Engine
from engine.runtime.account_runner import AccountRunner
from engine.venues.demo import wire
from engine.venues.demo.client import DemoVenue
from engine.venues.polymarket.market.catalog import sync as sync_polymarket
from engine.venues.polymarket.market.source import VENUE as POLYMARKET

VENUE = "demo"
PREFIX = f"{VENUE}:"
LISTING_S = 5.0
"""How long the exchange may take to tell all its markets."""

Told = Callable[[bool, str], None]


@part
class MarketCommands:
    """Refreshes the catalog of one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._tasks: set[asyncio.Task[None]] = set()

    def sync(self, venue: str, told: Told) -> None:
        """Ask the venue for its listing; `told` hears the counts. Raises BadInput."""
        if venue == POLYMARKET:
            self._sync_polymarket(told)
            return
        if venue != VENUE:
            raise BadInput(
                f"the listing of {venue!r} cannot be asked for: the demo exchange and Polymarket "
                "answer"
            )
        door = next((d for d in self._engine.venues.values() if isinstance(d, DemoVenue)), None)
        if door is None:
            raise BadInput("there is no account at the demo exchange here")
        self._ask(self._sync(door, told))

    def _sync_polymarket(self, told: Told) -> None:
        accounts = self._engine.settings.document.accounts.values()
        if not any(one.venue == POLYMARKET for one in accounts):
            raise BadInput("there is no account at Polymarket here: nothing is asked there")
        self._ask(sync_polymarket(self._engine, told))

    def _ask(self, question: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(question)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _sync(self, door: DemoVenue, told: Told) -> None:
        before = self._known()
        try:
            async with asyncio.timeout(LISTING_S):
                frame = await _opening(door)
        except TimeoutError:
            told(False, f"the demo exchange told no listing within {LISTING_S:g} s")
        except (PitbossError, msgspec.DecodeError) as error:
            told(False, f"the demo exchange told no listing: {error}")
        else:
            told(True, self.reconcile(frame, before))

    def _runners(self) -> list[AccountRunner]:
        """Return the accounts that look at the exchange."""
        engine = self._engine
        return [
            runner
            for account, runner in engine.runners.items()
            if isinstance(engine.venues.get(account), DemoVenue)
            or any(key.startswith(PREFIX) for key in runner.desk.cache.views)
        ]

    def _known(self) -> dict[InstrumentId, Instrument | None]:
        """Return what is known of the exchange's markets; None = closed."""
        return {
            key: None if view.closed else view.instrument
            for runner in self._runners()
            for key, view in runner.desk.cache.views.items()
            if key.startswith(PREFIX)
        }

    def reconcile(
        self, frame: wire.MarketFrame, before: dict[InstrumentId, Instrument | None]
    ) -> str:
        """Take what differs from a whole listing; give the counts in a sentence.

        `before` is what was known when the listing was asked for: what the stream told meanwhile
        is newer than the listing. Books of what is known are the stream's alone for that reason.
        """
        engine, now_ns, known = self._engine, self._engine.clock.now_ns(), self._known()
        listed, books = _read(frame)
        quiet = {
            key: one for key, one in known.items() if one is not None and one == before.get(key)
        }
        new = [one for key, one in listed.items() if key not in known]
        changed = [one for key, one in listed.items() if key in quiet and quiet[key] != one]
        gone = [key for key in quiet if key not in listed]
        events: list[Event] = []
        for one in new + changed:
            events.append(InstrumentListed(instrument=one))
            if one.id not in known and one.id in books:
                events.append(books[one.id])
        events += [InstrumentClosed(instrument=key) for key in gone]
        for event in events:
            if not isinstance(event, BookReplaced):
                engine.keep(event, now_ns)
        for runner in self._runners():
            runner.market(events, now_ns)
        return (
            f"{len(listed)} markets are open at {VENUE}: {len(new)} new, {len(changed)} changed, "
            f"{len(gone)} gone"
        )


async def _opening(door: DemoVenue) -> wire.MarketFrame:
    """Return every market as it stands: the first frame of a fresh stream."""
    async for raw in door.listen(wire.MARKET):
        return wire.unpack_market(raw)
    raise NotSent("the stream ended before its first frame")


def _read(
    frame: wire.MarketFrame,
) -> tuple[dict[InstrumentId, Instrument], dict[InstrumentId, BookReplaced]]:
    """Return what is open in a listing, and the books."""
    listed: dict[InstrumentId, Instrument] = {}
    books: dict[InstrumentId, BookReplaced] = {}
    for event in frame.events:
        if isinstance(event, InstrumentListed):
            listed[event.instrument.id] = event.instrument
        elif isinstance(event, BookReplaced):
            books[event.instrument] = event
        elif isinstance(event, InstrumentClosed):
            listed.pop(event.instrument, None)
    return listed, books


@command(SyncMarkets)
def sync(engine: Engine, command: SyncMarkets, who: str) -> Pending:
    """Compare the catalog with the venue's listing."""
    del who
    pending = Pending()
    engine.part(MarketCommands).sync(command.venue, pending.done_or_failed)
    return pending
