"""The crowd's makers: late, in error, and patient.

Each believes the mean of the probability over a stretch that ended some steps ago, give or take its
error, and keeps a few quotes on each side where that belief puts them.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, exp, floor
from random import Random

import msgspec

from engine.domain.instruments import AccountId, InstrumentId, Leg, Side
from engine.domain.orders import Identity
from engine.venues.demo.accounts import ExchangeMarket
from engine.venues.demo.calendar import Calendar
from engine.venues.demo.exchange import DemoExchange
from engine.venues.demo.orders import StandingOrder, Ticket
from engine.venues.demo.profiles import MakerSpec

SURE = 0.0005
"""How near to certainty a maker stops quoting the losing side's last tick."""


class Quote(msgspec.Struct, kw_only=True):
    """A maker's order on one rung and side. `identity` None = none is out."""

    identity: Identity | None = None


class Slot(msgspec.Struct, kw_only=True):
    """What the crowd keeps about one market."""

    number: int
    instrument: InstrumentId
    errors: list[float]
    """Each maker's present error about the probability."""
    quotes: list[list[tuple[Quote, Quote]]]
    """Per maker and rung: (bid, ask)."""
    depth: float = 1.0
    """How large quotes are in this market, beside others."""
    pressure: float = 0.0
    """How far recent takers have moved the makers' belief."""
    mood: float = 0.0
    """Logarithm of the market's activity over its usual one."""
    seen_ns: int = 0
    """When mood and pressure were looked at last."""
    echo: str = ""
    """Which taker another of its kind follows; empty = none."""
    echo_up: bool = False
    """The side it took."""
    swarm: bool = False
    """Whether they come as a swarm, each on a side of its own."""


class Makers:
    """All background makers; who acts is the crowd's choice."""

    def __init__(
        self,
        exchange: DemoExchange,
        calendar: Calendar,
        rng: Random,
        name: Callable[[str], Identity],
    ) -> None:
        self._exchange = exchange
        self._calendar = calendar
        self._rng = rng
        self._name = name

    def quote(self, spec: MakerSpec, slot: Slot, index: int, market: ExchangeMarket) -> None:
        """Move a maker's quotes to where it believes they belong: cancels first."""
        chance = self._calendar.chance(slot.instrument, spec.lag_steps, spec.mean_steps)
        if chance is None:
            return
        error = 0.8 * slot.errors[index] + 0.6 * spec.noise * self._rng.gauss(0, 1)
        slot.errors[index] = error
        tick = market.instrument.tick
        grid = market.one // tick
        value = chance + error + slot.pressure
        bid = min(floor((value - spec.half_width) * grid), grid - 2)
        ask = max(ceil((value + spec.half_width) * grid), 2)
        # Near the edges the last tick stays quoted until the outcome is all but certain.
        if SURE < chance < 1 - SURE:
            bid, ask = max(bid, 1), min(ask, grid - 1)
        wanted: list[tuple[Quote, bool, int]] = []
        for (behind, tolerance), quotes in zip(spec.rungs, slot.quotes[index], strict=True):
            for quote, is_bid, ticks in (
                (quotes[0], True, bid - behind),
                (quotes[1], False, ask + behind),
            ):
                if not self._keeps(spec, quote, ticks * tick, tolerance * tick):
                    wanted.append((quote, is_bid, ticks * tick))
        for quote, is_bid, level in wanted:
            self._rest(spec, quote, (market, is_bid, level), slot.depth)

    def _keeps(self, spec: MakerSpec, quote: Quote, level: int, tolerance: int) -> bool:
        """Keep a quote that is near enough and not nearly used up; cancel it otherwise."""
        if quote.identity is None:
            return False
        customer = AccountId(spec.name)
        order = self._exchange.order(customer, quote.identity)
        if order is not None:
            enough = 4 * order.remaining >= order.size
            if enough and abs(order.level - level) <= tolerance:
                return True
            self._exchange.cancel(customer, quote.identity, self._exchange.now_ns)
        quote.identity = None
        return False

    def _rest(
        self, spec: MakerSpec, quote: Quote, place: tuple[ExchangeMarket, bool, int], depth: float
    ) -> None:
        """Rest a quote post-only, no better than one tick short of the other side."""
        market, is_bid, level = place
        tick = market.instrument.tick
        best = market.book.best_ask if is_bid else market.book.best_bid
        if best is not None:
            level = min(level, best - tick) if is_bid else max(level, best + tick)
        if not tick <= level <= market.one - tick:
            return
        edge = abs(2 * level - market.one) / market.one
        behind = 0.0 if best is None else abs(best - level) / tick
        shares = depth * spec.shares * (1 + 1.2 * edge * edge) * (1 + spec.deeper * behind)
        shares *= exp(spec.size_spread * self._rng.gauss(0, 1))
        size = max(round(shares) * market.share, market.instrument.size_min)
        customer = AccountId(spec.name)
        held = Leg.NO if is_bid else Leg.YES
        sells = self._exchange.free_tokens(customer, market.instrument.id, held) >= size
        leg = held if sells else (Leg.YES if is_bid else Leg.NO)
        ticket = Ticket(
            identity=self._name(spec.name),
            instrument=market.instrument.id,
            leg=leg,
            side=Side.SELL if sells else Side.BUY,
            price=level if leg is Leg.YES else market.one - level,
            size=size,
            post_only=True,
        )
        if (
            self._exchange.submit(customer, ticket, self._exchange.now_ns).standing
            is StandingOrder.LIVE
        ):
            quote.identity = ticket.identity
