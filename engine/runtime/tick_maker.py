"""Events of markets → ticks: what changed the best prices, and trades. Live charts and playback."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from engine.domain.books import Book
from engine.domain.events import (
    BookChanged,
    BookDistrusted,
    BookReplaced,
    Event,
    FeedLost,
    InstrumentClosed,
    InstrumentResolved,
    TradePrinted,
)
from engine.domain.instruments import InstrumentId
from storage.tick_log import NONE

BOOKS_MAX = 10_000


class TickMarket:
    """How one instrument stands: prices in increments; `NONE` = there is none."""

    __slots__ = ("ask", "bid", "book", "last")

    def __init__(self) -> None:
        self.book = Book()
        self.bid = self.ask = self.last = NONE


Note = Callable[[InstrumentId, TickMarket, int, int], object]
"""Takes a tick: its instrument, how that stands, the size traded (`NONE` = no trade), ns UTC."""


class TickMaker:
    """Calls `note` with each tick of the events it takes."""

    def __init__(self, note: Note) -> None:
        self._note = note
        self._markets: dict[InstrumentId, TickMarket] = {}

    def market(self, events: Iterable[Event], now_ns: int) -> None:
        """Take market events of one moment; all others are ignored."""
        markets = self._markets
        for event in events:
            kind = type(event)
            if kind is BookChanged:
                market = markets.get(event.instrument)  # type: ignore[attr-defined]
                if market is not None:
                    market.book.apply(event.changes)  # type: ignore[attr-defined]
                    self._look(event.instrument, market, now_ns)  # type: ignore[attr-defined]
            elif isinstance(event, TradePrinted):
                market = self.of(event.instrument)
                market.last = event.price
                self._note(event.instrument, market, event.size or 0, now_ns)
            elif isinstance(event, BookReplaced):
                market = self.of(event.instrument)
                market.book.replace(event.bids, event.asks)
                self._look(event.instrument, market, now_ns)
            elif isinstance(event, BookDistrusted):
                self._blind(event.instrument, now_ns)
            elif isinstance(event, FeedLost):
                whole = [one for one in markets if one.startswith(f"{event.feed}:")]
                for name in whole if event.instrument is None else (event.instrument,):
                    self._blind(name, now_ns)
            elif isinstance(event, InstrumentClosed | InstrumentResolved):
                self.forget(event.instrument, now_ns)

    def forget(self, instrument: InstrumentId, now_ns: int) -> None:
        """Note that an instrument is not received any more."""
        self._blind(instrument, now_ns)
        self._markets.pop(instrument, None)

    def of(self, name: InstrumentId) -> TickMarket:
        """Return how an instrument stands; one more than `BOOKS_MAX` displaces the oldest."""
        market = self._markets.get(name)
        if market is None:
            while len(self._markets) >= BOOKS_MAX:
                self._markets.pop(next(iter(self._markets)))
            market = self._markets[name] = TickMarket()
        return market

    def _blind(self, name: InstrumentId, now_ns: int) -> None:
        market = self._markets.get(name)
        if market is not None:
            market.book = Book()
            self._look(name, market, now_ns)

    def _look(self, name: InstrumentId, market: TickMarket, now_ns: int) -> None:
        """Note a tick where the best prices moved."""
        book = market.book
        bids, asks = book.bid_prices, book.ask_prices
        bid, ask = bids[-1] if bids else NONE, asks[0] if asks else NONE
        if bid != market.bid or ask != market.ask:
            market.bid, market.ask = bid, ask
            self._note(name, market, NONE, now_ns)
