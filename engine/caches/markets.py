"""The market cache: market events in, book and reference views out."""

from __future__ import annotations

import msgspec

from engine.caches.views import (
    BookView,
    InstrumentViews,
    Observations,
    ObservedView,
    References,
    ReferenceView,
)
from engine.domain.books import Book
from engine.domain.events import (
    BarClosed,
    BookChanged,
    BookDistrusted,
    BookProven,
    BookReplaced,
    Event,
    FeedLost,
    InstrumentClosed,
    InstrumentListed,
    ReferencePriced,
    StrikeProven,
    TradePrinted,
)
from engine.domain.instruments import InstrumentId
from engine.domain.observed_events import Observed
from engine.domain.perpetual_events import MARK_DECIMALS, MarkPriced
from engine.errors import BrokenInvariant

INSTRUMENTS_MAX = 20_000


class MarketCache:
    """Remembers the latest book of every instrument, reference prices and observations.

    Call `receive` with every market event; read `views`, `references` and `observed`. Events of
    instruments that were never listed are counted in `orphans` and otherwise ignored: a cache does
    not guess.
    """

    def __init__(self) -> None:
        self.views: InstrumentViews = {}
        self.references = References()
        self.observed = Observations()
        self.orphans = 0

    def book(self, instrument: InstrumentId) -> Book:
        """Return the book of a listed instrument: the same one until it is forgotten."""
        return self.views[instrument].book

    def receive(self, event: Event, now_ns: int) -> BookView | None:
        """Take one market event; anything else is ignored.

        Give the view of which a book or a trade came; None for an orphan and all other events.
        """
        kind = type(event)
        if kind is BookChanged:
            return self.changed(event, now_ns)  # type: ignore[arg-type]
        if kind is BookReplaced:
            return self._replaced(event, now_ns)  # type: ignore[arg-type]
        if kind is TradePrinted:
            view = self.views.get(event.instrument)  # type: ignore[attr-defined]
            if view is None:
                self.orphans += 1
            else:
                view.last_trade = event.price  # type: ignore[attr-defined]
            return view
        if kind is not BarClosed:
            self._rare(event, now_ns)
        return None

    def changed(self, event: BookChanged, now_ns: int) -> BookView | None:
        """Take level changes, the most frequent event; give the view, None for an orphan."""
        try:
            view = self.views[event.instrument]
        except KeyError:
            self.orphans += 1
            return None
        book = view.book
        book.apply(event.changes)
        view.proof_ns = now_ns
        bids, asks = book.bid_prices, book.ask_prices
        if bids and asks:
            view.mid2 = bids[-1] + asks[0]
            view.two_sided_ns = now_ns
        return view

    def _replaced(self, event: BookReplaced, now_ns: int) -> BookView | None:
        view = self.views.get(event.instrument)
        if view is None:
            self.orphans += 1
            return None
        view.book.replace(event.bids, event.asks)
        view.trusted = True
        view.distrust = ""
        view.proof_ns = now_ns
        book = view.book
        if book.bid_prices and book.ask_prices:
            view.mid2 = book.bid_prices[-1] + book.ask_prices[0]
            view.two_sided_ns = now_ns
        return view

    def _rare(self, event: Event, now_ns: int) -> None:
        match event:
            case InstrumentListed():
                self._list(event)
            case ReferencePriced():
                self.references.put(
                    ReferenceView(
                        key=event.key,
                        price_e8=event.price_e8,
                        at_ns=now_ns,
                        exchange_ns=event.exchange_ns,
                    )
                )
            case Observed():
                self.observed.put(ObservedView(event=event, received_ns=now_ns))
            case BookDistrusted() if event.instrument in self.views:
                self._distrust(event.instrument, event.reason)
            case BookProven() if event.instrument in self.views:
                self.views[event.instrument].proof_ns = now_ns
            case FeedLost():
                known = [event.instrument] if event.instrument else list(self.views)
                for instrument in known:
                    if instrument in self.views:
                        self._distrust(instrument, f"feed {event.feed} lost: {event.reason}")
            case MarkPriced() if event.instrument in self.views:
                _mark(self.views[event.instrument], event, now_ns)
            case InstrumentClosed() if event.instrument in self.views:
                self.views[event.instrument].closed = True
            case StrikeProven() if event.instrument in self.views:
                view = self.views[event.instrument]
                view.instrument = msgspec.structs.replace(
                    view.instrument, strike_e8=event.strike_e8
                )
            case _:
                pass

    def _list(self, event: InstrumentListed) -> None:
        instrument = event.instrument
        view = self.views.get(instrument.id)
        if view is not None:
            view.instrument = instrument
            return
        if len(self.views) >= INSTRUMENTS_MAX:
            raise BrokenInvariant(
                f"more than {INSTRUMENTS_MAX} instruments in the market cache: forget closed ones"
            )
        self.views[instrument.id] = BookView(instrument)

    def forget(self, instrument: InstrumentId) -> None:
        """Drop a closed instrument; series roll and the cache stays bounded."""
        self.views.pop(instrument, None)

    def _distrust(self, instrument: InstrumentId, reason: str) -> None:
        view = self.views[instrument]
        view.trusted = False
        view.distrust = reason


def _mark(view: BookView, event: MarkPriced, now_ns: int) -> None:
    """Note the venue's mark; where the book has no mid of now, it stands for it."""
    view.mark_e8, view.marked_ns = event.mark_e8, now_ns
    if view.best_bid is None or view.best_ask is None:
        view.mid2 = 2 * event.mark_e8 * view.instrument.price_unit // 10**MARK_DECIMALS
        view.two_sided_ns = now_ns
