"""The crowd's takers: some know nothing, some know the probability before the makers do."""

from __future__ import annotations

from collections.abc import Callable
from math import exp
from random import Random

from engine.domain.instruments import AccountId, Leg, Side
from engine.domain.orders import Identity, OrderType
from engine.venues.demo.accounts import ExchangeMarket
from engine.venues.demo.calendar import Calendar
from engine.venues.demo.exchange import DemoExchange
from engine.venues.demo.orders import Ticket
from engine.venues.demo.profiles import CrowdSpec

NOISE = AccountId("demo-noise")
INFORMED = AccountId("demo-informed")
SALE_CHANCE = 0.3
"""How often a noise taker sells what it has instead of buying the other leg."""
MERGE_CHANCE = 0.05
SLIP_CHANCE = 0.3
"""How often a noise taker pays up to one tick more than the touch."""
NOISE_SHARES_MAX = 3_000.0
REACH_TICKS = 5
"""How far beyond the touch an informed taker reaches."""


class Takers:
    """Noise and knowledge."""

    def __init__(
        self,
        exchange: DemoExchange,
        calendar: Calendar,
        spec: CrowdSpec,
        rng: Random,
        name: Callable[[str], Identity],
    ) -> None:
        self._exchange = exchange
        self._calendar = calendar
        self._spec = spec
        self._rng = rng
        self._name = name

    def take_blindly(
        self, market: ExchangeMarket, up: bool | None = None, part: float = 1.0
    ) -> bool:
        """Buy or sell something for no reason; give the side. `up` None = either.

        `part` of what a noise taker would take otherwise.
        """
        spec, rng, instrument = self._spec, self._rng, market.instrument
        if rng.random() < MERGE_CHANCE:
            self._merge(market)
        if up is None:
            up = rng.random() < 0.5
        best = market.book.best_ask if up else market.book.best_bid
        median = part * spec.noise_shares
        shares = min(median * exp(spec.noise_spread * rng.gauss(0, 1)), NOISE_SHARES_MAX)
        slip = instrument.tick * (1 if rng.random() < SLIP_CHANCE else 0)
        if best is None:
            return up
        size = max(round(shares) * market.share, instrument.size_min)
        held = Leg.NO if up else Leg.YES
        sells = (
            rng.random() < SALE_CHANCE
            and self._exchange.free_tokens(NOISE, instrument.id, held) >= size
        )
        self._take(NOISE, market, (up, best + slip if up else best - slip, size, sells))
        return up

    def take_knowingly(self, market: ExchangeMarket) -> bool | None:
        """Take what is mispriced by more than fee and edge; give the side, None = nothing."""
        chance = self._calendar.chance(market.instrument.id, 0)
        if chance is None:
            return None
        taken = None
        for up in (True, False):
            level = self._worth(market, up, chance)
            if level is not None:
                shares = self._spec.informed_shares * exp(0.9 * self._rng.gauss(0, 1))
                size = max(round(shares) * market.share, market.instrument.size_min)
                self._take(INFORMED, market, (up, level, size, False))
                taken = up
        return taken

    def _worth(self, market: ExchangeMarket, up: bool, chance: float) -> int | None:
        """Return the worst level still worth taking, None where there is none."""
        level = market.book.best_ask if up else market.book.best_bid
        found = None
        rate = market.instrument.fees.taker_rate_ppm / 1e6
        tick = market.instrument.tick
        for _ in range(REACH_TICKS):
            if level is None or not tick <= level <= market.one - tick:
                break
            price = level / market.one
            gain = (chance - price if up else price - chance) - rate * price * (1 - price)
            if gain < self._spec.informed_edge:
                break
            found = level
            level += tick if up else -tick
        return found

    def _take(
        self,
        customer: AccountId,
        market: ExchangeMarket,
        wish: tuple[bool, int, int, bool],
    ) -> None:
        up, level, size, sells = wish
        instrument = market.instrument
        level = min(max(level, instrument.tick), market.one - instrument.tick)
        leg = Leg.YES if up is not sells else Leg.NO
        price = level if leg is Leg.YES else market.one - level
        if not sells:
            # The venue wants a marketable purchase to be worth a dollar.
            least = instrument.notional_min_micro * market.divisor // price
            size = max(size, -(-least // market.share) * market.share)
        ticket = Ticket(
            identity=self._name(customer),
            instrument=instrument.id,
            leg=leg,
            side=Side.SELL if sells else Side.BUY,
            price=price,
            size=size,
            type=OrderType.FAK,
        )
        self._exchange.submit(customer, ticket, self._exchange.now_ns)

    def _merge(self, market: ExchangeMarket) -> None:
        """Turn the noise takers' pairs back into cash."""
        name = market.instrument.id
        pairs = min(self._exchange.free_tokens(NOISE, name, leg) for leg in (Leg.YES, Leg.NO))
        if pairs:
            self._exchange.convert(NOISE, name, -pairs, self._exchange.now_ns)
