"""One demo day, twice: with the maker in the exchange, and without it, heard by paper venues.

Both worlds begin with the same seed. The reference price, the markets and their outcomes are equal
to the last digit; the crowd is the same people, who meet another book where the maker trades.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from random import Random
from typing import NamedTuple

from engine.domain.events import (
    BookChanged,
    BookProven,
    BookReplaced,
    Event,
    InstrumentClosed,
    InstrumentListed,
    ReferencePriced,
    TradePrinted,
)
from engine.domain.instruments import AccountId, InstrumentId, Mode
from engine.errors import BrokenInvariant
from engine.lab.compare.engine_run import CASH_MICRO, CURRENCY, CompareRun
from engine.lab.compare.queues import Cancels, Queues
from engine.lab.compare.twins import Twins
from engine.lab.compare.venue import ExchangeVenue
from engine.lab.compare.watch import MakerFigures, S
from engine.live.first_start import SERIES
from engine.venues.demo.exchange import DemoExchange
from engine.venues.demo.outbox import Stamped
from engine.venues.demo.profiles import FULL, Profile
from engine.venues.demo.world import open_world
from engine.venues.paper.core import PaperVenue
from engine.venues.paper.settings import NS_PER_MS, PaperSettings

BEGIN_NS = 1_800_000_000 * S
HOUR_NS = 3_600 * S
LATENCY_MS = 150
"""Of orders and cancels, in both worlds: what the paper venue assumes."""

PULSE_NS = S
Tell = Callable[[float], None]
"""Hears how many hours of a world have passed."""


class Public:
    """The exchange's public feed, as far as the maker listens; each second it proves its books."""

    def __init__(self, exchange: DemoExchange) -> None:
        self._exchange = exchange
        self._series: set[InstrumentId] = set()
        self._open: dict[InstrumentId, None] = {}

    def opening(self) -> list[Event]:
        """Return what a newcomer hears first; what was said before is dropped."""
        self._exchange.take_public()
        return [event for event in self._exchange.opening() if self._goes(event)]

    def take(self) -> list[Stamped]:
        """Return what was said since the last call."""
        said = self._exchange.take_public()
        return [stamped for stamped in said if self._goes(stamped[1])]

    def pulse(self) -> list[Event]:
        """Return the proof of every open book."""
        return [BookProven(instrument=name) for name in self._open]

    def _goes(self, event: Event) -> bool:
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


def true_day(
    seed: int,
    hours: float,
    papers: Mapping[str, PaperSettings],
    tell: Tell,
    profile: Profile = FULL,
) -> TrueDay:
    """Return the maker's day in the exchange."""
    exchange = open_world(profile, rng=Random(seed), now_ns=BEGIN_NS)  # noqa: S311 - a model
    account = AccountId("truth")
    exchange.open_account(account, CASH_MICRO)
    latency_ns = LATENCY_MS * NS_PER_MS
    venue = ExchangeVenue(exchange, account, currency=CURRENCY, latency_ns=latency_ns)
    stand, public, queues = (
        CompareRun(venue, Mode.DEMO),
        Public(exchange),
        Queues(exchange, account),
    )
    twins = Twins(exchange, account, papers)
    _begin((stand,), public, twins)
    said: list[Stamped] = []
    end_ns = BEGIN_NS + int(hours * HOUR_NS)
    pulse_ns = BEGIN_NS + PULSE_NS
    driver = stand.driver
    while exchange.now_ns < end_ns:
        due_ns = exchange.due_ns
        if due_ns is None:
            raise BrokenInvariant("nothing happens on the demo exchange any more")
        at_ns = min(due_ns, driver.due_ns, pulse_ns, end_ns)
        exchange.advance(at_ns)
        # What the market saw at a moment is heard before what is asked at it.
        _hear(stand, said + _followed(twins, public, at_ns), queues)
        venue.collect()
        driver.run_until(at_ns)
        said = _followed(twins, public, at_ns)
        if at_ns == pulse_ns:
            _pulse((stand,), public, at_ns)
            pulse_ns += PULSE_NS
            if not pulse_ns % (60 * S):
                tell((at_ns - BEGIN_NS) / HOUR_NS)
    return TrueDay(stand.end(end_ns), queues.found, twins.figures)


def _followed(twins: Twins, public: Public, now_ns: int) -> list[Stamped]:
    """Return what was said, once the twins have heard it and followed their orders."""
    heard = public.take()
    twins.hear(heard)
    twins.follow(now_ns)
    return heard


def _hear(stand: CompareRun, heard: list[Stamped], queues: Queues) -> None:
    """Let the maker hear what was said, and look where what was cancelled had stood."""
    changed: set[InstrumentId] = set()
    traded: set[InstrumentId] = set()
    for heard_ns, event in heard:
        stand.feed(event, heard_ns)
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
    tell: Tell,
    profile: Profile = FULL,
) -> dict[str, MakerFigures]:
    """Return the maker's day at each paper venue, all over one exchange that knows none of them."""
    exchange = open_world(profile, rng=Random(seed), now_ns=BEGIN_NS)  # noqa: S311 - a model
    stands = {
        name: CompareRun(PaperVenue(AccountId(f"paper-{name}"), settings), Mode.PAPER)
        for name, settings in papers.items()
    }
    public = Public(exchange)
    _begin(stands.values(), public)
    end_ns = BEGIN_NS + int(hours * HOUR_NS)
    for at_ns in range(BEGIN_NS + PULSE_NS, end_ns + 1, PULSE_NS):
        exchange.advance(at_ns)
        heard = public.take()
        for stand in stands.values():
            for heard_ns, event in heard:
                stand.feed(event, heard_ns)
            stand.driver.run_until(at_ns)
        _pulse(stands.values(), public, at_ns)
        if not at_ns % (60 * S):
            tell((at_ns - BEGIN_NS) / HOUR_NS)
    return {name: stand.end(end_ns) for name, stand in stands.items()}


def _begin(stands: Collection[CompareRun], public: Public, twins: Twins | None = None) -> None:
    opening = public.opening()
    if twins is not None:
        twins.hear([(BEGIN_NS, event) for event in opening])
    for stand in stands:
        stand.begin(BEGIN_NS)
        for event in opening:
            stand.feed(event, BEGIN_NS)


def _pulse(stands: Collection[CompareRun], public: Public, now_ns: int) -> None:
    for event in public.pulse():
        for stand in stands:
            stand.feed(event, now_ns)
