"""The market stream of one life: what the exchange publishes, on its way to one engine.

A connection is ordered and whole, as TCP is: silence holds frames back, it does not lose them. A
lost connection loses everything until the next one opens with the market as it then stands.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from engine.domain import events as ev
from engine.domain.instruments import InstrumentId, Side
from engine.lab.simulate.network import MS, Later, S
from engine.venues.demo.exchange import DemoExchange

FEED = "demo"
SILENCE_NS = 5 * S
"""As `engine.venues.demo.client`: a stream that says nothing for this long is broken."""

Deliver = Callable[[tuple[ev.Event, ...]], None]
LASTING = (ev.InstrumentListed, ev.InstrumentClosed, ev.InstrumentResolved, ev.StrikeProven)
BOOKS = (ev.BookChanged, ev.BookReplaced, ev.BookProven, ev.BookDistrusted, ev.TradePrinted)


class MarketNetwork:
    """One life's market stream. `deliver` takes frames at the engine's door."""

    def __init__(
        self,
        exchange: DemoExchange,
        *,
        random: Random,
        later: Later,
        deliver: Deliver,
        subscribed: Callable[[InstrumentId], bool],
    ) -> None:
        self.connected = False
        self._exchange = exchange
        self._random = random
        self._later = later
        self._deliver = deliver
        self._subscribed = subscribed
        self._epoch = 0
        """Counts connections: frames of an earlier one are gone."""
        self._held_until_ns = 0
        self._late_ns = 0
        self._last_ns = 0
        self._gaps: dict[InstrumentId, int] = {}
        self._lasting: dict[tuple[str, str], ev.Event] = {}
        self._open: dict[InstrumentId, None] = {}

    # -- the connection ----------------------------------------------------------------------------

    def connect_soon(self) -> None:
        """Connect when the engine has opened."""
        self._in_this_epoch(self._now() + 50 * MS, self.connect)

    def connect(self) -> None:
        """Connect: receive the market as it stands now."""
        self._epoch += 1
        self.connected = True
        self._held_until_ns = self._late_ns = 0
        self._gaps.clear()
        self._open.clear()
        self._send((ev.FeedRestored(feed=FEED, instrument=None), *self._exchange.opening()))
        self._prove_books()

    def lose(self, pause_ns: int) -> None:
        """Lose the connection, say so, and come back after a pause."""
        if not self.connected:
            return
        self._epoch += 1
        self.connected = False
        self._deliver((ev.FeedLost(feed=FEED, instrument=None, reason="the stream ended"),))
        self._in_this_epoch(self._now() + pause_ns, self.connect)

    def pause(self, pause_ns: int) -> None:
        """Be away with the machine, connected or not, and connect when it is back."""
        self.lose(pause_ns)
        self._epoch += 1
        self._in_this_epoch(self._now() + pause_ns, self.connect)

    def end(self) -> None:
        """End the connection: no frame is received any more."""
        self._epoch += 1
        self.connected = False

    def _in_this_epoch(self, at_ns: int, act: Callable[[], None]) -> None:
        """Do something later, unless the connection is another one by then."""
        epoch = self._epoch
        self._later(at_ns, lambda: act() if epoch == self._epoch else None)

    def _now(self) -> int:
        return self._exchange.now_ns

    def _prove_books(self) -> None:
        """Prove every book each second, as the exchange's own pulse does."""
        self._send(tuple(ev.BookProven(instrument=key) for key in self._open))
        self._in_this_epoch(self._now() + S, self._prove_books)

    # -- frames ------------------------------------------------------------------------------------

    def take(self, events: tuple[ev.Event, ...]) -> None:
        """Take what the exchange published at this moment."""
        if self.connected:
            self._send(events)

    def _send(self, events: tuple[ev.Event, ...]) -> None:
        passing = tuple(event for event in events if self._passes(event))
        if not passing:
            return
        at_ns = self._now() + self._random.randint(2, 30) * MS + self._late_ns
        at_ns = self._last_ns = max(at_ns, self._held_until_ns, self._last_ns)
        self._in_this_epoch(at_ns, lambda: self._arrive(passing))

    def _arrive(self, events: tuple[ev.Event, ...]) -> None:
        """Deliver what came through; what was lost with its connection comes with the next one."""
        new = []
        for event in events:
            if isinstance(event, LASTING):
                place = (type(event).__name__, str(_key_of(event)))
                if self._lasting.get(place) == event:
                    continue
                self._lasting[place] = event
            new.append(event)
        if new:
            self._deliver(tuple(new))

    def _passes(self, event: ev.Event) -> bool:
        """Say whether an event is for this engine, and is not lost on its way."""
        if isinstance(event, ev.ReferencePriced):
            return False
        if isinstance(event, LASTING):
            if not isinstance(event, ev.InstrumentListed | ev.StrikeProven):
                self._open.pop(_key_of(event), None)
            return self._lasting.get((type(event).__name__, str(_key_of(event)))) != event
        if not isinstance(event, BOOKS):
            return True
        if not self._subscribed(event.instrument):
            return False
        if isinstance(event, ev.BookReplaced):
            self._open[event.instrument] = None
            self._gaps.pop(event.instrument, None)
        left = self._gaps.get(event.instrument, 0)
        if left > 0 and isinstance(event, ev.BookChanged):
            self._gaps[event.instrument] = left - 1
            return False
        return True

    # -- what goes wrong ---------------------------------------------------------------------------

    def silent(self) -> None:
        """Hold everything back for a while; a long silence is noticed, sometimes."""
        pause_ns = self._random.randint(2_000, 20_000) * MS
        self._held_until_ns = self._now() + pause_ns
        if pause_ns > SILENCE_NS and self._random.random() < 0.5:
            self._later(self._now() + SILENCE_NS, lambda: self.lose(250 * MS))

    def stale(self) -> None:
        """Let everything come seconds late for a while."""
        self._late_ns = self._random.randint(500, 14_000) * MS
        end_ns = self._now() + self._random.randint(5, 40) * S
        self._in_this_epoch(end_ns, lambda: setattr(self, "_late_ns", 0))

    def tear(self, *, crossed: bool) -> None:
        """Lose batches of one book, or cross it; it is found out, and mended by a snapshot."""
        if not self.connected or not self._open:
            return
        key = self._random.choice(list(self._open))
        market = self._exchange.order_entry.markets.get(key)
        if market is None or not market.accepting:
            return
        found_ns = 0
        if crossed:
            ask = market.book.best_ask
            top = market.instrument.product.top
            if not market.chained:  # it has no highest price
                top = 2 * (ask or market.book.best_bid or market.instrument.tick)
            level = min(top, (ask or top) + 3 * market.instrument.tick)
            fake = ev.BookChanged(instrument=key, changes=((Side.BUY, level, 50_000_000),))
            self._send((fake, ev.BookDistrusted(instrument=key, reason="crossed")))
        else:
            self._gaps[key] = self._random.randint(1, 4)
            found_ns = self._random.randint(0, 2_000) * MS
            torn = ev.BookDistrusted(instrument=key, reason="a batch is missing")
            self._in_this_epoch(self._now() + found_ns, lambda: self._send((torn,)))
        mended_ns = self._now() + found_ns + self._random.randint(100, 2_500) * MS
        self._in_this_epoch(mended_ns, lambda: self._mend(key))

    def _mend(self, key: InstrumentId) -> None:
        market = self._exchange.order_entry.markets.get(key)
        if market is not None and market.accepting:
            self._send((self._exchange.listing.snapshot(market),))


def _key_of(event: Any) -> InstrumentId:
    """Return which instrument a lasting event is about."""
    listed = isinstance(event, ev.InstrumentListed)
    return InstrumentId(event.instrument.id if listed else event.instrument)
