"""One demo day, twice: with the maker in the exchange, and without it, received by paper venues.

Both worlds begin with the same seed. The reference price, the markets and their outcomes are equal
to the last digit; the crowd is the same people, who meet another book where the maker trades.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from heapq import heappop, heappush
from random import Random
from typing import NamedTuple

import msgspec

from engine.domain.effects import CancelOrders, PlaceOrder
from engine.domain.events import (
    BookChanged,
    BookProven,
    BookReplaced,
    Event,
    InstrumentClosed,
    InstrumentListed,
    OrderFilled,
    ReferencePriced,
    TradePrinted,
    VenueEvent,
)
from engine.domain.instruments import AccountId, BotId, InstrumentId, Leg, Mode, Side
from engine.domain.orders import Order, OrderId, OrderType
from engine.errors import BrokenInvariant
from engine.gateway.door import Prepared, Reply, Request, VenueOutput
from engine.runtime.first_settings import SERIES
from engine.venues.demo.answers import Answers
from engine.venues.demo.exchange import DemoExchange
from engine.venues.demo.orders import KEY, RestingOrder
from engine.venues.demo.profiles import FULL, Profile
from engine.venues.demo.timeline import Stamped
from engine.venues.demo.world import open_world
from engine.venues.paper.core import PaperVenue
from engine.venues.paper.settings import NS_PER_MS, PaperSettings
from studies.compare.engine_run import CASH_MICRO, CURRENCY, CompareRun
from studies.compare.queues import Cancels, Queues
from studies.compare.watch import MakerFigures, Marks, S

# -- The demo exchange as a `VenueCore` with a latency: the truth a paper venue is compared with ---


class ExchangeVenue:
    """One account's orders in the exchange itself.

    A request arrives after its latency and is answered at once, as at the paper venue. Whoever
    turns it calls `collect` after the exchange moved.
    """

    def __init__(
        self, exchange: DemoExchange, account: AccountId, *, currency: str, latency_ns: int
    ) -> None:
        self._exchange = exchange
        self._account = account
        self._latency_ns = latency_ns
        self._answers = Answers(exchange, account, key=KEY, currency=currency)
        self._agenda: list[tuple[int, int, Request | VenueEvent]] = []
        self._counter = 0

    def account(self) -> AccountId:
        """Return the account this core serves."""
        return self._account

    def prepare(self, order: Order) -> Prepared:
        """Name and serialise."""
        return self._answers.prepare(order)

    def receive(self, event: Event, now_ns: int) -> list[VenueOutput]:
        """Ignore market events: the exchange has made them."""
        del event, now_ns
        return []

    def changed(self, event: BookChanged, now_ns: int) -> None:
        """Ignore level changes, too."""

    def request(self, request: Request, now_ns: int) -> list[VenueOutput]:
        """Take a request; it arrives after the latency."""
        self._push(now_ns + self._latency_ns, request)
        return []

    @property
    def due_ns(self) -> int | None:
        """Return when something arrives, there or here."""
        return self._agenda[0][0] if self._agenda else None

    def advance(self, now_ns: int) -> list[VenueOutput]:
        """Let arrive what is due."""
        outputs: list[VenueOutput] = []
        while self._agenda and self._agenda[0][0] <= now_ns:
            at_ns, _, what = heappop(self._agenda)
            if isinstance(what, Request):
                # The exchange of a comparison is always open: VenueClosed is a bug.
                events = tuple(self._answers.do(what.effect, at_ns))
                outputs.append(Reply(number=what.number, events=events))
            else:
                outputs.append(what)
        return outputs

    def collect(self) -> None:
        """Take what the exchange has told the account; it is received at the moment it happened."""
        for at_ns, report in self._exchange.take(self._account):
            event = self._answers.received(report)
            if event is not None:
                self._push(at_ns, event)

    def _push(self, at_ns: int, what: Request | VenueEvent) -> None:
        self._counter += 1
        heappush(self._agenda, (at_ns, self._counter, what))


# -- The maker's own orders once more, as paper orders beside the book they really stand in --------
# An order that rests in the exchange has a twin at each paper venue: placed at the same moment,
# gone at the same moment. These venues receive the exchange's public feed less what is ours of it.
# The orders, the takers and the cancels of others are the same, so where a twin fills otherwise
# than its order the fill model is wrong. What a paper account differs by beyond that is no matter
# of its fill model: its world has never seen its quotes, and so it trades otherwise.
#
# A twin of a cancelled order ends with it. One whose order was filled stays until the maker's
# next order on that side takes its place; what it would still have got after that is not counted.

CASH_UNITS = 1e8
"""Never the reason why a twin does not fill."""
BOT = BotId("twins")

Place = tuple[InstrumentId, Side, int]
"""Instrument, side of the book and price, in YES-space."""


class Twins:
    """Follows one account of an exchange; `figures` says per model what its orders got as paper."""

    def __init__(
        self, exchange: DemoExchange, account: AccountId, papers: Mapping[str, PaperSettings]
    ) -> None:
        self._markets = exchange.order_entry.markets
        self._open = exchange.account(account).open
        self._venues = {
            name: PaperVenue(AccountId(f"twins-{name}"), _at_once(settings))
            for name, settings in papers.items()
        }
        self._orders: dict[int, RestingOrder] = {}
        """Those that rested at the last look, by the exchange's number."""
        self._late: dict[tuple[InstrumentId, bool], list[OrderId]] = {}
        """Twins of filled orders, by (instrument, is a bid)."""
        self._count = 0
        self.figures = {name: MakerFigures() for name in papers}

    def receive(self, received: Iterable[Stamped]) -> None:
        """Take what the exchange said since the last call, while nothing of ours was placed.

        All of it is of one moment: what is ours now was ours when it was said.
        """
        own: Counter[Place] | None = None
        for at_ns, said in received:
            event: Event = said
            if isinstance(event, BookChanged):
                own = self._ours() if own is None else own
                event = _less(event, own)
            for name, venue in self._venues.items():
                self._note(name, venue.receive(event, at_ns))

    def follow(self, now_ns: int) -> None:
        """End the twins of orders that are gone, place those of orders that are new."""
        live = {order.number: order for order in self._open.values()}
        ended: list[OrderId] = []
        for number, order in list(self._orders.items()):
            if number not in live:
                del self._orders[number]
                late = self._late.setdefault((order.instrument, order.bid), [])
                (ended if order.remaining else late).append(OrderId(number))
        fresh = [order for number, order in live.items() if number not in self._orders]
        for order in fresh:
            ended += self._late.pop((order.instrument, order.bid), [])
        if ended:
            ids = tuple(ended)
            for name, venue in self._venues.items():
                self._ask(name, CancelOrders(account=venue.account(), orders=ids), now_ns)
        for order in fresh:
            self._orders[order.number] = order
            self._place(order, now_ns)

    def _place(self, order: RestingOrder, now_ns: int) -> None:
        """Place an order's twins: always as a purchase, so that none lacks tokens to sell."""
        level = order.level
        for name, venue in self._venues.items():
            figures = self.figures[name]
            figures.orders += 1
            figures.placed += order.remaining
            twin = Order(
                account=venue.account(),
                id=OrderId(order.number),
                bot=BOT,
                instrument=order.instrument,
                leg=Leg.YES if order.bid else Leg.NO,
                side=Side.BUY,
                price=level if order.bid else self._markets[order.instrument].one - level,
                size=order.remaining,
                type=OrderType.GTC,
                post_only=True,
                created_ns=now_ns,
            )
            self._ask(name, PlaceOrder(order=twin), now_ns)

    def _ask(self, name: str, effect: PlaceOrder | CancelOrders, now_ns: int) -> None:
        self._count += 1
        request = Request(number=self._count, effect=effect)
        self._note(name, self._venues[name].request(request, now_ns))

    def _note(self, name: str, outputs: Iterable[VenueOutput]) -> None:
        for output in outputs:
            for event in output.events if isinstance(output, Reply) else (output,):
                if isinstance(event, OrderFilled):
                    self.figures[name].fills += 1
                    self.figures[name].filled += event.size

    def _ours(self) -> Counter[Place]:
        ours: Counter[Place] = Counter()
        for order in self._open.values():
            side = Side.BUY if order.bid else Side.SELL
            ours[order.instrument, side, order.level] += order.remaining
        return ours


def _at_once(settings: PaperSettings) -> PaperSettings:
    """Return a paper account without latencies: what is asked was late once already."""
    return settings.model_copy(
        update={
            "order_latency_ms": 0,
            "cancel_latency_ms": 0,
            "settle_delay_ms": 0,
            "starting_cash": dict.fromkeys(settings.starting_cash, CASH_UNITS),
        }
    )


def _less(event: BookChanged, own: Counter[Place]) -> BookChanged:
    """Return the change as it would read without what is ours."""
    name = event.instrument
    changes = tuple((side, at, size - own[name, side, at]) for side, at, size in event.changes)
    return msgspec.structs.replace(event, changes=changes)


# -- One demo day, twice: with the maker in the exchange, and without it, received by paper venues
# ----

BEGIN_NS = 1_800_000_000 * S
HOUR_NS = 3_600 * S
LATENCY_MS = 150
"""Of orders and cancels, in both worlds: what the paper venue assumes."""

PROOF_EVERY_NS = S
Progress = Callable[[float], None]
"""Receives how many hours of a world have passed."""


class Public:
    """The exchange's public feed, as far as the maker listens; each second it proves its books."""

    def __init__(self, exchange: DemoExchange) -> None:
        self._exchange = exchange
        self._series: set[InstrumentId] = set()
        self._open: dict[InstrumentId, None] = {}

    def opening(self) -> list[Event]:
        """Return what a newcomer receives first; what was said before is dropped."""
        self._exchange.take_public()
        return [event for event in self._exchange.opening() if self._passes(event)]

    def take(self) -> list[Stamped]:
        """Return what was said since the last call."""
        said = self._exchange.take_public()
        return [stamped for stamped in said if self._passes(stamped[1])]

    def proofs(self) -> list[Event]:
        """Return the proof of every open book."""
        return [BookProven(instrument=name) for name in self._open]

    def _passes(self, event: Event) -> bool:
        if isinstance(event, ReferencePriced):
            return True
        if isinstance(event, InstrumentListed):
            if event.instrument.series == SERIES:
                self._series.add(event.instrument.id)
            return event.instrument.series == SERIES
        name = getattr(event, "instrument", None)
        if name not in self._series:
            return False
        if isinstance(event, BookReplaced):
            self._open[event.instrument] = None
        elif isinstance(event, InstrumentClosed):
            self._open.pop(event.instrument, None)
        return True


class TrueDay(NamedTuple):
    """The maker's day in the exchange."""

    figures: MakerFigures
    cancels: list[Cancels]
    """Of others, in its levels."""
    twins: dict[str, MakerFigures]
    """Per fill model: what its orders would have got as paper orders, beside the same book."""
    marks: Marks


def true_day(
    seed: int,
    hours: float,
    papers: Mapping[str, PaperSettings],
    progress: Progress,
    profile: Profile = FULL,
) -> TrueDay:
    """Return the maker's day in the exchange."""
    exchange = open_world(profile, rng=Random(seed), now_ns=BEGIN_NS)  # noqa: S311 - a model
    account = AccountId("truth")
    exchange.open_account(account, CASH_MICRO)
    latency_ns = LATENCY_MS * NS_PER_MS
    venue = ExchangeVenue(exchange, account, currency=CURRENCY, latency_ns=latency_ns)
    run, public, queues = (
        CompareRun(venue, Mode.DEMO),
        Public(exchange),
        Queues(exchange, account),
    )
    twins = Twins(exchange, account, papers)
    _begin((run,), public, twins)
    said: list[Stamped] = []
    end_ns = BEGIN_NS + int(hours * HOUR_NS)
    proof_ns = BEGIN_NS + PROOF_EVERY_NS
    driver = run.driver
    while exchange.now_ns < end_ns:
        due_ns = exchange.due_ns
        if due_ns is None:
            raise BrokenInvariant("nothing happens on the demo exchange any more")
        at_ns = min(due_ns, driver.due_ns, proof_ns, end_ns)
        exchange.advance(at_ns)
        # What the market saw at a moment is received before what is asked at it.
        _receive(run, said + _followed(twins, public, at_ns), queues)
        venue.collect()
        driver.run_until(at_ns)
        said = _followed(twins, public, at_ns)
        if at_ns == proof_ns:
            _feed_proofs((run,), public, at_ns)
            proof_ns += PROOF_EVERY_NS
            if not proof_ns % (60 * S):
                progress((at_ns - BEGIN_NS) / HOUR_NS)
    return TrueDay(run.end(end_ns), queues.found, twins.figures, run.marks)


def _followed(twins: Twins, public: Public, now_ns: int) -> list[Stamped]:
    """Return what was said, once the twins have received it and followed their orders."""
    received = public.take()
    twins.receive(received)
    twins.follow(now_ns)
    return received


def _receive(run: CompareRun, received: list[Stamped], queues: Queues) -> None:
    """Let the maker receive what was said, and look where what was cancelled had stood."""
    changed: set[InstrumentId] = set()
    traded: set[InstrumentId] = set()
    for received_ns, event in received:
        run.feed(event, received_ns)
        if isinstance(event, BookChanged):
            changed.add(event.instrument)
        elif isinstance(event, TradePrinted):
            traded.add(event.instrument)
    if changed:
        queues.step(changed, traded)


def paper_day(
    seed: int,
    hours: float,
    papers: Mapping[str, PaperSettings],
    progress: Progress,
    profile: Profile = FULL,
) -> dict[str, MakerFigures]:
    """Return the maker's day at each paper venue, all over one exchange that knows none of them."""
    exchange = open_world(profile, rng=Random(seed), now_ns=BEGIN_NS)  # noqa: S311 - a model
    runs = {
        name: CompareRun(PaperVenue(AccountId(f"paper-{name}"), settings), Mode.PAPER)
        for name, settings in papers.items()
    }
    public = Public(exchange)
    _begin(runs.values(), public)
    end_ns = BEGIN_NS + int(hours * HOUR_NS)
    for at_ns in range(BEGIN_NS + PROOF_EVERY_NS, end_ns + 1, PROOF_EVERY_NS):
        exchange.advance(at_ns)
        received = public.take()
        for run in runs.values():
            for received_ns, event in received:
                run.feed(event, received_ns)
            run.driver.run_until(at_ns)
        _feed_proofs(runs.values(), public, at_ns)
        if not at_ns % (60 * S):
            progress((at_ns - BEGIN_NS) / HOUR_NS)
    return {name: run.end(end_ns) for name, run in runs.items()}


def _begin(runs: Collection[CompareRun], public: Public, twins: Twins | None = None) -> None:
    opening = public.opening()
    if twins is not None:
        twins.receive([(BEGIN_NS, event) for event in opening])
    for run in runs:
        run.begin(BEGIN_NS)
        for event in opening:
            run.feed(event, BEGIN_NS)


def _feed_proofs(runs: Collection[CompareRun], public: Public, now_ns: int) -> None:
    for event in public.proofs():
        for run in runs:
            run.feed(event, now_ns)
