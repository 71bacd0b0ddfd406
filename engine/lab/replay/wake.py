"""The wake loop: skips, compiled, what nobody waits for, and hands the rest to the plain path.

Where every strategy on an instrument declares what wakes it (`mid2_moved_min`), most events of a
recording change a book and a queue and nothing else. Those are heard by the compiled twin of the
paper venue's market up to the next moment at which the driver has something due, one of our orders
could fill, or a mid moved far enough. Books, views and queues are then told what happened, and the
next event goes the same way as ever. The journal is the same byte for byte; a test compares.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from engine.bots.core import AccountCore
from engine.caches.views import BookView
from engine.domain.books import Book
from engine.domain.events import BookChanged, Event
from engine.domain.instruments import InstrumentId
from engine.lab.recordings.columns import ColumnStretch
from engine.lab.replay import kernel_code
from engine.venues.paper.columns import ASK, OP
from engine.venues.paper.compiled import UNHEARD, CompiledMarket, Watch
from engine.venues.paper.core import PaperVenue
from engine.venues.paper.kernel import (
    EVENTS,
    LAST_NS,
    LAST_TRADE,
    MID2,
    NEXT,
    PRINTS,
    PROOF_NS,
    TWO_SIDED_NS,
    WOKE,
)

Step = tuple[int, int, Event | None, bool]
"""What was skipped, and the event that comes next: how many events the loop has heard wholly before
it; its time (without an event, that of the last that was skipped); the event, None = the stretch is
over; and whether the venue has heard it already, so that only the desk must be told."""


class WakeLoop:
    """Plays stretches for one driver. The caller takes each step's event before the next step."""

    def __init__(self, *, desk: AccountCore, venue: PaperVenue) -> None:
        self._advance = kernel_code.load()
        self._desk = desk
        self._venue = venue
        self._views = desk.cache.views
        self._twins: dict[InstrumentId, CompiledMarket] = {}
        self._moved: dict[InstrumentId, BookChanged] = {}
        self._last_ns = 0

    def steps(self, stretch: ColumnStretch, stop_ns: Callable[[], int]) -> Iterator[Step]:
        """Yield every event that matters; `stop_ns` says before when nothing else happens."""
        first, follow, count = 0, UNHEARD, len(stretch.rows)
        while first < count:
            skipped, woke = 0, UNHEARD
            facts = self._skip(stretch, (first, follow, stop_ns()))
            follow = UNHEARD
            if facts:
                skipped, woke, first = facts[EVENTS], facts[WOKE], facts[NEXT]
                self._last_ns = facts[LAST_NS]
            if woke != UNHEARD:
                yield skipped - 1, self._last_ns, self._waking(stretch, woke), True
            elif first == count:
                yield skipped, self._last_ns, None, False
            else:
                now_ns, event, end = stretch.event(first)
                self._last_ns = now_ns
                yield skipped, now_ns, event, False
                follow, first = first, end
        if follow != UNHEARD:
            self._skip(stretch, (first, follow, UNHEARD))

    def _waking(self, stretch: ColumnStretch, row: int) -> Event:
        """Return what the desk must hear: of a change only that there was one, it has the book."""
        if stretch.rows[row, OP] > ASK:
            return stretch.event(row)[1]
        instrument = stretch.instrument
        event = self._moved.get(instrument)
        if event is None:
            event = self._moved[instrument] = BookChanged(instrument=instrument, changes=())
        return event

    def _skip(self, stretch: ColumnStretch, span: tuple[int, int, int]) -> list[int]:
        """Hear what nobody waits for; return the facts, none where the plain path must do it."""
        instrument = stretch.instrument
        twin, view = self._twin(instrument), self._views.get(instrument)
        watches = self._watches(instrument)
        if (
            twin is None
            or view is None
            or watches is None
            or not twin.advance(stretch.rows, (view.mid2, self._last_ns), span, watches)
        ):
            self._twins.pop(instrument, None)
            return []
        facts = twin.facts
        if facts[EVENTS]:
            twin.changes()  # the view shows the same book
            _tell(view, facts)
            prints = facts[PRINTS]
            if prints:
                self._venue.audit.prints += prints
        return facts

    def _twin(self, instrument: InstrumentId) -> CompiledMarket | None:
        """Return the market's compiled twin; None = the plain path must take it."""
        market = self._venue.market(instrument)
        if market is None or market.closed:
            return None
        twin = self._twins.get(instrument)
        if twin is not None and twin.market is market:
            return twin
        view = self._views.get(instrument)
        if view is None or not CompiledMarket.suits(market) or not _agree(view.book, market.book):
            return None
        # From here on both show one book: what either is told, the other knows.
        market.book = view.book
        twin = self._twins[instrument] = CompiledMarket(
            market, self._venue.ahead_percent, self._advance
        )
        return twin if twin.reload() else None

    def _watches(self, instrument: InstrumentId) -> list[Watch] | None:
        """Return what wakes whom; None = somebody wants to hear everything."""
        watches: list[Watch] = []
        for cell in self._desk.watchers(instrument):
            least = cell.mid2_moved_min
            if not least:
                return None
            mid2 = cell.mid2
            watches.append((0, 0, least) if mid2 is None else (1, mid2, least))
        return watches


def _tell(view: BookView, facts: list[int]) -> None:
    """Bring a view up to what was heard, as `MarketCache` would have."""
    if facts[PROOF_NS] != UNHEARD:
        view.proof_ns = facts[PROOF_NS]
    if facts[TWO_SIDED_NS] != UNHEARD:
        view.mid2, view.two_sided_ns = facts[MID2], facts[TWO_SIDED_NS]
    if facts[LAST_TRADE] != UNHEARD:
        view.last_trade = facts[LAST_TRADE]


def _agree(one: Book, other: Book) -> bool:
    """Say whether two books show the same."""
    return one.bids == other.bids and one.asks == other.asks
