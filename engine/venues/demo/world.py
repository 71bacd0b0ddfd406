"""A furnished demo exchange: markets that roll, events that drift, and a crowd that trades.

The crowd are background makers, noise takers and informed takers, actors of the exchange. They
trade through the same `submit` and `cancel` as customers and know the public book. Besides that
each knows the true probability, in its own way: makers late and with an error, informed takers at
once, noise takers not at all. So whoever rests a quote is hit more often when it is stale.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, exp, floor, sqrt
from random import Random

import msgspec

from engine.domain.events import VenueMode
from engine.domain.instruments import AccountId, InstrumentId, Leg, Side
from engine.domain.orders import Identity, OrderType
from engine.errors import BadInput
from engine.venues.demo.accounts import ExchangeMarket
from engine.venues.demo.calendar import Calendar, SeriesWindow
from engine.venues.demo.clearing import SettlementRules
from engine.venues.demo.exchange import DemoExchange
from engine.venues.demo.orders import StandingOrder, Ticket
from engine.venues.demo.profiles import CrowdSpec, MakerSpec, Profile
from engine.venues.demo.reference import NORMAL
from engine.venues.demo.snapshot import RngState, restore_state, rng_state, set_rng
from engine.venues.demo.spot import PerpetualTraders, SpotTraders
from engine.venues.demo.timeline import TimelineEntry

# -- The crowd's takers: some know nothing, some know the probability before the makers do ---------

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


class CrowdTraders:
    """What takers and makers trade with."""

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


class Takers(CrowdTraders):
    """Noise and knowledge."""

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
            and self._exchange.wallet(NOISE).free_tokens(instrument.id, held) >= size
        )
        self._take(NOISE, market, (up, best + slip if up else best - slip, size, sells))
        return up

    def leading_side(self, market: ExchangeMarket) -> bool | None:
        """Return the side the price has gone or is going to, None for who knows neither."""
        bid, ask = market.book.best_bid, market.book.best_ask
        early, fast = self._spec.early_share, self._spec.fast_share
        if not early + fast or bid is None or ask is None:
            return None
        drawn, name = self._rng.random(), market.instrument.id
        if drawn >= early + fast:
            return None
        known = self._calendar.coming(name) if drawn < early else self._calendar.chance(name, 0)
        gap = ((known or 0.0) - (bid + ask) / 2 / market.one) * market.one
        return gap > 0 if abs(gap) >= market.instrument.tick / 2 else None

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
        self, customer: AccountId, market: ExchangeMarket, intent: tuple[bool, int, int, bool]
    ) -> None:
        up, level, size, sells = intent
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
        pairs = min(
            self._exchange.wallet(NOISE).free_tokens(name, leg) for leg in (Leg.YES, Leg.NO)
        )
        if pairs:
            self._exchange.convert(NOISE, name, -pairs, self._exchange.now_ns)


# -- The crowd's makers: late, in error, and patient -----------------------------------------------
# Each believes the mean of the probability over a stretch that ended some steps ago, give or take
# its error, and keeps a few quotes on each side where that belief puts them.

SURE = 0.0005
"""How near to certainty a maker stops quoting the losing side's last tick."""


class AgentQuote(msgspec.Struct, kw_only=True):
    """A maker's order on one rung and side. `identity` None = none is out."""

    identity: Identity | None = None


class Slot(msgspec.Struct, kw_only=True):
    """What the crowd keeps about one market."""

    number: int
    instrument: InstrumentId
    errors: list[float]
    """Each maker's present error about the probability."""
    quotes: list[list[tuple[AgentQuote, AgentQuote]]]
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


class Makers(CrowdTraders):
    """All background makers; who acts is the crowd's choice."""

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
        wanted: list[tuple[AgentQuote, bool, int]] = []
        for (behind, tolerance), quotes in zip(spec.rungs, slot.quotes[index], strict=True):
            for quote, is_bid, ticks in (
                (quotes[0], True, bid - behind),
                (quotes[1], False, ask + behind),
            ):
                if not self._keep_quote(spec, quote, ticks * tick, tolerance * tick):
                    wanted.append((quote, is_bid, ticks * tick))
        for quote, is_bid, level in wanted:
            self._rest(spec, quote, (market, is_bid, level), slot.depth)

    def _keep_quote(self, spec: MakerSpec, quote: AgentQuote, level: int, tolerance: int) -> bool:
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
        self,
        spec: MakerSpec,
        quote: AgentQuote,
        place: tuple[ExchangeMarket, bool, int],
        depth: float,
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
        sells = self._exchange.wallet(customer).free_tokens(market.instrument.id, held) >= size
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


# -- The crowd: background makers, noise takers and informed takers. An actor of the exchange ------

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
        self._makers = Makers(exchange, calendar, spec, rng, self._name)
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
        market = self._exchange.order_entry.markets.get(slot.instrument)
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
        memory = exp(-elapsed_s / self._spec.mood_memory_s)
        slot.mood = memory * slot.mood + spread * sqrt(1 - memory * memory) * self._rng.gauss(0, 1)
        floor = self._spec.mood_floor
        return floor + (1 - floor) * exp(slot.mood - spread * spread / 2)

    def _survey(self, now_ns: int) -> None:
        """Come to markets not yet known, and see to everybody's cash."""
        for instrument in self._calendar.by_name:
            if self._rate <= 0:
                break
            if (
                instrument in self._known
                or not self._exchange.order_entry.markets[instrument].accepting
            ):
                continue
            self._slot_count += 1
            self._known.add(instrument)
            slot = self._slots[self._slot_count] = Slot(
                number=self._slot_count,
                instrument=instrument,
                errors=[0.0] * len(self._spec.makers),
                quotes=[
                    [(AgentQuote(), AgentQuote()) for _ in spec.rungs] for spec in self._spec.makers
                ],
                depth=self._depth(),
            )
            self._plan(slot, now_ns)
        for member in self._members:
            lacking = self._spec.cash_micro - self._exchange.wallet(member).cash
            if lacking > self._spec.cash_micro // 2:
                self._exchange.deposit(member, lacking)
        self._exchange.timeline.set(now_ns + SURVEY_NS, TimelineEntry.ACTOR, self.name, SURVEY)

    def _depth(self) -> float:
        """Return how deep the next market is: even steps of the golden ratio, not luck."""
        share = self._slot_count * GOLDEN % 1 or 0.5
        return exp(self._spec.depth_spread * NORMAL.inv_cdf(share))

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
            up = self._takers.leading_side(market)
            self._follow(slot, NOISE, self._takers.take_blindly(market, up))
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
            saved = msgspec.msgpack.decode(state, type=CrowdState)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise BadInput(f"the demo crowd cannot be read: {error}") from error
        set_rng(self._rng, saved.rng)
        for slot in saved.slots:
            for spec, quotes in zip(self._spec.makers, slot.quotes, strict=True):
                # A world of an earlier version may have had fewer or more rungs.
                quotes += [(AgentQuote(), AgentQuote()) for _ in spec.rungs[len(quotes) :]]
                del quotes[len(spec.rungs) :]
        self._slots = {slot.number: slot for slot in saved.slots}
        self._known = {slot.instrument for slot in saved.slots}
        self._slot_count = saved.slot_count
        self._ticket_count = saved.ticket_count


# -- The exchange with everything under way --------------------------------------------------------


def open_world(
    profile: Profile, *, rng: Random, now_ns: int, settlement: SettlementRules | None = None
) -> DemoExchange:
    """Return an exchange with everything in `profile` under way."""
    exchange, calendar, crowd = _build_world(profile, rng=rng, now_ns=now_ns, settlement=settlement)
    calendar.begin()
    crowd.begin()
    for begin in exchange.begins.values():
        begin()
    return exchange


def reopen_world(
    profile: Profile, state: bytes, *, settlement: SettlementRules | None = None
) -> DemoExchange:
    """Return the exchange that `encode_state` saw. Raises BadInput where it cannot be read.

    Profile and settlement are the host's configuration and must be those it was opened with.
    """
    unused = Random(0)  # noqa: S311 - every generator is put back where it was
    exchange, _, _ = _build_world(profile, rng=unused, now_ns=0, settlement=settlement)
    restore_state(exchange, state)
    return exchange


def _build_world(
    profile: Profile, *, rng: Random, now_ns: int, settlement: SettlementRules | None
) -> tuple[DemoExchange, Calendar, Crowd]:
    # Each part has a generator of its own: what customers do never changes the reference price.
    price_rng = Random(rng.getrandbits(64))  # noqa: S311 - a model, not a secret
    crowd_rng = Random(rng.getrandbits(64))  # noqa: S311 - a model, not a secret
    exchange = DemoExchange(rng=rng, now_ns=now_ns, settlement=settlement)
    calendar = Calendar(exchange, profile, price_rng)
    crowd = Crowd(exchange, calendar, profile.crowd, crowd_rng)
    exchange.join(calendar)
    exchange.join(crowd)
    if profile.spots:
        spot_rng = Random(rng.getrandbits(64))  # noqa: S311 - a model, not a secret
        traders = SpotTraders(exchange, calendar, profile.spots, spot_rng)
        exchange.join(traders, traders.begin)
    if profile.perpetuals:
        perpetual_rng = Random(rng.getrandbits(64))  # noqa: S311 - a model, not a secret
        margined = PerpetualTraders(exchange, calendar, profile.perpetuals, perpetual_rng)
        exchange.join(margined, margined.begin)
    return exchange, calendar, crowd
