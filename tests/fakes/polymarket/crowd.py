"""Everybody else: seeded traders that keep the books alive. An actor of the exchange.

Each wake does one thing in one market: quotes appear and vanish around a middle that wanders, and
now and then somebody takes. They see nothing but the book and never listen, so they cost little.
"""

from __future__ import annotations

from random import Random

from engine.domain.instruments import AccountId, Leg, Side
from engine.domain.orders import CancelReason, Identity, OrderType
from engine.venues.demo.orders import RestingOrder, Ticket
from engine.venues.demo.timeline import TimelineEntry
from tests.fakes.polymarket.listing import LOT, SHARE, Listed, ticks
from tests.fakes.polymarket.settings import S
from tests.fakes.polymarket.venue import Venue

PEOPLE = 6
RICH_MICRO = 10_000_000 * 1_000_000
RESTING_MAX = 40
"""Quotes of the crowd in one market."""


class Crowd:
    """Traders of every market."""

    name = "crowd"

    def __init__(self, venue: Venue, *, per_s: float, seed: int = 11) -> None:
        self._venue = venue
        self._rng = Random(seed)
        self._gap_ns = int(S / per_s)
        self._count = 0
        self._middles: dict[str, int] = {}
        self.people = [AccountId(f"crowd-{number}") for number in range(PEOPLE)]
        self.did = {"quote": 0, "cancel": 0, "take": 0, "refused": 0}
        exchange = venue.exchange
        for person in self.people:
            exchange.open_account(person, RICH_MICRO, listening=False)
        exchange.join(self)

    def start(self) -> None:
        """Begin: the first wake is set."""
        self._plan()

    def _provide(self, market: Listed) -> None:
        """Give everybody pairs to sell in a market they have not seen before."""
        if market.condition in self._middles:
            return
        self._middles[market.condition] = 5_000
        exchange = self._venue.exchange
        for person in self.people:
            exchange.convert(person, market.instrument, 100_000 * SHARE, exchange.now_ns)

    def _plan(self) -> None:
        timeline = self._venue.exchange.timeline
        gap_ns = int(self._gap_ns * self._rng.expovariate(1.0)) + 1
        timeline.set(timeline.now_ns + gap_ns, TimelineEntry.ACTOR, self.name)

    def wake(self, topic: int, now_ns: int) -> None:  # noqa: ARG002 - an actor's door
        """Do one thing somewhere."""
        self._plan()
        self.act(now_ns)

    def act(self, now_ns: int) -> None:
        """Quote, cancel or take in a market of one's choice."""
        open_ones = [m for m in self._venue.by_condition.values() if self._venue.accepting(m)]
        if not open_ones or self._venue.exchange.guard.mode.value != "open":
            return
        market = self._rng.choice(open_ones)
        self._provide(market)
        middle = self._middles[market.condition]
        middle = min(9_000, max(1_000, middle + self._rng.choice((-100, 0, 0, 100))))
        self._middles[market.condition] = middle
        chance = self._rng.random()
        resting = self._resting(market)
        if chance < 0.35 and resting:
            orders = self._rng.sample(resting, min(len(resting), self._rng.choice((1, 1, 2, 4))))
            self._venue.exchange.order_entry.withdraw(orders, CancelReason.ASKED)
            self.did["cancel"] += 1
        elif chance < 0.85 and len(resting) < RESTING_MAX:
            self._order(market, self._quote(market, middle), OrderType.GTC, now_ns)
        else:
            self._order(market, self._take(market), OrderType.FAK, now_ns)

    def _resting(self, market: Listed) -> list[RestingOrder]:
        mine = set(self.people)
        book = self._venue.exchange.order_entry.markets[market.instrument].book
        return [order for order in book.resting() if order.customer in mine]

    def _quote(self, market: Listed, middle: int) -> tuple[Leg, Side, int]:
        """Return a passive order: a YES or NO bid, or a YES or NO ask."""
        leg, side = self._rng.choice((Leg.YES, Leg.NO)), self._rng.choice((Side.BUY, Side.SELL))
        tick = ticks(market.tick)
        center = middle if leg is Leg.YES else 10_000 - middle
        away = tick * self._rng.randint(1, 12)
        price = center - away if side is Side.BUY else center + away
        return leg, side, min(10_000 - tick, max(tick, price // tick * tick))

    def _take(self, market: Listed) -> tuple[Leg, Side, int]:
        leg, side = self._rng.choice((Leg.YES, Leg.NO)), self._rng.choice((Side.BUY, Side.SELL))
        tick = ticks(market.tick)
        return leg, side, 10_000 - tick if side is Side.BUY else tick

    def _order(
        self, market: Listed, terms: tuple[Leg, Side, int], kind: OrderType, now_ns: int
    ) -> None:
        self._count += 1
        leg, side, price = terms
        receipt = self._venue.exchange.submit(
            self._rng.choice(self.people),
            Ticket(
                identity=Identity(f"crowd-{self._count}"),
                instrument=market.instrument,
                leg=leg,
                side=side,
                price=price,
                size=self._rng.randint(500, 5_000) * LOT,
                type=kind,
            ),
            now_ns,
        )
        said = "refused" if receipt.reason else "take" if kind is OrderType.FAK else "quote"
        self.did[said] += 1

    def state(self) -> bytes:
        """Nothing survives: this venue lives in memory."""
        return b""

    def restore(self, state: bytes) -> None:
        """Nothing to take back."""
