"""The market channel: shards of sockets around one core, and REST where the sockets cannot prove.

What the core tells goes to `publish`, all that came at once together; every frame goes to `tape`.
Law M: a market that says nothing is asked for over REST; a PONG on its socket and a book of the
same hash prove it. Where REST has a newer book than a silent socket the feed is frozen: it is
opened anew. A torn book is asked for again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from engine.domain.events import BookChanged, BookProven, BookReplaced, Event
from engine.domain.instruments import InstrumentId
from engine.errors import PitbossError
from engine.feeds.counts import FeedCounts
from engine.venues.polymarket.market.core import MarketFeedCore
from engine.venues.polymarket.market.listing import Listing
from engine.venues.polymarket.market.rest import BOOKS_MAX, PublicRest
from engine.venues.polymarket.market.shard import Shard

FEED = "polymarket"
SECOND_NS = 1_000_000_000
UPKEEP_S = 0.25
"""How often torn books, waiting connections and silent markets are looked at."""

QUIET_NS = 3 * SECOND_NS
"""A market silent for this long is proven over REST; the oldest accepted proof is 10 s."""

PONG_NS_MAX = 12 * SECOND_NS
"""The last PONG of a socket must be younger for its quiet markets to count as proven."""

RETRY_NS = SECOND_NS
"""After REST failed, or did not mend a book: when it is asked again."""

FROZEN_NS = SECOND_NS
"""A socket that says nothing for this long after REST had a newer book is frozen."""

PATIENCE_NS = SECOND_NS
"""How long frames that wait may keep a batch open, or a market from being closed."""

BOOKS_PER_TURN = 16
"""After so many books in a row the loop's other work gets its turn."""

PROOFS = frozenset({BookChanged, BookReplaced, BookProven})


class MarketChannel:
    """Follows markets until `unwatch`. `run` it until cancelled; call `advance` as time passes."""

    def __init__(
        self,
        url: str,
        *,
        rest: PublicRest,
        counts: FeedCounts,
        now_ns: Callable[[], int],
        publish: Callable[[list[Event], int], None],
        tape: Callable[[str, bytes, int], None],
    ) -> None:
        self.core = MarketFeedCore(counts)
        self.shards: list[Shard] = []
        self._url = url
        self._rest = rest
        self._now_ns = now_ns
        self._publish = publish
        self._tape = tape
        self._shard_of: dict[InstrumentId, Shard] = {}
        self._asked_ns: dict[InstrumentId, int] = {}
        """When a market's book was asked for last."""
        self._ahead_ns: dict[int, int] = {}
        """Shard → when REST was asked and had a book that the socket had not sent."""
        self._proven_ns: dict[InstrumentId, int] = {}
        self._overdue = False
        """Time had run out when it was looked at last."""
        self._gathered: list[Event] = []
        self._gathered_ns = 0
        self._losses = 0
        """Connections lost so far: what REST answers across a loss is no news of a live feed."""
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._numbers = 0
        self.reason = ""
        """Why REST failed last; empty = it answered."""
        self.received_ns = 0
        """When the last frame came; 0 = none did."""

    # -- what is followed --------------------------------------------------------------------------

    def watch(self, listing: Listing) -> None:
        """Follow a market from now on; its first book comes as soon as a socket and REST say so."""
        instrument = listing.instrument
        if instrument.id in self._shard_of:
            return
        events = self.core.watch(
            instrument,
            listing.tick,
            neg_risk=listing.neg_risk,
            min_order_size=listing.min_order_size,
        )
        tokens = instrument.tokens or ()
        shard = next((one for one in self.shards if one.room >= len(tokens)), None)
        if shard is None:
            shard = self._new_shard()
        self._shard_of[instrument.id] = shard
        shard.add(tokens)
        self._publish(events, self._now_ns())

    def unwatch(self, instrument: InstrumentId) -> None:
        """Follow a market no more; a socket without tokens is closed."""
        shard = self._shard_of.pop(instrument, None)
        market = self.core.watched(instrument)
        if shard is not None and market is not None:
            shard.remove(market.tokens)
        self.core.unwatch(instrument)
        self._asked_ns.pop(instrument, None)
        self._proven_ns.pop(instrument, None)
        if shard is not None and not shard.tokens:
            self.shards.remove(shard)
            self._tasks.pop(shard.number).cancel()

    @property
    def watched(self) -> tuple[InstrumentId, ...]:
        return tuple(self._shard_of)

    def trouble(self) -> str:
        """Return why nothing is received on some socket, or empty."""
        return next((shard.why for shard in self.shards if shard.why), "")

    def _new_shard(self) -> Shard:
        self._numbers += 1
        shard = Shard(
            self._url,
            number=self._numbers,
            now_ns=self._now_ns,
            received=self._received,
            turned=self._flush,
            lost=self._lost,
        )
        self.shards.append(shard)
        self._tasks[shard.number] = asyncio.get_running_loop().create_task(shard.socket.run())
        return shard

    # -- what is received --------------------------------------------------------------------------

    def _received(self, frame: bytes, at_ns: int) -> None:
        """Take a frame; publish what it says with what else has come by now."""
        self.received_ns = at_ns
        self._tape("polymarket.market", frame, at_ns)
        self._gather(self.core.receive(frame, at_ns), at_ns)

    def _gather(self, events: list[Event], at_ns: int) -> None:
        for event in events:
            if type(event) in PROOFS:
                self._proven_ns[event.instrument] = at_ns  # type: ignore[attr-defined]
        self._gathered += events
        self._gathered_ns = at_ns

    def _flush(self) -> None:
        """Tell what was gathered, as of the moment of the last of it."""
        if self._gathered:
            gathered, self._gathered = self._gathered, []
            self._publish(gathered, self._gathered_ns)

    def _take(self, events: list[Event], at_ns: int) -> None:
        self._gather(events, at_ns)
        self._flush()

    def _lost(self, shard: Shard, reason: str) -> None:
        names = [name for name, place in self._shard_of.items() if place is shard]
        if shard.why:  # published as lost when it ended, but for what was restored since
            names = [name for name in names if self._trusts(name)]
            if not names:
                return
        self._losses += 1
        self._flush()
        self._publish(self.core.lose(reason, names), self._now_ns())

    def advance(self, now_ns: int) -> None:
        """Let time pass: batches that stayed open, markets that close. Several times a second.

        A batch is not torn because we are late: the rest of it may be read, or wait in TCP, while
        this is called. So nothing may wait, and the sockets be read between two calls.
        """
        late_ns = now_ns - self.core.due_ns
        due = late_ns >= 0 and not any(shard.socket.waiting for shard in self.shards)
        if (due and self._overdue) or late_ns >= PATIENCE_NS:
            self._take(self.core.advance(now_ns), now_ns)
            due = False
        self._overdue = due

    # -- REST --------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Ask over REST for whatever the sockets cannot prove, until cancelled."""
        try:
            while True:
                await asyncio.sleep(UPKEEP_S)
                await self._upkeep()
        finally:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _upkeep(self) -> None:
        for task in self._tasks.values():
            if task.done():
                task.result()  # a socket never ends by itself: its error is the engine's
        for name in [name for name in self._shard_of if self.core.watched(name) is None]:
            self.unwatch(name)  # it was over long ago, and the core forgot it
        now_ns = self._now_ns()
        for shard in tuple(self.shards):
            self._reconnect_frozen(shard, now_ns)
            if shard.settling and now_ns >= shard.settle_ns:
                await self._settle(shard)
        due = [name for name, shard in self._shard_of.items() if self._due(name, shard, now_ns)]
        for start in range(0, len(due), BOOKS_MAX):
            await self._ask(due[start : start + BOOKS_MAX], now_ns)

    def _due(self, name: InstrumentId, shard: Shard, now_ns: int) -> bool:
        """Say whether a market's book is to be asked for now."""
        market = self.core.watched(name)
        if market is None or market.closed or not shard.socket.connected or shard.settling:
            return False
        if now_ns - self._asked_ns.get(name, 0) < RETRY_NS:
            return False
        return not market.trusted or now_ns - self._proven_ns.get(name, 0) >= QUIET_NS

    async def _settle(self, shard: Shard) -> None:
        """Tell the books a new connection begins with, then what it said meanwhile."""
        connection = shard.connections

        def alive() -> bool:
            return shard.connections == connection and shard.settling

        names = [name for name, place in self._shard_of.items() if place is shard]
        tokens = [
            token
            for name in names
            if (market := self.core.watched(name)) is not None and not market.closed
            for token in market.tokens
        ]
        try:
            books = await self._rest.books(tokens)
        except PitbossError as error:
            self.reason = str(error)
            shard.refused(self._now_ns())
            return  # nothing is published before REST answers
        self.reason = ""
        await self._books(books, alive)
        if alive():
            shard.release()
            shard.why = ""

    async def _ask(self, names: list[InstrumentId], now_ns: int) -> None:
        """Ask for the books of quiet and torn markets; what is equal is proof."""
        markets = [market for name in names if (market := self.core.watched(name)) is not None]
        whole = {market.instrument.id for market in markets if market.trusted}
        self._asked_ns |= dict.fromkeys(names, now_ns)
        losses = self._losses
        try:
            books = await self._rest.books([market.primary().asset_id for market in markets])
        except PitbossError as error:
            self.reason = str(error)
            return
        self.reason = ""
        for event in await self._books(books, lambda: self._losses == losses):
            # A book that was whole and is another one over REST: the socket has not sent it.
            if type(event) is BookReplaced and event.instrument in whole:
                shard = self._shard_of.get(event.instrument)
                if shard is not None:
                    self._ahead_ns.setdefault(shard.number, now_ns)

    async def _books(self, books: list[bytes], alive: Callable[[], bool]) -> list[Event]:
        """Take REST books while their sockets live; return their events.

        A book no socket follows is old at once: it must not restore what was published as lost.
        """
        news: list[Event] = []
        for number, book in enumerate(books, 1):
            if not alive():
                break
            at_ns = self._now_ns()
            self._tape("polymarket.rest.book", book, at_ns)
            events = [e for e in self.core.receive(book, at_ns) if self._counts(e, at_ns)]
            self._take(events, at_ns)
            news += events
            if number % BOOKS_PER_TURN == 0:
                await asyncio.sleep(0)
        return news

    def _trusts(self, name: InstrumentId) -> bool:
        market = self.core.watched(name)
        return market is not None and market.trusted

    def _counts(self, event: Event, at_ns: int) -> bool:
        if type(event) is not BookProven:
            return True
        shard = self._shard_of.get(event.instrument)
        return shard is not None and (
            at_ns - max(shard.socket.pong_ns, shard.data_ns) <= PONG_NS_MAX
        )

    def _reconnect_frozen(self, shard: Shard, now_ns: int) -> None:
        """Open a socket anew that says nothing although REST had a newer book a while ago."""
        ahead_ns = self._ahead_ns.get(shard.number)
        if ahead_ns is None:
            return
        if shard.data_ns >= ahead_ns or not shard.socket.connected:
            del self._ahead_ns[shard.number]
        elif now_ns - ahead_ns >= FROZEN_NS:
            del self._ahead_ns[shard.number]
            shard.socket.drop("the feed is frozen: REST has newer books")
