"""Markets of any venue here as reference prices: `market:VENUE:NAME` is the mid of that market.

An account receives the markets of its own venue. What else its bots name is received beside them,
as a recording of that venue receives it, and handed on as any reference is: taped by the account
that wants it, replayed with it, kept by recordings. A market of which nothing trustworthy stands
(torn, one-sided, closed, lost) gives no price: the last one grows old, and its reader sees by how
much. Where a recording is played nothing is received: its own prices stand in it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from functools import partial

from engine.caches.markets import MarketCache
from engine.caches.views import BookView
from engine.domain.effects import caution
from engine.domain.events import Event, ReferencePriced
from engine.domain.instruments import Instrument, InstrumentId
from engine.live.accounts import Accounts
from engine.live.commands.registry import part
from engine.live.engine import Engine
from engine.runtime.account_runner import AccountRunner
from engine.runtime.aids import Tolerates
from engine.runtime.market_hub import OTHER_MARKET
from engine.runtime.recording import Source

LOOK_NS = 500_000_000
"""How often it is looked at what the bots name, and proven books give their mid again."""

PATIENCE_NS = 10 * 1_000_000_000
"""How long a named market may give no price before a person is alerted."""

E8 = 10**8


def mid_e8(view: BookView) -> int | None:
    """Return the mid of a book in 1e-8 of its currency; None = it is not to be trusted."""
    bid, ask = view.best_bid, view.best_ask
    if not view.trusted or view.closed or bid is None or ask is None:
        return None
    return (bid + ask) * E8 // (2 * view.instrument.price_unit)


class Mids:
    """The mids of some markets of one venue. `give` takes each that moved, or was proven anew."""

    def __init__(
        self, names: tuple[InstrumentId, ...], give: Callable[[ReferencePriced, int], None]
    ) -> None:
        self.names = names
        self._give = give
        self._cache = MarketCache()
        self._given: dict[InstrumentId, tuple[int, int]] = {}
        """The mid that was given last, and of which proof it was."""
        self._task: asyncio.Task[None] | None = None
        self.over = False
        """True = nothing is received any more."""

    async def run(self, source: Source, note: Callable[[str], None]) -> None:
        """Receive until `stop`; `note` takes why it could not go on. Ends as cancelled, always."""
        self._task = asyncio.current_task()
        with Tolerates(note, lambda error: f"the market of {source.feed} beside: {error!r}"):
            if not self.over:
                await source.stream_to(self)
        self.over = True
        raise asyncio.CancelledError  # a stream that ends by itself would end the engine

    def stop(self) -> None:
        """Receive nothing more."""
        self.over = True
        if self._task is not None:
            self._task.cancel()

    def market(self, events: Iterable[Event], now_ns: int) -> None:
        """Take market events of one moment; those of other markets are passed over."""
        moved: dict[InstrumentId, None] = {}
        for event in events:
            about: Instrument | InstrumentId | None = getattr(event, "instrument", None)
            name = about.id if isinstance(about, Instrument) else about
            if name is None or name in self.names:
                self._cache.receive(event, now_ns)
                if name is not None:
                    moved[name] = None
        for name in moved:
            view = self._cache.views.get(name)
            mid = mid_e8(view) if view else None
            if mid is not None and mid != self._given.get(name, (None, 0))[0]:
                self._tell(name, mid, now_ns)

    def repeat(self, now_ns: int) -> None:
        """Give again what was proven since it was given last: its age is that of the proof."""
        for name, view in self._cache.views.items():
            mid = mid_e8(view)
            if mid is not None and view.proof_ns != self._given.get(name, (0, 0))[1]:
                self._tell(name, mid, now_ns)

    def lacks(self, name: InstrumentId) -> str:
        """Return why a market gives no price now; empty = it does."""
        view = self._cache.views.get(name)
        if view is None:
            return "its venue has not listed it"
        if view.closed:
            return "it is closed"
        if not view.trusted:
            return view.distrust
        return "" if mid_e8(view) is not None else "its book lacks a side"

    def _tell(self, name: InstrumentId, mid: int, now_ns: int) -> None:
        self._given[name] = mid, self._cache.views[name].proof_ns or 0
        self._give(ReferencePriced(key=f"{OTHER_MARKET}{name}", price_e8=mid), now_ns)


@part
class OtherMarkets:
    """What bots name of markets beside their own account's. On the loop's thread alone."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._wants: dict[str, tuple[AccountRunner, ...]] = {}
        """Key → accounts whose bots name it."""
        self._streams: dict[str, Mids] = {}
        """Venue → what is received of it."""
        self._lacking: dict[str, int] = {}
        """Key without a price → since when; 0 = a person was alerted."""
        self._notes = engine.notes("feed")
        engine.watch_every(LOOK_NS, self.watch, on_tape=False)

    def watch(self, now_ns: int) -> None:
        """Bring what is received in step with what the bots name."""
        engine = self._engine
        wants: dict[str, dict[AccountRunner, None]] = {}
        for one in engine.bot_runners.values():
            for key in one.bot.declared.references:
                if key.startswith(OTHER_MARKET):
                    wants.setdefault(key, {})[one.runner] = None
        self._wants = {key: tuple(runners) for key, runners in wants.items()}
        self._follow()
        for mids in self._streams.values():
            mids.repeat(now_ns)
        self._warn(now_ns)

    def _follow(self) -> None:
        named: dict[str, list[InstrumentId]] = {}
        for key in sorted(self._wants):
            name = InstrumentId(key.removeprefix(OTHER_MARKET))
            named.setdefault(name.partition(":")[0], []).append(name)
        wanted = {
            venue: tuple(names) for venue, names in named.items() if not self._unreceived(venue)
        }
        for venue, mids in tuple(self._streams.items()):
            if mids.over or wanted.get(venue) != mids.names:
                mids.stop()
                del self._streams[venue]
        engine = self._engine
        for venue in sorted(wanted.keys() - self._streams.keys()):
            market = engine.part(Accounts).venues.markets[venue]
            mids = self._streams[venue] = Mids(wanted[venue], self._give)
            engine.spawn(partial(mids.run, market.source(engine, mids.names), self._notes.add))

    def _unreceived(self, venue: str) -> str:
        engine = self._engine
        accounts = engine.settings.document.accounts.values()
        return engine.part(Accounts).venues.unreceived(venue, accounts)

    def _give(self, event: ReferencePriced, now_ns: int) -> None:
        """Hand a price to the accounts whose bots name it, and to every recording."""
        engine = self._engine
        engine.meter.events(1)
        for runner in self._wants.get(event.key, ()):
            runner.market((event,), now_ns)
        for record in engine.unplaced:
            record((event,), now_ns)

    def _warn(self, now_ns: int) -> None:
        """Alert a person, once, to what has given no price for a while."""
        lacking: dict[str, str] = {}
        for key in self._wants:
            name = InstrumentId(key.removeprefix(OTHER_MARKET))
            venue = name.partition(":")[0]
            mids = self._streams.get(venue)
            why = mids.lacks(name) if mids else self._unreceived(venue)
            if why:
                lacking[key] = why
        self._lacking = {key: self._lacking.get(key, now_ns) for key in lacking}
        for key, since_ns in self._lacking.items():
            if since_ns and now_ns - since_ns >= PATIENCE_NS:
                self._lacking[key] = 0
                text = f"the reference {key} gives no price: {lacking[key]}"
                self._engine.alert(caution("feed", text), now_ns)
