"""Pairs and perpetuals of the demo exchange, and who trades them: makers, noise, informed takers.

An actor of the exchange. A pair is priced by the world's reference price: makers quote around it
with an error of their own, noise takers know nothing, informed takers know where it is going. All
of them trade through the same `submit` and `cancel` as customers. A perpetual is marked each second
at the price makers quote pairs and perpetuals around, and its funding moves at each full hour.
"""

from __future__ import annotations

from math import exp
from random import Random

import msgspec

from engine.domain.assets import asset
from engine.domain.events import VenueMode
from engine.domain.instruments import (
    AccountId,
    FeeSchedule,
    Instrument,
    InstrumentId,
    Kind,
    Leg,
    Side,
)
from engine.domain.orders import Identity, OrderType
from engine.domain.perpetual_events import MARK_DECIMALS
from engine.domain.products.funding import HOUR_NS, RATE_DECIMALS
from engine.domain.products.margin import Measure, tier_table
from engine.domain.products.perpetual import MarginTerms
from engine.errors import BadInput
from engine.venues.demo.accounts import ExchangeMarket
from engine.venues.demo.calendar import Calendar
from engine.venues.demo.exchange import DemoExchange
from engine.venues.demo.orders import StandingOrder, Ticket
from engine.venues.demo.profiles import PerpetualSpec, SpotMaker, SpotSpec
from engine.venues.demo.snapshot import RngState, rng_state, set_rng
from engine.venues.demo.timeline import TimelineEntry

NOISE = AccountId("demo-spot-noise")
INFORMED = AccountId("demo-spot-informed")
BPS = 1e-4
MARK = -1
"""The topic of the timer that marks all perpetuals."""
MARK_NS = 1_000_000_000
SLIP_TICKS = 5
"""How far beyond the touch a noise taker reaches."""


class SpotState(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that survives. `quotes` per pair, maker and rung: (bid, ask), None = none."""

    rng: RngState
    quotes: list[list[list[list[Identity | None]]]]
    ticket_count: int


class SpotTraders:
    """All pairs and everybody who trades them besides the customers."""

    name = "spot"

    def __init__(
        self, exchange: DemoExchange, calendar: Calendar, specs: tuple[SpotSpec, ...], rng: Random
    ) -> None:
        self._exchange = exchange
        self._price = calendar.price
        self._specs = specs
        self._rng = rng
        self._quotes = [_no_quotes(spec) for spec in specs]
        self._ticket_count = 0

    def begin(self) -> None:
        """List the pairs and open the traders' accounts at the exchange's present moment."""
        exchange = self._exchange
        for pair, spec in enumerate(self._specs):
            self._list(spec)
            for member in _members(spec):
                if member not in exchange.order_entry.accounts:
                    exchange.open_account(member, 0, listening=False)
            self._supply(spec)
            self._plan(pair)

    def wake(self, topic: int, now_ns: int) -> None:
        """Let one of a pair's traders act. `topic` is the pair's number."""
        del now_ns
        if self._exchange.guard.mode is VenueMode.OPEN:
            self._act(topic)
        self._plan(topic)

    def _list(self, spec: SpotSpec) -> None:
        self._exchange.listing.add(spot_instrument(spec))

    def _plan(self, pair: int) -> None:
        wait_s = self._rng.expovariate(_rate(self._specs[pair]))
        at_ns = self._exchange.now_ns + int(wait_s * 1e9)
        self._exchange.timeline.set(at_ns, TimelineEntry.ACTOR, self.name, pair)

    def _act(self, pair: int) -> None:
        spec = self._specs[pair]
        market = self._exchange.listing.market(_id(spec))
        chosen = self._rng.random() * _rate(spec)
        makers = len(spec.makers) * spec.maker_rate
        if chosen < makers:
            index = int(chosen / spec.maker_rate)
            self._quote(spec.makers[index], self._quotes[pair][index], market)
        elif chosen < makers + spec.noise_rate:
            self._take_blindly(spec, market)
        else:
            self._take_knowingly(spec, market)
            self._supply(spec)

    def _supply(self, spec: SpotSpec) -> None:
        """Bring what a trader is short of, so that none runs dry."""
        exchange, name = self._exchange, _id(spec)
        full = spec.base_units * 10**spec.size_decimals
        for member in _members(spec):
            self._pay_in(spec, member)
            wallet = exchange.wallet(member)
            held = wallet.tokens(name, Leg.BASE).settled
            if held < full // 2:
                exchange.deposit_base(member, name, full - held)

    def _pay_in(self, spec: SpotSpec, member: AccountId) -> None:
        wallet = self._exchange.wallet(member)
        if wallet.cash < spec.cash_micro // 2:
            self._exchange.deposit(member, spec.cash_micro - wallet.cash)

    # -- makers ------------------------------------------------------------------------------------

    def _quote(
        self, maker: SpotMaker, quotes: list[list[Identity | None]], market: ExchangeMarket
    ) -> None:
        """Move a maker's quotes to where it believes they belong: cancels first."""
        unit, tick = market.instrument.price_unit, market.instrument.tick
        value = self._price.latent * (1 + maker.noise_bps * BPS * self._rng.gauss(0, 1)) * unit
        tolerance = value * maker.tolerance_bps * BPS
        wanted: list[tuple[list[Identity | None], bool, int]] = []
        for rung, quote in zip(maker.rungs_bps, quotes, strict=True):
            behind = (maker.half_width_bps + rung) * BPS * value
            bid = int((value - behind) / tick) * tick
            ask = (int((value + behind) / tick) + 1) * tick
            for is_bid, level in ((True, bid), (False, ask)):
                if not self._keeps(maker, quote, is_bid, level, tolerance):
                    wanted.append((quote, is_bid, level))
        for quote, is_bid, level in wanted:
            self._rest(maker, quote, market, is_bid, level)

    def _keeps(
        self,
        maker: SpotMaker,
        quote: list[Identity | None],
        is_bid: bool,
        level: int,
        tolerance: float,
    ) -> bool:
        """Keep a quote that is near enough and not nearly used up; cancel it otherwise."""
        place = 0 if is_bid else 1
        identity, customer = quote[place], AccountId(maker.name)
        if identity is None:
            return False
        order = self._exchange.order(customer, identity)
        if order is not None:
            if 4 * order.remaining >= order.size and abs(order.level - level) <= tolerance:
                return True
            self._exchange.cancel(customer, identity, self._exchange.now_ns)
        quote[place] = None
        return False

    def _rest(
        self,
        maker: SpotMaker,
        quote: list[Identity | None],
        market: ExchangeMarket,
        is_bid: bool,
        level: int,
    ) -> None:
        """Rest a quote post-only, no better than one tick short of the other side."""
        tick = market.instrument.tick
        best = market.book.best_ask if is_bid else market.book.best_bid
        if best is not None:
            level = min(level, best - tick) if is_bid else max(level, best + tick)
        size = _lots(market, maker.size * exp(0.7 * self._rng.gauss(0, 1)))
        side = Side.BUY if is_bid else Side.SELL
        ticket = self._ticket(AccountId(maker.name), market, side, level, size, rests=True)
        receipt = self._exchange.submit(AccountId(maker.name), ticket, self._exchange.now_ns)
        if receipt.standing is StandingOrder.LIVE:
            quote[0 if is_bid else 1] = ticket.identity

    # -- takers ------------------------------------------------------------------------------------

    def _take_blindly(self, spec: SpotSpec, market: ExchangeMarket) -> None:
        """Buy or sell something for no reason."""
        up = self._rng.random() < 0.5
        best = market.book.best_ask if up else market.book.best_bid
        drawn = spec.noise_size * exp(spec.noise_spread * self._rng.gauss(0, 1))
        if best is None:
            return
        slip = SLIP_TICKS * market.instrument.tick
        size = _lots(market, min(drawn, spec.noise_size_max))
        self._take(NOISE, market, up, best + slip if up else best - slip, size)

    def _take_knowingly(self, spec: SpotSpec, market: ExchangeMarket) -> None:
        """Take what is mispriced by more than fee and edge."""
        value = self._price.coming * market.instrument.price_unit
        edge = (spec.taker_ppm * 1e-6 + spec.informed_edge_bps * BPS) * value
        tick = market.instrument.tick
        bid, ask = market.book.best_bid, market.book.best_ask
        size = _lots(market, spec.informed_size * exp(0.9 * self._rng.gauss(0, 1)))
        if ask is not None and ask <= value - edge:
            self._take(INFORMED, market, True, int((value - edge) / tick) * tick, size)
        elif bid is not None and bid >= value + edge:
            self._take(INFORMED, market, False, (int((value + edge) / tick) + 1) * tick, size)

    def _take(
        self, customer: AccountId, market: ExchangeMarket, up: bool, level: int, size: int
    ) -> None:
        side = Side.BUY if up else Side.SELL
        ticket = self._ticket(customer, market, side, max(level, market.instrument.tick), size)
        self._exchange.submit(customer, ticket, self._exchange.now_ns)

    def _ticket(
        self,
        customer: AccountId,
        market: ExchangeMarket,
        side: Side,
        level: int,
        size: int,
        *,
        rests: bool = False,
    ) -> Ticket:
        self._ticket_count += 1
        return Ticket(
            identity=Identity(f"{customer}-{self._ticket_count}"),
            instrument=market.instrument.id,
            leg=Leg.BASE,
            side=side,
            price=level,
            size=size,
            type=OrderType.GTC if rests else OrderType.FAK,
            post_only=rests,
        )

    # -- surviving ---------------------------------------------------------------------------------

    def state(self) -> bytes:
        """Return everything that must survive."""
        state = SpotState(
            rng=rng_state(self._rng), quotes=self._quotes, ticket_count=self._ticket_count
        )
        return msgspec.msgpack.encode(state)

    def restore(self, state: bytes) -> None:
        """Take back what `state` gave. Raises BadInput where it cannot be read."""
        try:
            saved = msgspec.msgpack.decode(state, type=SpotState)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise BadInput(f"the demo exchange's spot traders cannot be read: {error}") from error
        if [[len(one) for one in pair] for pair in saved.quotes] != [
            [len(one) for one in pair] for pair in self._quotes
        ]:
            raise BadInput("the demo exchange's spot traders are those of another world")
        set_rng(self._rng, saved.rng)
        self._quotes = saved.quotes
        self._ticket_count = saved.ticket_count


class PerpetualTradersState(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that survives of a perpetual's traders, and what its next funding is made of."""

    traders: bytes
    premiums_e12: list[int]
    samples: list[int]


class PerpetualTraders(SpotTraders):
    """All perpetuals: marks, fundings, and everybody who trades them besides the customers."""

    name = "perpetual"

    def __init__(
        self,
        exchange: DemoExchange,
        calendar: Calendar,
        specs: tuple[PerpetualSpec, ...],
        rng: Random,
    ) -> None:
        super().__init__(exchange, calendar, specs, rng)
        self._perpetuals = specs
        self._desk = exchange.order_entry.margins
        self._premiums_e12 = [0] * len(specs)
        self._samples = [0] * len(specs)

    def begin(self) -> None:
        """List the perpetuals, and begin to mark them."""
        super().begin()
        self._plan_mark()

    def wake(self, topic: int, now_ns: int) -> None:
        """Mark every perpetual, or let one of a perpetual's traders act."""
        if topic != MARK:
            super().wake(topic, now_ns)
            return
        for number, spec in enumerate(self._perpetuals):
            self._desk.mark(_id(spec), self._mark_e8)
            self._sample(number, spec)
            if now_ns % HOUR_NS == 0:
                self._fund(number, spec, now_ns)
        self._plan_mark()

    @property
    def _mark_e8(self) -> int:
        """What the pair is traded around: the fast reference stands a lasting basis above it."""
        unit: int = 10**MARK_DECIMALS
        return round(self._price.latent * unit)

    def _plan_mark(self) -> None:
        now_ns = self._exchange.now_ns
        at_ns = now_ns - now_ns % MARK_NS + MARK_NS
        self._exchange.timeline.set(at_ns, TimelineEntry.ACTOR, self.name, MARK)

    def _sample(self, number: int, spec: PerpetualSpec) -> None:
        """Note how far the middle of the book is above the mark."""
        market = self._exchange.listing.market(_id(spec))
        bid, ask = market.book.best_bid, market.book.best_ask
        if bid is None or ask is None:
            return
        mark_e8 = self._desk.ledger.perpetuals[_id(spec)].mark_e8
        mid_e8 = (bid + ask) * 10**8 // (2 * market.instrument.price_unit)
        self._premiums_e12[number] += (mid_e8 - mark_e8) * 10**12 // mark_e8
        self._samples[number] += 1

    def _fund(self, number: int, spec: PerpetualSpec, stamp_ns: int) -> None:
        """Move an hour's funding: its mean premium, drawn to the interest, within the cap."""
        samples = self._samples[number]
        premium = self._premiums_e12[number] // samples if samples else 0
        self._premiums_e12[number] = self._samples[number] = 0
        drawn = min(max(spec.interest_e12 - premium, -spec.damper_e12), spec.damper_e12)
        rate_e12 = min(max(premium + drawn, -spec.cap_e12), spec.cap_e12)
        self._desk.fund(_id(spec), stamp_ns, rate_e12 * 10 ** (RATE_DECIMALS - 12))

    def _list(self, spec: SpotSpec) -> None:
        instrument = perpetual_instrument(spec)
        self._desk.add(instrument, self._mark_e8)
        self._exchange.listing.add(instrument)

    def _supply(self, spec: SpotSpec) -> None:
        """Bring cash alone: nothing is delivered."""
        for member in _members(spec):
            self._pay_in(spec, member)

    def state(self) -> bytes:
        """Return everything that must survive."""
        state = PerpetualTradersState(
            traders=super().state(), premiums_e12=self._premiums_e12, samples=self._samples
        )
        return msgspec.msgpack.encode(state)

    def restore(self, state: bytes) -> None:
        """Take back what `state` gave. Raises BadInput where it cannot be read."""
        try:
            saved = msgspec.msgpack.decode(state, type=PerpetualTradersState)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise BadInput(f"the demo exchange's perpetuals cannot be read: {error}") from error
        super().restore(saved.traders)
        self._premiums_e12, self._samples = saved.premiums_e12, saved.samples


def perpetual_instrument(spec: SpotSpec) -> Instrument:
    """Return a perpetual as the exchange lists it, with its margin. BadInput where it is none."""
    if not isinstance(spec, PerpetualSpec):
        raise BadInput(f"{spec.name} is no perpetual")
    terms = MarginTerms(leverage=spec.leverage, tiers=tier_table(Measure.VALUE, spec.tiers))
    return msgspec.structs.replace(spot_instrument(spec), kind=Kind.PERPETUAL, margin=terms)


def spot_instrument(spec: SpotSpec) -> Instrument:
    """Return a pair as the exchange lists it."""
    return Instrument(
        id=_id(spec),
        kind=Kind.SPOT,
        currency=spec.currency,
        price_decimals=spec.price_decimals,
        size_decimals=spec.size_decimals,
        tick=spec.tick,
        lot=spec.lot,
        size_min=spec.size_min,
        notional_min_micro=spec.notional_min_micro,
        fees=FeeSchedule(taker_rate_ppm=spec.taker_ppm, maker_rate_ppm=spec.maker_ppm),
        base=asset(spec.base),
    )


def _id(spec: SpotSpec) -> InstrumentId:
    return InstrumentId(f"demo:{spec.name}")


def _members(spec: SpotSpec) -> list[AccountId]:
    return [AccountId(maker.name) for maker in spec.makers] + [NOISE, INFORMED]


def _rate(spec: SpotSpec) -> float:
    return len(spec.makers) * spec.maker_rate + spec.noise_rate + spec.informed_rate


def _lots(market: ExchangeMarket, units: float) -> int:
    """Return so many units of the base asset as a legal size."""
    lot = market.instrument.lot
    return max(int(units * market.share / lot) * lot, market.instrument.smallest)


def _no_quotes(spec: SpotSpec) -> list[list[list[Identity | None]]]:
    return [[[None, None] for _ in maker.rungs_bps] for maker in spec.makers]
