"""The bench: the judges of one account, and what they are shown.

They see the exchange's truth, the journal's records as they are written, the wishes, the frames of
the market and the bytes that leave. They never see the executor. One verdict ends a run.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from engine.domain.effects import PlaceOrder
from engine.domain.events import (
    BookChanged,
    BookDistrusted,
    BookProven,
    BookReplaced,
    Event,
    FeedLost,
    HealthChanged,
    InstrumentListed,
    ModeChanged,
    OrderNamed,
    OrderNotSent,
    OrderUnanswered,
)
from engine.domain.instruments import InstrumentId
from engine.domain.intents import Basket, Intent, Quotes, Target
from engine.domain.orders import Order, OrderId
from engine.domain.settings import RiskLimits
from engine.lab.simulate.disk import Disk
from engine.lab.simulate.known import KnownFacts
from engine.lab.simulate.venue_side import VenueSide
from engine.venues.demo.streams import USER_FEED
from storage.records import decode


class JudgeVerdict(NamedTuple):
    """A judge spoke."""

    judge: str
    account: str
    at_ns: int
    text: str


class Sights:
    """When each book was proven to the engine last, and which it must not trust."""

    def __init__(self) -> None:
        self.proof_ns: dict[InstrumentId, int] = {}
        self.distrusted: dict[InstrumentId, str] = {}

    def take(self, event: Event, now_ns: int) -> None:
        """Take a market event as the engine hears it."""
        match event:
            case BookReplaced(instrument=key):
                self.proof_ns[key] = now_ns
                self.distrusted.pop(key, None)
            case BookChanged(instrument=key) | BookProven(instrument=key):
                self.proof_ns[key] = now_ns
            case BookDistrusted(instrument=key, reason=reason):
                self.distrusted[key] = reason
            case FeedLost():
                self.distrusted |= dict.fromkeys(self.proof_ns, "the feed is lost")
            case _:
                pass


class Evidence:
    """Everything judges may look at, of one account."""

    def __init__(self, side: VenueSide, disk: Disk, limits: RiskLimits) -> None:
        self.side = side
        self.disk = disk
        self.limits = limits
        self.told = KnownFacts()
        self.sights = Sights()
        self.wishes: dict[InstrumentId, Quotes | Target] = {}
        self.baskets: dict[InstrumentId, Basket] = {}
        self.named: dict[OrderId, int] = {}
        """Order → the record that names it."""
        self.halted = ""
        """Why the engine was told to place nothing any more."""
        self.released_seq = -1
        """Where in the journal the operator released the latch last, and a drawdown with it."""
        self.now_ns = 0
        self.mode_told_ns = 0
        """When the venue said last what it takes."""

    def alive(self, key: InstrumentId | None) -> list[tuple[Order, int]]:
        """Return (order, what may still fill), of all instruments where `key` is None."""
        side = self.side
        found = [
            (order, order.size)
            for group in (side.waiting, side.flying)
            for order in group.values()
            if key is None or order.instrument == key
        ]
        for live in side.live():
            number = side.number(live)
            if key is not None and live.instrument != key:
                continue
            if number is not None and number in side.arrived:
                found.append((side.arrived[number], live.remaining))
        return found

    # -- what happens ------------------------------------------------------------------------------

    def wished(self, intent: Intent) -> None:
        """Take a wish as the strategy says it."""
        wishes = intent.targets if isinstance(intent, Basket) else (intent,)
        for wish in wishes:
            self.wishes[wish.instrument] = wish

    def born(self) -> None:
        """Begin a life: it knows what the journal has, and wishes for nothing yet."""
        self.told = KnownFacts()
        self.named.clear()
        for record in self.disk.rows:
            self.take(decode(record))
        self.told.born()
        self.sights = Sights()
        self.wishes.clear()

    def take(self, message: msgspec.Struct | Any) -> None:
        """Take a record of the journal."""
        self.told.take(message)
        match message:
            case OrderNamed(order=number):
                self.named[number] = len(self.disk.rows)
            case OrderNotSent(order=number) | OrderUnanswered(order=number):
                # Given up: what has not left by now never does, throttled or not.
                self.side.waiting.pop(number, None)
            case ModeChanged():
                self.mode_told_ns = self.now_ns
            case HealthChanged(source=source, healthy=True) if source == USER_FEED:
                self.told.listings = self.told.fill_listings = 0
            case InstrumentListed() | PlaceOrder():
                pass
            case _:
                pass
