"""The paper venue: one account over any feed, behind the door of a simulated venue.

It wraps the feed it receives: the recorded book is the venue's book, prints are what fills resting
orders, displayed size is what takers get. Two laws hold whatever the settings:

1. Maker fills ≤ taped volume at or through the price since the order was live (a trade of unknown
   size counts nothing; only the optimistic model lets it fill, and labels that UNKNOWN).
2. Taker fills ≤ displayed size less what we already took, until the feed refreshes the level.

Time has three parts: a request reaches the venue after its latency, where the state of that moment
decides; what it causes is received after the feed latency. Of equal moments the first made goes
first, so requests act in the order of their numbers. Without latencies everything happens in the
call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from heapq import heappop
from typing import Any

from engine.domain.books import Book
from engine.domain.effects import (
    AnyEffect,
    AnyQuery,
    AnyWalletEffect,
    CancelAll,
    CancelOrders,
    PlaceOrder,
    QueryBalances,
    QueryFills,
    QueryOpenOrders,
    QueryOperation,
    QueryOrder,
    QueryRedemptions,
)
from engine.domain.events import (
    BookChanged,
    BookDistrusted,
    BookReplaced,
    CancelRefused,
    Event,
    FeedLost,
    InstrumentClosed,
    InstrumentListed,
    InstrumentResolved,
    OperationNotFound,
    OrderAccepted,
    OrderCancelled,
    OrderDelayed,
    OrderExpired,
    OrderRejected,
    TradePrinted,
    VenueEvent,
)
from engine.domain.fills import FillId, Liquidity, SizeSource
from engine.domain.instruments import AccountId, InstrumentId
from engine.domain.orders import CancelReason, Order, OrderId, OrderState, OrderType, RejectReason
from engine.domain.perpetual_events import FundingSettled, MarkPriced
from engine.errors import BrokenInvariant
from engine.gateway.door import Prepared, Reply, Request, VenueOutput
from engine.runtime import refusals
from engine.runtime.refusals import Refusal
from engine.venues.paper.account import Wallet
from engine.venues.paper.margin import PaperMargin
from engine.venues.paper.market import (
    CANCEL_DELAYED,
    Owned,
    PaperMarket,
    in_words,
    refuse,
    refuse_small,
    restored_market,
)
from engine.venues.paper.matching import Matching, PaperAgenda, PaperDue
from engine.venues.paper.queue import QueuedOrder, queued
from engine.venues.paper.settings import NS_PER_MS, PaperSettings

# -- How an order comes in: refused, delayed, matched against what is displayed, or rested ---------

_GTD = OrderType.GTD
_LASTING = frozenset({OrderType.GTC, _GTD})
_OPEN, _PARTIAL = OrderState.OPEN, OrderState.PARTIAL


class PaperOrderEntry:
    """The way into the matching. Each method returns the events it caused, in order."""

    def __init__(self, matching: Matching, settings: PaperSettings, agenda: PaperAgenda) -> None:
        self._matching = matching
        self._agenda = agenda
        self._taker_delay_ns = settings.taker_delay_ms * NS_PER_MS
        self._gtd_early_ns = settings.gtd_early_ms * NS_PER_MS

    def place(self, order: Order, now_ns: int) -> list[VenueEvent]:
        matching = self._matching
        market = matching.markets.get(order.instrument)
        if market is None:
            return self._reject(order, (RejectReason.OTHER, refusals.NO_BOOK))
        if market.closed or not market.ready or refuse(order, market.instrument):
            return self._reject(order, self._refusal(market, order))
        if order.reduce_only and (why := _opens(market, order)):
            return self._reject(order, why)
        resting = queued(order, market.instrument)
        takes = market.crosses(resting)
        if (
            takes
            or market.instrument.resting_min_micro
            or order.type is _GTD
            or matching.knows(order.id)
        ):
            refusal = self._refuse_now(market, resting, now_ns, takes=takes)
            if refusal is not None:
                return self._reject(order, refusal)
        if not takes:
            if order.type not in _LASTING:
                return self._reject(order, _killed(order))
            if not market.funds[order.leg].try_hold(resting):
                return self._reject(order, _no_funds(market, resting, []))
            self._rest(market, resting)
            return [OrderAccepted(account=matching.account, order=order.id)]
        delay_ns = market.instrument.taker_delay_ns + self._taker_delay_ns
        if not delay_ns:
            return self._take(market, resting, now_ns)
        if not market.funds[order.leg].try_hold(resting):
            return self._reject(order, _no_funds(market, resting, []))
        resting.state = OrderState.DELAYED
        matching.open[order.id] = resting
        self._agenda.push(now_ns + delay_ns, PaperDue.MATCHES, resting)
        return [OrderDelayed(account=matching.account, order=order.id)]

    def match_delayed(self, resting: QueuedOrder, now_ns: int) -> list[VenueEvent]:
        """Match an order whose delay is over against the book of this moment.

        If nothing is left to take, a GTC or GTD rests (the venue's `unmatched`), others are killed.
        """
        matching, order = self._matching, resting.order
        if resting.state is not OrderState.DELAYED:
            return []
        market = matching.markets[order.instrument]
        market.funds[order.leg].release(resting)
        del matching.open[order.id]
        if resting.ends_ns is not None and resting.ends_ns <= now_ns:
            matching.finish(resting, OrderState.EXPIRED)
            return [OrderExpired(account=matching.account, order=order.id)]
        return self._take(market, resting, now_ns)

    def expire(self, resting: QueuedOrder) -> list[VenueEvent]:
        """End a GTD order at its time, where it still lives."""
        matching, order = self._matching, resting.order
        if matching.open.get(order.id) is not resting:
            return []
        matching.finish(resting, OrderState.EXPIRED)
        return [OrderExpired(account=matching.account, order=order.id)]

    # -- refusals ----------------------------------------------------------------------------------

    def _reject(self, order: Order, refusal: Refusal) -> list[VenueEvent]:
        reason, text = refusal
        return [
            OrderRejected(
                account=self._matching.account, order=order.id, reason=reason, venue_text=text
            )
        ]

    def _refusal(self, market: PaperMarket, order: Order) -> Refusal:
        if market.closed:
            return RejectReason.MARKET_CLOSED, refusals.NO_BOOK
        if not market.ready:
            return RejectReason.OTHER, refusals.NOT_READY
        reason, identity = refuse(order, market.instrument), self._matching.identity(order.id)
        return in_words(reason, order, identity, market.instrument)

    def _refuse_now(
        self, market: PaperMarket, resting: QueuedOrder, now_ns: int, *, takes: bool
    ) -> Refusal | None:
        """Return why the moment forbids it: smallest value, expiry, twin, funds, crossing."""
        order = resting.order
        small = refuse_small(order, market.instrument, takes=takes and not order.post_only)
        if small is not None:
            return small
        if order.type is _GTD:
            if order.expires_ns is None:
                return RejectReason.EXPIRY, refusals.BAD_EXPIRY
            early_ns = self._gtd_early_ns if market.instrument.product.second else 0
            resting.ends_ns = order.expires_ns - early_ns
            if resting.ends_ns <= now_ns:
                return RejectReason.EXPIRY, refusals.BAD_EXPIRY
        if self._matching.knows(order.id):
            return refusals.duplicate(self._matching.identity(order.id))
        if takes and order.post_only:
            if not _covered(market, resting, []):
                return _no_funds(market, resting, [])
            return RejectReason.WOULD_CROSS, refusals.POST_ONLY_CROSSES
        return None

    # -- taking and resting ------------------------------------------------------------------------

    def _take(self, market: PaperMarket, resting: QueuedOrder, now_ns: int) -> list[VenueEvent]:
        """Match against displayed size less what we took; what is left rests or is killed."""
        matching, order, instrument = self._matching, resting.order, market.instrument
        plan = market.takeable(resting)
        missing = resting.remaining - sum(size for _, size in plan)
        if (missing and order.type is OrderType.FOK) or (not plan and order.type is OrderType.FAK):
            return self._reject(order, _killed(order))
        price_at, leg = instrument.product.level, order.leg
        taking = [(price_at(leg, at), size) for at, size in plan]
        if not _covered(market, resting, taking):
            return self._reject(order, _no_funds(market, resting, taking))
        events: list[VenueEvent] = [OrderAccepted(account=matching.account, order=order.id)]
        matching.open[order.id] = resting
        for (at, size), (price, _) in zip(plan, taking, strict=True):
            market.take(resting, at, size)
            events.append(
                matching.fill(
                    resting,
                    now_ns,
                    price=price,
                    size=size,
                    fee_micro=instrument.taker_fee_micro(price, size),
                    liquidity=Liquidity.TAKER,
                    source=SizeSource.TAPED,
                )
            )
        if not resting.remaining:
            matching.finish(resting, OrderState.FILLED)
        elif order.type in _LASTING:
            if not market.funds[order.leg].try_hold(resting):
                raise BrokenInvariant(f"order {order.id} was covered, and its rest is not")
            self._rest(market, resting)
        else:
            events.append(matching.cancel(resting, CancelReason.KILLED_REST))
        return events + matching.end_opening(market)

    def _rest(self, market: PaperMarket, resting: QueuedOrder) -> None:
        order = resting.order
        resting.state = _OPEN if resting.remaining == order.size else _PARTIAL
        self._matching.open[order.id] = resting
        market.enqueue(resting)
        if resting.ends_ns is not None:
            self._agenda.push(resting.ends_ns, PaperDue.EXPIRES, resting)


def _opens(market: PaperMarket, order: Order) -> Refusal | None:
    """Say what a reduce-only order would open; None = it closes what no other order closes."""
    instrument, funds = market.instrument, market.funds[order.leg]
    if not instrument.product.signed:
        return RejectReason.OTHER, refusals.BAD_PAYLOAD
    free = funds.closing(order.side, order.size)
    if free == order.size:
        return None
    held, shown = funds.holding.settled, instrument.size_text
    return refusals.reduces_nothing(shown(held), shown(funds.against(order.side) - free))


def _killed(order: Order) -> Refusal:
    text = refusals.FOK_KILLED if order.type is OrderType.FOK else refusals.FAK_KILLED
    return RejectReason.NOT_FILLED, text


def _covered(market: PaperMarket, resting: QueuedOrder, taking: list[tuple[int, int]]) -> bool:
    """Say whether cash or tokens cover the order, with what it would take at once."""
    funds = market.funds[resting.order.leg]
    need = funds.need(resting, taking)
    return need is not None and need <= funds.wallet.free


def _no_funds(market: PaperMarket, resting: QueuedOrder, taking: list[tuple[int, int]]) -> Refusal:
    funds = market.funds[resting.order.leg]
    need = funds.need(resting, taking)
    if need is None:
        held = funds.holding
        return refusals.no_funds(held.settled, held.reserved, resting.order.size)
    wallet = funds.wallet
    return refusals.no_funds(wallet.cash, wallet.reserved + wallet.blocked, need)


# -- Requests that reached the venue: what each of them does there, and what it answers ------------

_DELAYED, _ASKED = OrderState.DELAYED, CancelReason.ASKED

ORDERS_OPEN_MAX = 10_000
"""With more open orders a place is throttled: refused untouched."""

THROTTLE_NS = 1_000_000_000


class Requests:
    """Answers one effect at the venue, at its moment."""

    def __init__(self, matching: Matching, entry: PaperOrderEntry) -> None:
        self._matching = matching
        self._entry = entry

    def answer(self, request: Request, now_ns: int) -> Reply:
        """Answer a request that reaches the venue now, with exactly one reply.

        Raises BrokenInvariant for what is no request, or is of another account.
        """
        effect, matching = request.effect, self._matching
        if isinstance(effect, PlaceOrder):
            order = effect.order
            if order.account != matching.account:
                self._check(order.account)
            if len(matching.open) >= ORDERS_OPEN_MAX:
                return Reply(number=request.number, retry_after_ns=THROTTLE_NS)
            events = self._entry.place(order, now_ns)
        elif isinstance(effect, CancelOrders):
            self._check(effect.account)
            events = list(map(self._cancel, effect.orders))
        else:
            events = self._answer_rare(effect, now_ns)
        return Reply(number=request.number, events=tuple(events))

    def _answer_rare(self, effect: AnyEffect, now_ns: int) -> list[VenueEvent]:
        matching = self._matching
        if not isinstance(effect, CancelAll | AnyQuery | AnyWalletEffect):
            raise BrokenInvariant(f"{type(effect).__name__} is not a request to a venue")
        self._check(effect.account)
        match effect:
            case CancelAll():
                return self._cancel_all(effect)
            case QueryOrder():
                return [matching.order_answer(effect.order)]
            case QueryOpenOrders():
                return [matching.open_orders_answer()]
            case QueryFills():
                return [matching.fills_answer(effect.since_ns)]
            case QueryBalances():
                return matching.balances_answer()
            case QueryRedemptions():
                return [matching.redemptions_answer(effect.since_ns)]
            case QueryOperation():  # what arrives is done and answered at once
                return [OperationNotFound(account=effect.account, operation=effect.operation)]
            case _:
                return matching.operate(effect, now_ns)

    def _check(self, account: AccountId) -> None:
        own = self._matching.account
        if account != own:
            raise BrokenInvariant(f"a request of {account} reached the paper venue of {own}")

    def _cancel(self, order: OrderId) -> OrderCancelled | CancelRefused:
        """Cancel what is open; refuse, with the venue's text, what ended, is held, or is unknown.

        An order that has not arrived yet is unknown: its place may still become live afterwards.
        """
        matching = self._matching
        resting = matching.open.get(order)
        if resting is not None and resting.state is not _DELAYED:
            return matching.cancel(resting, _ASKED)
        if resting is not None:
            text = CANCEL_DELAYED
        elif order in matching.ended and matching.ended[order].state is OrderState.FILLED:
            text = refusals.CANCEL_MATCHED
        else:
            text = refusals.CANCEL_GONE
        return CancelRefused(account=matching.account, order=order, venue_text=text)

    def _cancel_all(self, effect: CancelAll) -> list[VenueEvent]:
        """Cancel what is open in scope; held marketable orders are refused, one event each."""
        scope = effect.scope
        return [
            self._cancel(resting.order.id)
            for resting in list(self._matching.open.values())
            if scope.instrument in (None, resting.order.instrument)
            and scope.bot in (None, resting.order.bot)
        ]


# -- The paper venue: one account over any feed, behind the door of a simulated venue --------------


class PaperVenue:
    """A `VenueCore`: give it feed events and requests, hand on what it returns.

    It keeps the recorded books itself, unless `book_of` gives those of somebody who keeps them
    anyway: he lists an instrument and changes its book before the event arrives here.
    """

    def __init__(
        self,
        account: AccountId,
        settings: PaperSettings,
        book_of: Callable[[InstrumentId], Book] | None = None,
    ) -> None:
        self._account = account
        self._settings = settings
        self._percent = settings.ahead_percent
        self._agenda = PaperAgenda()
        self._keeps_books = book_of is None
        self._matching = Matching(account, settings, self._agenda, book_of or (lambda _: None))
        self._entry = PaperOrderEntry(self._matching, settings, self._agenda)
        self._requests = Requests(self._matching, self._entry)
        self._margin = PaperMargin(self._matching)
        self._place_ns = settings.order_latency_ms * NS_PER_MS
        self._cancel_ns = settings.cancel_latency_ms * NS_PER_MS
        self._feed_ns = settings.feed_latency_ms * NS_PER_MS
        self._out: list[VenueOutput] = []
        self._markets = self._matching.markets
        self._receives: dict[type[Event], Callable[[Any, int], None]] = {
            BookChanged: self.changed,
            BookReplaced: self._replaced,
            TradePrinted: self._printed,
            InstrumentListed: self._listed,
            InstrumentClosed: self._closed,
            InstrumentResolved: self._resolved,
            BookDistrusted: self._distrusted,
            FeedLost: self._distrusted,
            FundingSettled: lambda event, now: self._report(self._margin.fund(event, now), now),
            MarkPriced: lambda event, now: self._report(self._margin.mark(event, now), now),
        }
        self._handlers: dict[PaperDue, Callable[[Any, int], None]] = {
            PaperDue.ARRIVES: self._arrive,
            PaperDue.MATCHES: lambda resting, now: self._report(
                self._entry.match_delayed(resting, now), now
            ),
            PaperDue.EXPIRES: lambda resting, now: self._report(self._entry.expire(resting), now),
            PaperDue.SETTLES: self._settle,
            PaperDue.DELIVERS: lambda output, _: self._out.append(output),
        }

    # -- the door ----------------------------------------------------------------------------------

    def account(self) -> AccountId:
        return self._account

    def prepare(self, order: Order) -> Prepared:
        """Name: the identity is a function of account and order id alone; no bytes travel."""
        return Prepared(order=order, identity=self._matching.identity(order.id), payload=b"")

    def request(self, request: Request, now_ns: int) -> list[VenueOutput]:
        """Take a request; its `Reply` comes when it reached the venue and the answer reached us."""
        heap = self._agenda.heap
        if heap and heap[0][0] <= now_ns:
            self._run(now_ns)
        latency_ns = self._place_ns if type(request.effect) is PlaceOrder else self._cancel_ns
        if latency_ns:
            self._agenda.push(now_ns + latency_ns, PaperDue.ARRIVES, request)
        elif not self._feed_ns and not self._out:
            return [self._requests.answer(request, now_ns)]
        else:
            self._arrive(request, now_ns)
        return self._take_out()

    def receive(self, event: Event, now_ns: int) -> list[VenueOutput]:
        """Take a market event; what is due by now happens before it. Others are ignored."""
        heap = self._agenda.heap
        if heap and heap[0][0] <= now_ns:
            self._run(now_ns)
        received = self._receives.get(type(event))
        if received is not None:
            received(event, now_ns)
        return self._take_out()

    def changed(self, event: BookChanged, now_ns: int) -> None:
        """Take level changes, before which nothing is due."""
        market = self._markets.get(event.instrument)
        if market is not None and not market.closed:
            if self._keeps_books:
                market.book.apply(event.changes)
            if market.bids or market.asks or market.taken_bids or market.taken_asks:
                market.changed(event, self._percent, now_ns)

    @property
    def due_ns(self) -> int | None:
        """Return when `advance` has something to say; None = nothing is under way."""
        heap = self._agenda.heap
        return heap[0][0] if heap else None

    def at_rest(self) -> bool:
        """Say whether nothing is open, under way or unanswered: no book and no trade moves it."""
        return not (self._agenda.heap or self._matching.open or self._out)

    def advance(self, now_ns: int) -> list[VenueOutput]:
        """Let time pass; give what has become due, in order."""
        self._run(now_ns)
        return self._take_out()

    # -- restarts ----------------------------------------------------------------------------------

    def resume(
        self,
        *,
        cash: Mapping[str, int],
        owned: Iterable[Owned],
        open_orders: Iterable[tuple[Order, int]],
        fill_count: int,
        funded: Iterable[str] = (),
    ) -> list[VenueEvent]:
        """Take up an account whose venue is gone from its own books, before anything else.

        `cash` in micro-units by currency; an open order comes with what of it may still fill. It is
        cancelled, and that is given: no fill is invented for the time in between. `fill_count` =
        how many names of fills are taken, `funded` = stamps whose funding was paid. Raises BadInput
        for a short of what is paid for.
        """
        matching = self._matching
        if self._markets or matching.fill_count or self._agenda.heap:
            raise BrokenInvariant("a paper venue is resumed before it is used")
        matching.wallets = {currency: Wallet(micro) for currency, micro in cash.items()}
        for one in owned:
            wallet = matching.wallets[one.instrument.currency]
            matching.markets[one.instrument.id] = restored_market(one, wallet)
        matching.fill_count = fill_count
        self._margin.restore(funded)
        cancelled: list[VenueEvent] = []
        for order, remaining in sorted(open_orders, key=lambda known: known[0].id):
            resting = queued(order, matching.markets[order.instrument].instrument)
            resting.remaining, resting.state = remaining, _OPEN
            matching.open[order.id] = resting
            cancelled.append(matching.cancel(resting, CancelReason.SESSION_LOST))
        return cancelled

    # -- time --------------------------------------------------------------------------------------

    def _run(self, now_ns: int) -> None:
        """Let everything due at or before `now_ns` happen, each at its own moment."""
        agenda, handlers = self._agenda, self._handlers
        while agenda.heap and agenda.heap[0][0] <= now_ns:
            at_ns, _, due, what = heappop(agenda.heap)
            handlers[due](what, at_ns)

    def _take_out(self) -> list[VenueOutput]:
        out, self._out = self._out, []
        return out

    def _deliver(self, output: VenueOutput, now_ns: int) -> None:
        """Report something now, or after the feed latency."""
        if self._feed_ns:
            self._agenda.push(now_ns + self._feed_ns, PaperDue.DELIVERS, output)
        else:
            self._out.append(output)

    def _report(self, events: list[VenueEvent], now_ns: int) -> None:
        for event in events:
            self._deliver(event, now_ns)

    def _settle(self, fill: FillId, now_ns: int) -> None:
        self._deliver(self._matching.settle(fill), now_ns)

    # -- requests ----------------------------------------------------------------------------------

    def _arrive(self, request: Request, now_ns: int) -> None:
        self._deliver(self._requests.answer(request, now_ns), now_ns)

    # -- the feed ----------------------------------------------------------------------------------

    def _replaced(self, event: BookReplaced, now_ns: int) -> None:
        market = self._markets.get(event.instrument)
        if market is not None and not market.closed:
            if self._keeps_books:
                market.book.replace(event.bids, event.asks)
            market.replaced(self._percent, now_ns)

    def _printed(self, event: TradePrinted, now_ns: int) -> None:
        market = self._markets.get(event.instrument)
        if market is not None and not market.closed:
            self._report(self._matching.printed(market, event, now_ns), now_ns)

    def _listed(self, event: InstrumentListed, now_ns: int) -> None:
        self._report(self._matching.listed(event.instrument), now_ns)

    def _closed(self, event: InstrumentClosed, now_ns: int) -> None:
        market = self._markets.get(event.instrument)
        if market is not None:
            self._report(self._matching.closed(market), now_ns)

    def _resolved(self, event: InstrumentResolved, now_ns: int) -> None:
        market = self._markets.get(event.instrument)
        if market is not None:
            self._report(self._matching.resolved(market, event.payout_yes_micro), now_ns)

    def _distrusted(self, event: BookDistrusted | FeedLost, _: int) -> None:
        """Refuse new orders until the next snapshot: a torn book shows no size one could take.

        A lost feed that names no instrument says nothing of ours.
        """
        if event.instrument in self._markets:
            self._markets[event.instrument].torn = True
