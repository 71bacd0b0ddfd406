"""The crowd: background makers, noise takers and informed takers. An actor of the exchange.

They trade through the same `submit` and `cancel` as customers and know the public book. Besides
that each knows the true probability, in its own way: makers late and with an error, informed takers
at once, noise takers not at all. So whoever rests a quote is hit more often when it is stale.
"""

from __future__ import annotations

from math import exp, sqrt
from random import Random
from statistics import NormalDist

import msgspec

from engine.domain.events import VenueMode
from engine.domain.instruments import AccountId, InstrumentId
from engine.domain.orders import Identity
from engine.errors import BadInput
from engine.venues.demo.accounts import ExchangeMarket
from engine.venues.demo.calendar import Calendar, SeriesWindow
from engine.venues.demo.exchange import DemoExchange
from engine.venues.demo.makers import Makers, Quote, Slot
from engine.venues.demo.profiles import CrowdSpec
from engine.venues.demo.snapshot import RngState, rng_state, set_rng
from engine.venues.demo.takers import INFORMED, NOISE, Takers
from engine.venues.demo.timeline import TimelineEntry

SURVEY = 0
SURVEY_NS = 1_000_000_000
GOLDEN = (5**0.5 - 1) / 2
PAUSE_NS_MAX = 60_000_000_000
"""Longest time between two wakes of one market, so that its end is noticed."""


class CrowdState(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that survives."""

    rng: RngState
    slots: list[Slot]
    slot_count: int
    ticket_count: int


class Crowd:
    """Everybody who trades besides the customers."""

    name = "crowd"

    def __init__(
        self, exchange: DemoExchange, calendar: Calendar, spec: CrowdSpec, rng: Random
    ) -> None:
        self._exchange = exchange
        self._calendar = calendar
        self._spec = spec
        self._rng = rng
        self._slots: dict[int, Slot] = {}
        self._known: set[InstrumentId] = set()
        self._slot_count = 0
        self._ticket_count = 0
        self._members = [AccountId(maker.name) for maker in spec.makers] + [NOISE, INFORMED]
        self._makers = Makers(exchange, calendar, rng, self._name)
        self._takers = Takers(exchange, calendar, spec, rng, self._name)
        self._rate = len(spec.makers) * spec.maker_rate + spec.noise_rate + spec.informed_rate

    def begin(self) -> None:
        """Open the crowd's accounts and come to the market."""
        for member in self._members:
            self._exchange.open_account(member, self._spec.cash_micro, listening=False)
        self._survey(self._exchange.now_ns)

    def wake(self, topic: int, now_ns: int) -> None:
        """Look for new markets, or let somebody act in one."""
        if topic == SURVEY:
            self._survey(now_ns)
            return
        slot = self._slots[topic]
        market = self._exchange.desk.markets.get(slot.instrument)
        chance = self._calendar.chance(slot.instrument, 0)
        if market is None or not market.accepting or chance is None:
            del self._slots[topic]
            self._known.discard(slot.instrument)
            return
        if self._exchange.guard.mode is VenueMode.OPEN:
            self._act(slot, market)
        self._plan(slot, now_ns)

    def _plan(self, slot: Slot, now_ns: int) -> None:
        item = self._calendar.by_name[slot.instrument]
        share = self._spec.event_share
        if isinstance(item, SeriesWindow):
            share = 1.0 if item.strike_e8 is not None else self._spec.ahead_share
        elapsed_s = (now_ns - slot.seen_ns) / 1e9
        slot.seen_ns = now_ns
        slot.pressure *= exp(-elapsed_s / self._spec.impact_memory_s)
        activity = self._mood(slot, elapsed_s)
        rate = self._rate * share * activity
        if slot.echo:
            rate = 1 / (self._spec.swarm_s if slot.swarm else self._spec.echo_s)
        wait_s = self._rng.expovariate(rate)
        at_ns = now_ns + min(int(wait_s * 1e9), PAUSE_NS_MAX)
        self._exchange.timeline.set(at_ns, TimelineEntry.ACTOR, self.name, slot.number)

    def _mood(self, slot: Slot, elapsed_s: float) -> float:
        """Let a market's mood drift; return its activity over the usual one, 1 in the mean."""
        spread = self._spec.mood_spread
        if not spread:
            return 1.0
        kept = exp(-elapsed_s / self._spec.mood_memory_s)
        slot.mood = kept * slot.mood + spread * sqrt(1 - kept * kept) * self._rng.gauss(0, 1)
        floor = self._spec.mood_floor
        return floor + (1 - floor) * exp(slot.mood - spread * spread / 2)

    def _survey(self, now_ns: int) -> None:
        """Come to markets not yet known, and see to everybody's purse."""
        for instrument in self._calendar.by_name:
            if self._rate <= 0:
                break
            if instrument in self._known or not self._exchange.desk.markets[instrument].accepting:
                continue
            self._slot_count += 1
            self._known.add(instrument)
            slot = self._slots[self._slot_count] = Slot(
                number=self._slot_count,
                instrument=instrument,
                errors=[0.0] * len(self._spec.makers),
                quotes=[[(Quote(), Quote()) for _ in spec.rungs] for spec in self._spec.makers],
                depth=self._depth(),
            )
            self._plan(slot, now_ns)
        for member in self._members:
            lacking = self._spec.cash_micro - self._exchange.balance(member).settled
            if lacking > self._spec.cash_micro // 2:
                self._exchange.deposit(member, lacking)
        self._exchange.timeline.set(now_ns + SURVEY_NS, TimelineEntry.ACTOR, self.name, SURVEY)

    def _depth(self) -> float:
        """Return how deep the next market is: even steps of the golden ratio, not luck."""
        share = self._slot_count * GOLDEN % 1 or 0.5
        return exp(self._spec.depth_spread * NormalDist().inv_cdf(share))

    def _act(self, slot: Slot, market: ExchangeMarket) -> None:
        spec = self._spec
        if slot.echo:
            self._echo(slot, market)
            return
        chosen = self._rng.random() * self._rate
        makers_rate = len(spec.makers) * spec.maker_rate
        if chosen < makers_rate:
            index = int(chosen / spec.maker_rate)
            self._makers.quote(spec.makers[index], slot, index, market)
        elif chosen < makers_rate + spec.noise_rate:
            self._follow(slot, NOISE, self._takers.take_blindly(market))
        else:
            self._follow(slot, INFORMED, self._takers.take_knowingly(market))

    def _echo(self, slot: Slot, market: ExchangeMarket) -> None:
        """Let another taker do as the last one did."""
        if slot.echo == NOISE:
            up, part = (None, self._spec.swarm_part) if slot.swarm else (slot.echo_up, 1.0)
            self._follow(slot, NOISE, self._takers.take_blindly(market, up, part))
        else:
            self._follow(slot, INFORMED, self._takers.take_knowingly(market))

    def _follow(self, slot: Slot, who: str, up: bool | None) -> None:
        """Note whether another acts next, as this one did or in a swarm: matches come in bursts."""
        spec = self._spec
        if who == NOISE and up is not None:
            slot.pressure += spec.impact if up else -spec.impact
        if not slot.echo:
            swarms = who == NOISE and spec.swarm_chance > 0
            slot.swarm = swarms and self._rng.random() < spec.swarm_chance
        chance = spec.rush_chance if who == INFORMED else spec.echo_chance
        if slot.swarm:
            chance = spec.swarm_echo_chance
        again = up is not None and chance > 0
        slot.echo = who if again and self._rng.random() < chance else ""
        slot.echo_up = bool(up)

    def _name(self, customer: str) -> Identity:
        self._ticket_count += 1
        return Identity(f"{customer}-{self._ticket_count}")

    # -- surviving ---------------------------------------------------------------------------------

    def state(self) -> bytes:
        """Return everything that must survive."""
        state = CrowdState(
            rng=rng_state(self._rng),
            slots=list(self._slots.values()),
            slot_count=self._slot_count,
            ticket_count=self._ticket_count,
        )
        return msgspec.msgpack.encode(state)

    def restore(self, state: bytes) -> None:
        """Take back what `state` gave. Raises BadInput where it cannot be read."""
        try:
            kept = msgspec.msgpack.decode(state, type=CrowdState)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise BadInput(f"the demo crowd cannot be read: {error}") from error
        set_rng(self._rng, kept.rng)
        for slot in kept.slots:
            for spec, quotes in zip(self._spec.makers, slot.quotes, strict=True):
                # A world of an earlier version may have had fewer or more rungs.
                quotes += [(Quote(), Quote()) for _ in spec.rungs[len(quotes) :]]
                del quotes[len(spec.rungs) :]
        self._slots = {slot.number: slot for slot in kept.slots}
        self._known = {slot.instrument for slot in kept.slots}
        self._slot_count = kept.slot_count
        self._ticket_count = kept.ticket_count
