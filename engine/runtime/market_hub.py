"""One venue's public market for every account and recording that wants some of it.

What is wanted → what is subscribed to → who receives it. Nothing connects before an account of the
venue wants something. Every frame goes on the tape, what lasts into the journal, once; each account
receives the instruments and prices its own bots named, and what it holds; gaps are noted, and a
person is alerted to what stays missing. A venue gives the source: frames in, events out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Protocol

import msgspec

from engine.domain.effects import caution
from engine.domain.events import (
    BookChanged,
    BookDistrusted,
    BookReplaced,
    Event,
    FeedLost,
    InstrumentClosed,
    InstrumentListed,
    InstrumentResolved,
    ReferencePriced,
    StrikeProven,
    TradePrinted,
)
from engine.domain.instruments import Instrument, InstrumentId
from engine.domain.telemetry import FeedStatus
from engine.errors import BadInput, PitbossError
from engine.runtime.account_runner import AccountRunner
from engine.runtime.recording import MarketDataListener
from engine.runtime.services import Services, Stream
from engine.runtime.venue_plugin import MarketData
from storage.feeds import begin_gap, end_gap

LOOK_S = 0.5
"""How often it is looked at what the bots want."""

ALERT_NS = 5 * 1_000_000_000
"""How long something wanted may be missing before a person is alerted."""

MISSING_NAMED = 20
"""Of what is missing so many are named; the rest is counted."""

OPEN_MAX = 10_000

FLEETING = frozenset({BookChanged, TradePrinted})
"""What comes thousands of times a second: it lasts nowhere, and neither begins nor ends a gap."""

LASTING = frozenset({InstrumentListed, InstrumentClosed, InstrumentResolved, StrikeProven})

KEYS_MAX = 5_000
"""Markets, series and prices received at once."""

OTHER_MARKET = "market:"
"""Begins the key of a reference that is the mid of a market: no source of prices has it."""

Wants = tuple[tuple[InstrumentId, ...], tuple[str, ...], tuple[str, ...]]
"""(instruments by name, series, keys of reference prices)."""


def wants_of(services: Services, venue: str, runner: AccountRunner) -> Wants:
    """Return what of a venue an account's bots want, what it holds, works or is looked at in."""
    named: dict[InstrumentId, None] = {}
    series: dict[str, None] = {}
    prices: dict[str, None] = {}
    for bot_runner in services.bot_runners.values():
        if bot_runner.runner is runner:
            bot = bot_runner.bot
            named |= dict.fromkeys(sorted(bot.instruments | bot.followed))
            series |= dict.fromkeys(sorted(bot_runner.bot.series))
            keys = bot_runner.bot.declared.references
            prices |= dict.fromkeys(key for key in keys if not key.startswith(OTHER_MARKET))
    executor = runner.core.executor
    named |= dict.fromkeys(executor.ledger.held)
    named |= dict.fromkeys(executor.concerned())
    named |= services.followed.get(runner.account, {})
    ours = tuple(name for name in named if name.startswith(f"{venue}:"))
    return ours, tuple(series), tuple(prices)


class Subscriber:
    """A recording's wants, and where it receives. Named by no bot, it keeps markets alive."""

    def __init__(
        self, named: tuple[InstrumentId, ...], series: tuple[str, ...], to: MarketDataListener
    ) -> None:
        self.named = named
        self.series = series
        self._to = to

    def market(self, events: Iterable[Event], now_ns: int) -> None:
        """Pass on market events of one moment."""
        self._to.market(events, now_ns)


class Routes:
    """Instrument → accounts that receive it, and the same for prices."""

    def __init__(self) -> None:
        self._wants: dict[
            MarketDataListener, tuple[dict[InstrumentId, None], dict[str, None], dict[str, None]]
        ] = {}
        """Instruments by name, series and prices that each wants."""
        self._listed: dict[InstrumentId, Instrument] = {}
        self._listeners: dict[InstrumentId, tuple[MarketDataListener, ...]] = {}
        self._behind: list[tuple[MarketDataListener, InstrumentId]] = []

    def want(
        self,
        runner: MarketDataListener,
        named: tuple[InstrumentId, ...],
        series: tuple[str, ...],
        prices: tuple[str, ...],
    ) -> None:
        """Take what an account wants now.

        Raises BadInput, having changed nothing, where all want more than `KEYS_MAX` together.
        """
        wants = (dict.fromkeys(named), dict.fromkeys(series), dict.fromkeys(prices))
        if wants == self._wants.get(runner):
            return
        others = (
            keys for one, theirs in self._wants.items() if one is not runner for keys in theirs
        )
        if len(set().union(*wants, *others)) > KEYS_MAX:
            raise BadInput(f"more than {KEYS_MAX} markets, series and prices are wanted at once")
        self._wants[runner] = wants
        for name in list(self._listeners):
            self._route(name)

    def keep(self, listeners: Sequence[MarketDataListener]) -> None:
        """Let everybody else receive nothing any more."""
        for gone in [one for one in self._wants if one not in listeners]:
            self.want(gone, (), (), ())
            del self._wants[gone]

    def place(self, instrument: Instrument) -> None:
        """Take an instrument that was found; whoever wants it hears of it from now on."""
        self._listed[instrument.id] = instrument
        self._listeners[instrument.id] = self._wanting(instrument)

    def _route(self, name: InstrumentId) -> None:
        """Route an instrument anew; who wants it only now is behind."""
        before, now = self._listeners[name], self._wanting(self._listed[name])
        self._behind += [(runner, name) for runner in now if runner not in before]
        if now:
            self._listeners[name] = now
        else:
            del self._listeners[name], self._listed[name]

    def _wanting(self, instrument: Instrument) -> tuple[MarketDataListener, ...]:
        return tuple(
            runner
            for runner, (named, series, _) in self._wants.items()
            if instrument.id in named or (instrument.series and instrument.series in series)
        )

    def behind(self) -> list[tuple[MarketDataListener, InstrumentId]]:
        """Hand out, once, who must receive what in full."""
        behind, self._behind = self._behind, []
        return behind

    def wanted(self, name: InstrumentId) -> bool:
        return bool(self._listeners.get(name))

    def listeners(self, name: InstrumentId) -> tuple[MarketDataListener, ...]:
        return self._listeners.get(name, ())

    def priced(self, key: str) -> tuple[MarketDataListener, ...]:
        return tuple(runner for runner, (_, _, prices) in self._wants.items() if key in prices)

    @property
    def named(self) -> tuple[InstrumentId, ...]:
        return tuple({name: None for named, _, _ in self._wants.values() for name in named})

    @property
    def series(self) -> tuple[str, ...]:
        return tuple({name: None for _, series, _ in self._wants.values() for name in series})

    @property
    def prices(self) -> tuple[str, ...]:
        """Every reference price anybody names."""
        return tuple({key: None for _, _, prices in self._wants.values() for key in prices})


class Gaps:
    """Watches one feed's events for one engine. `count` = gaps of this start."""

    def __init__(self, services: Services, feed: str) -> None:
        self._services = services
        self._feed = feed
        self._open: dict[InstrumentId, int] = {}
        """Instrument → since when."""
        self.count = 0

    def receive(self, event: Event, now_ns: int) -> None:
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
        self._end(instrument, self._services.clock.now_ns())

    def _begin(self, name: InstrumentId, now_ns: int, reason: str) -> None:
        self._open[name] = now_ns
        self.count += 1
        self._services.state.write_row(
            begin_gap, self._feed, instrument=name, since_ns=now_ns, reason=reason
        )

    def _end(self, name: InstrumentId, now_ns: int) -> None:
        since_ns = self._open.pop(name, None)
        if since_ns is not None:
            self._services.state.write_row(
                end_gap, self._feed, instrument=name, since_ns=since_ns, until_ns=now_ns
            )


class MarketSource(Protocol):
    """A venue's market: it tells the hub it was made for. On the loop's thread alone."""

    async def run(self) -> None:
        """Receive until cancelled, then close every connection."""
        ...

    async def follow(self, wanted: Routes) -> None:
        """Subscribe to what is wanted; call `place` and `publish` of the hub for what is found."""
        ...

    def watched(self) -> Iterable[InstrumentId]: ...

    def forget(self, name: InstrumentId) -> None:
        """Unsubscribe: no account or recording wants it any more."""
        ...

    def snapshot(self, name: InstrumentId) -> list[Event]:
        """Return how an instrument stands, for whoever wants it only now."""
        ...

    def lasts(self, event: Event) -> None:
        """Know of an event of a wanted instrument that is about to be journaled."""
        ...

    def missing(self, now_ns: int, wanted: Routes) -> Iterable[str]:
        """Return a sentence for everything wanted that is not received."""
        ...

    def figures(self, now_ns: int) -> FeedStatus:
        """Return how the feed is; gaps and what is missing the hub knows."""
        ...


class HubMarket(MarketData):
    """A market received once for all. A venue's subclass says `venue` and makes its source."""

    venue: str

    def __init__(self) -> None:
        self._runners: list[AccountRunner] = []
        self._begun = False
        self.subscribers: list[Subscriber] = []
        """Recordings that receive it too."""

    def made(self, services: Services, hub: MarketHub) -> MarketSource:
        """Return the source of a hub; it connects in `run`."""
        raise NotImplementedError

    def begin(self, services: Services, runners: list[AccountRunner]) -> list[Stream]:
        """Receive the market for the accounts of a start."""
        self._runners += runners
        if self._begun:
            return []
        self._begun = True
        return [lambda: MarketHub(services, self, self._runners).run()]

    def join(self, services: Services, runner: AccountRunner) -> list[Stream]:
        """Let an account receive the market, and how everything it wants stands."""
        return self.begin(services, [runner])

    def source(self, services: Services, wanted: Sequence[str]) -> Recorded:
        """Return the market as the accounts receive it, and every reference price received."""
        del services
        prefix = f"{self.venue}:"
        named = tuple(InstrumentId(one) for one in wanted if one.startswith(prefix))
        series = tuple(one for one in wanted if not one.startswith(prefix))
        return Recorded(self, named, series)


class Recorded:
    """One listener beside the accounts that receive the venue: a recording, most often."""

    def __init__(
        self, market: HubMarket, named: tuple[InstrumentId, ...], series: tuple[str, ...]
    ) -> None:
        self.feed = market.venue
        self._subscribers = market.subscribers
        self._wants = named, series

    async def stream_to(self, listener: MarketDataListener) -> None:
        """Let a recording, or another listener, receive the venue until cancelled."""
        subscriber = Subscriber(*self._wants, listener)
        self._subscribers.append(subscriber)
        try:
            await asyncio.Event().wait()
        finally:
            self._subscribers.remove(subscriber)


class MarketHub:
    """Everything heard of one venue. Made and used on the loop's thread."""

    def __init__(self, services: Services, market: HubMarket, runners: list[AccountRunner]) -> None:
        self._services = services
        self._venue = market.venue
        self._runners = runners
        self._subscribers = market.subscribers
        self._routes = Routes()
        self._proven: dict[InstrumentId, StrikeProven] = {}
        self._journaled: dict[tuple[type[Event], InstrumentId], Event] = {}
        self._gaps = Gaps(services, market.venue)
        self._missing: dict[str, int] = {}
        """What is wanted and missing → since when; 0 = a person was alerted."""
        self.source = market.made(services, self)

    async def run(self) -> None:
        self._services.feeds[self._venue] = self.figures
        await asyncio.gather(self.source.run(), self._look())

    # -- what is wanted ----------------------------------------------------------------------------

    async def _look(self) -> None:
        while True:
            try:
                await self._follow()
            except PitbossError as error:
                self._services.log.warning("market.look", venue=self._venue, reason=str(error))
            await asyncio.sleep(LOOK_S)

    async def _follow(self) -> None:
        """Bring what is received in step with what the bots want."""
        services, source = self._services, self.source
        for runner in self._runners:
            self._routes.want(runner, *wants_of(services, self._venue, runner))
        for subscriber in self._subscribers:
            self._routes.want(subscriber, subscriber.named, subscriber.series, ())
        self._routes.keep((*self._runners, *self._subscribers))
        await source.follow(self._routes)
        now_ns = services.clock.now_ns()
        for late, name in self._routes.behind():
            events = source.snapshot(name)
            if name in self._proven:
                events.append(self._proven[name])
            if events:
                late.market(events, now_ns)
        for name in list(source.watched()):
            if not self._routes.wanted(name):
                source.forget(name)
                self._gaps.forget(name)
                if services.ticks is not None:
                    services.ticks.forget(name, now_ns)
        self._warn(now_ns)

    def place(self, instrument: Instrument, title: str, slug: str) -> None:
        """Take an instrument that was found, as people call it."""
        self._routes.place(instrument)
        self._services.name(instrument.id, title, slug)

    # -- what is received --------------------------------------------------------------------------

    def publish(self, events: list[Event], now_ns: int) -> None:
        """Keep what lasts, and give each account what it wants."""
        self._services.meter.events(len(events))
        listeners, theirs = self._routes.listeners, dict[MarketDataListener, list[Event]]()
        for event in events:
            if type(event) in FLEETING:
                about = event.instrument  # type: ignore[attr-defined]
            elif type(event) in LASTING and not self._journal_once(event, now_ns):
                continue
            else:
                self._gaps.receive(event, now_ns)
                about = _name(event)
            for listener in listeners(about):
                theirs.setdefault(listener, []).append(event)
        for listener, received in theirs.items():
            listener.market(received, now_ns)
        if self._services.ticks is not None:
            self._services.ticks.market(events, now_ns)  # last: who trades does not wait for it

    def _journal_once(self, event: Event, now_ns: int) -> bool:
        """Journal what lasts, once; False = no account here wants it."""
        name = _name(event)
        if isinstance(event, InstrumentListed) and not self._routes.wanted(name):
            return False  # a channel may announce every new market of the venue
        self.source.lasts(event)
        if isinstance(event, StrikeProven):
            self._proven[name] = event
        if isinstance(event, InstrumentResolved):
            self._proven.pop(name, None)
        place = (type(event), name)
        if self._journaled.get(place) != event:
            if len(self._journaled) > 20_000:
                self._journaled.clear()
            self._journaled[place] = event
            self._services.journal(event, now_ns)
        return True

    def priced(self, event: ReferencePriced, now_ns: int) -> None:
        """Give a reference price to whoever wants it, and to every recording."""
        self._services.meter.events(1)
        for runner in (*self._routes.priced(event.key), *self._subscribers):
            runner.market((event,), now_ns)

    # -- what a person must know -------------------------------------------------------------------

    def _warn(self, now_ns: int) -> None:
        """Tell once what stays missing."""
        missing = set(self.source.missing(now_ns, self._routes))
        self._missing = {text: self._missing.get(text, now_ns) for text in sorted(missing)}
        for text, since_ns in self._missing.items():
            if since_ns and now_ns - since_ns >= ALERT_NS:
                self._missing[text] = 0
                self._services.alert(caution("feed", text), now_ns)

    def figures(self, now_ns: int) -> FeedStatus:
        """Return how the feed is, for the heartbeat."""
        return msgspec.structs.replace(
            self.source.figures(now_ns),
            gaps=self._gaps.count,
            missing=tuple(self._missing)[:MISSING_NAMED],
            missing_more=max(0, len(self._missing) - MISSING_NAMED),
        )


def _name(event: Event) -> InstrumentId:
    """Return which instrument an event of the channel is about."""
    about: InstrumentId | Instrument = event.instrument  # type: ignore[attr-defined]
    return about.id if isinstance(about, Instrument) else about
