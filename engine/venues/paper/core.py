"""The paper venue: one account over any feed, behind the door of a simulated venue.

It wraps the feed it hears: the recorded book is the venue's book, prints are what fills resting
orders, displayed size is what takers get. Two laws hold whatever the settings:

1. Maker fills ≤ taped volume at or through the price since the order was live (a trade of unknown
   size counts nothing; only the optimistic model lets it fill, and labels that UNKNOWN).
2. Taker fills ≤ displayed size less what we already took, until the feed refreshes the level.

Time has three parts: a request reaches the venue after its latency, where the state of that moment
decides; what it causes is heard after the feed latency. Of equal moments the first made goes first,
so requests act in the order of their numbers. Without latencies everything happens in the call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from engine.domain.effects import PlaceOrder
from engine.domain.events import (
    BookChanged,
    BookDistrusted,
    BookReplaced,
    Event,
    FeedLost,
    InstrumentClosed,
    InstrumentListed,
    InstrumentResolved,
    TradePrinted,
    VenueEvent,
)
from engine.domain.fills import FillId
from engine.domain.instruments import AccountId, InstrumentId
from engine.domain.orders import CancelReason, Order
from engine.errors import BrokenInvariant
from engine.gateway.door import Prepared, Reply, Request, VenueOutput
from engine.venues.paper import memory
from engine.venues.paper.agenda import PaperAgenda, PaperDue
from engine.venues.paper.entry import PaperOrderEntry
from engine.venues.paper.market import PaperMarket
from engine.venues.paper.matching import Matching
from engine.venues.paper.records import PaperTotals
from engine.venues.paper.requests import Requests
from engine.venues.paper.settings import NS_PER_MS, PaperSettings

THROTTLE_NS = 1_000_000_000


class PaperVenue:
    """A `VenueCore`: give it feed events and requests, hand on what it returns."""

    def __init__(self, account: AccountId, settings: PaperSettings) -> None:
        self._account = account
        self._settings = settings
        self._percent = settings.ahead_percent
        self._agenda = PaperAgenda()
        self._floor = Matching(account, settings, self._agenda)
        self._entry = PaperOrderEntry(self._floor, settings, self._agenda)
        self._requests = Requests(self._floor, self._entry)
        self._place_ns = settings.order_latency_ms * NS_PER_MS
        self._cancel_ns = settings.cancel_latency_ms * NS_PER_MS
        self._feed_ns = settings.feed_latency_ms * NS_PER_MS
        self._encode = msgspec.msgpack.Encoder().encode
        self._out: list[VenueOutput] = []
        self._markets = self._floor.markets
        self._hears: dict[type[Event], Callable[[Any, int], None]] = {
            BookReplaced: self._replaced,
            TradePrinted: self._printed,
            InstrumentListed: self._listed,
            InstrumentClosed: self._closed,
            InstrumentResolved: self._resolved,
            BookDistrusted: self._distrusted,
            FeedLost: self._feed_lost,
        }
        self._happens: dict[PaperDue, Callable[[Any, int], None]] = {
            PaperDue.ARRIVES: self._arrive,
            PaperDue.MATCHES: lambda resting, now: self._tell(
                self._entry.match_delayed(resting, now), now
            ),
            PaperDue.EXPIRES: lambda resting, now: self._tell(self._entry.expire(resting), now),
            PaperDue.SETTLES: self._settle,
            PaperDue.DELIVERS: lambda output, _: self._out.append(output),
        }

    # -- the door ----------------------------------------------------------------------------------

    @property
    def audit(self) -> PaperTotals:
        """Totals of prints and fills, for judges."""
        return self._floor.audit

    def account(self) -> AccountId:
        """Return the account this core serves."""
        return self._account

    def prepare(self, order: Order) -> Prepared:
        """Name and serialise: the identity is a function of account and order id alone."""
        identity = self._floor.identity(order.id)
        return Prepared(order=order, identity=identity, payload=self._encode(order))

    def request(self, request: Request, now_ns: int) -> list[VenueOutput]:
        """Take a request; its `Reply` comes when it reached the venue and the answer reached us."""
        heap = self._agenda.heap
        if heap and heap[0][0] <= now_ns:
            self._run(now_ns)
        latency_ns = self._place_ns if type(request.effect) is PlaceOrder else self._cancel_ns
        if latency_ns:
            self._agenda.push(now_ns + latency_ns, PaperDue.ARRIVES, request)
        elif not self._feed_ns and not self._out:
            return [self._answered(request, now_ns)]
        else:
            self._arrive(request, now_ns)
        return self._take_out()

    def hear(self, event: Event, now_ns: int) -> list[VenueOutput]:
        """Take a market event; what is due by now happens before it. Others are ignored."""
        heap = self._agenda.heap
        if heap and heap[0][0] <= now_ns:
            self._run(now_ns)
        if type(event) is BookChanged:
            market = self._markets.get(event.instrument)
            if market is None:
                self._floor.audit.orphans += 1
            elif market.bids or market.asks or market.taken_bids or market.taken_asks:
                market.changed(event, self._percent, now_ns)
            elif not market.closed:
                market.book.apply(event.changes)
            if not self._out:
                return []
        else:
            heard = self._hears.get(type(event))
            if heard is not None:
                heard(event, now_ns)
        return self._take_out()

    @property
    def due_ns(self) -> int | None:
        """Return when `advance` has something to say; None = nothing is under way."""
        heap = self._agenda.heap
        return heap[0][0] if heap else None

    def advance(self, now_ns: int) -> list[VenueOutput]:
        """Let time pass; give what has become due, in order."""
        self._run(now_ns)
        return self._take_out()

    def market(self, instrument: InstrumentId) -> PaperMarket | None:
        """Return an instrument's book and queues, for the compiled path; None = never listed."""
        return self._markets.get(instrument)

    @property
    def ahead_percent(self) -> int:
        """Which share of the cancels comes from ahead of us, as `queue` counts it."""
        return self._percent

    # -- restarts ----------------------------------------------------------------------------------

    def state(self) -> bytes:
        """Return what must survive a restart: cash, tokens, orders, fills, what is unsettled."""
        return memory.dump(self._floor, self._undelivered())

    def restore(self, state: bytes) -> None:
        """Take back what `state` gave, before anything else. Call `session_lost` next.

        Open orders come back without a place in the book: they hold funds, they cannot fill.
        Raises BadInput where the bytes cannot be read or belong to another account.
        """
        if self._markets or self._floor.fill_count or self._agenda.heap:
            raise BrokenInvariant("a paper venue is restored before it is used")
        for event in memory.load(self._floor, self._agenda, state):
            self._agenda.push(0, PaperDue.DELIVERS, event)

    def session_lost(self, now_ns: int) -> list[VenueOutput]:
        """End the session: requests under way are lost, every open order is cancelled.

        What had happened and was not heard yet comes first, then settlements of the meantime. No
        fill is invented for the downtime.
        """
        events: list[VenueOutput] = list(self._undelivered())
        agenda, floor = self._agenda, self._floor
        agenda.keep(PaperDue.SETTLES)
        while agenda.heap and agenda.heap[0][0] <= now_ns:
            events.append(floor.settle(agenda.pop()[3]))
        events += [
            floor.cancel(floor.open[order], CancelReason.SESSION_LOST)
            for order in sorted(floor.open)
        ]
        return events

    def _undelivered(self) -> list[VenueEvent]:
        """Return what happened at the venue and was not heard yet, in order."""
        events: list[VenueEvent] = []
        for _, _, due, output in sorted(self._agenda.heap):
            if due is PaperDue.DELIVERS:
                events += output.events if type(output) is Reply else [output]
        return events

    # -- time --------------------------------------------------------------------------------------

    def _run(self, now_ns: int) -> None:
        """Let everything due at or before `now_ns` happen, each at its own moment."""
        agenda, happens = self._agenda, self._happens
        while agenda.heap and agenda.heap[0][0] <= now_ns:
            at_ns, _, due, what = agenda.pop()
            happens[due](what, at_ns)

    def _take_out(self) -> list[VenueOutput]:
        out = self._out
        self._out = []
        return out

    def _hand_out(self, output: VenueOutput, now_ns: int) -> None:
        """Let us hear of something now, or after the feed latency."""
        if self._feed_ns:
            self._agenda.push(now_ns + self._feed_ns, PaperDue.DELIVERS, output)
        else:
            self._out.append(output)

    def _tell(self, events: list[VenueEvent], now_ns: int) -> None:
        for event in events:
            self._hand_out(event, now_ns)

    def _settle(self, fill: FillId, now_ns: int) -> None:
        self._hand_out(self._floor.settle(fill), now_ns)

    # -- requests ----------------------------------------------------------------------------------

    def _arrive(self, request: Request, now_ns: int) -> None:
        self._hand_out(self._answered(request, now_ns), now_ns)

    def _answered(self, request: Request, now_ns: int) -> Reply:
        """Answer a request that reaches the venue now, with exactly one reply."""
        events = self._requests.answer(request.effect, now_ns)
        if events is None:
            return Reply(number=request.number, retry_after_ns=THROTTLE_NS)
        return Reply(number=request.number, events=tuple(events))

    # -- the feed ----------------------------------------------------------------------------------

    def _replaced(self, event: BookReplaced, now_ns: int) -> None:
        market = self._markets.get(event.instrument)
        if market is None:
            self._floor.audit.orphans += 1
        elif not market.closed:
            market.replaced(event, self._percent, now_ns)

    def _printed(self, event: TradePrinted, now_ns: int) -> None:
        market = self._markets.get(event.instrument)
        if market is None:
            self._floor.audit.orphans += 1
        elif not market.closed:
            self._tell(self._floor.printed(market, event, now_ns), now_ns)

    def _listed(self, event: InstrumentListed, now_ns: int) -> None:
        self._tell(self._floor.listed(event.instrument), now_ns)

    def _closed(self, event: InstrumentClosed, now_ns: int) -> None:
        market = self._markets.get(event.instrument)
        if market is not None:
            self._tell(self._floor.closed(market), now_ns)

    def _resolved(self, event: InstrumentResolved, now_ns: int) -> None:
        market = self._markets.get(event.instrument)
        if market is not None:
            self._tell(self._floor.resolved(market, event.payout_yes_micro), now_ns)

    def _distrusted(self, event: BookDistrusted, _: int) -> None:
        """Refuse new orders until the next snapshot: a torn book shows no size one could take."""
        market = self._markets.get(event.instrument)
        if market is not None:
            market.torn = True

    def _feed_lost(self, event: FeedLost, _: int) -> None:
        """Treat the loss of one instrument as a torn book; a feed's name says nothing of ours."""
        market = self._markets.get(event.instrument) if event.instrument is not None else None
        if market is not None:
            market.torn = True
