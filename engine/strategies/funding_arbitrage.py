"""Funding arbitrage: spot bought and its perpetual sold short, for the funding longs pay.

Idea: the two cancel each other's moves, and while the perpetual trades above its mark longs pay
shorts at each stamp (He, Manela, Ross and von Wachter, 2022, "Fundamentals of perpetual futures").
What an hour is expected to pay is the venues' own formula (Binance, "Introduction to funding
rates"), premium + clamp(interest − premium, ±damper), of the premium's mean as it is seen here: how
far the middle of the book stands above the mark. It opens where that, over the hours it counts on,
pays more than both legs cost to open and to close; it closes where an hour is expected to pay less
than `leave_bps`.

It loses where the funding turns before the fees are earned, and where one leg is filled and the
other is not: what stands alone is completed for a minute, then closed. A rise that takes all cash
before the spot is sold liquidates the short: so both legs together take no more than the capital,
and as much cash as the spot cost stays beside it. It is never short of spot, so it rests while
shorts pay. No edge is claimed.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import exp
from typing import Annotated, ClassVar, NamedTuple

import msgspec
from pydantic import Field

from engine.caches.views import BookView
from engine.domain.catalog import GateWords, ValueWords
from engine.domain.decisions import Gate
from engine.domain.events import Event, OrderFilled
from engine.domain.instruments import BotId, Instrument, InstrumentId, Kind
from engine.domain.intents import Basket, Target, Urgency
from engine.domain.perpetual_events import MARK_DECIMALS
from engine.errors import BadInput
from engine.strategies.door import Context, Evaluation, Parameters, decided

S = 1_000_000_000
BPS = 10_000
MARK_UNIT: int = 10**MARK_DECIMALS
VALID_NS = 2 * S
APART_NS = 60 * S
"""How long a leg may stand alone before it is closed."""


class FundingArbitrageParameters(Parameters):
    """When it pays, and how much of the capital stands in it."""

    hours: Annotated[float, Field(ge=1.0, le=8_760.0)] = 240.0
    """Hours over which the funding must pay what both legs cost.

    Ten days: at the usual 0.01 % in eight hours that is 0.3 %, a little more than four fees."""
    edge_min_bps: Annotated[float, Field(ge=-1_000.0, le=1_000.0)] = 2.0
    """Basis points of the value that must be left then.

    Two: what is expected is no more than a guess that the hour before goes on."""
    leave_bps: Annotated[float, Field(ge=-100.0, le=100.0)] = -0.05
    """Basis points an hour is expected to pay below which it closes.

    Below zero: closing costs ten hours of the usual rate, so a short turn is waited out."""
    interest_bps: Annotated[float, Field(ge=-10.0, le=10.0)] = 0.125
    """Basis points of interest in the funding of an hour.

    An eighth: 0.01 % in eight hours, as Binance and OKX say."""
    damper_bps: Annotated[float, Field(ge=0.0, le=100.0)] = 5.0
    """Basis points by which the premium is drawn to the interest.

    Five, as Binance says."""
    memory_s: Annotated[float, Field(ge=1.0, le=86_400.0)] = 3_600.0
    """Seconds in which the mean premium forgets all but 1/e.

    An hour: venues average over the time between two stamps."""
    warm_s: Annotated[float, Field(ge=0.0, le=86_400.0)] = 60.0
    """Seconds it watches the premium before it opens.

    A minute: less is one moment of the book."""
    share: Annotated[float, Field(gt=0.0, le=1.0)] = 0.95
    """Part of the capital the values of both legs take together, 0 to 1.

    A little is left for fees. Risk counts a short like a long: half of it is each leg's."""
    slippage_bps_max: Annotated[float, Field(ge=0.0, le=1_000.0)] = 5.0
    """Basis points beyond the touch that a leg may cost.

    Five: more would cost more than a day of the usual funding pays."""


class _Seen(msgspec.Struct):
    """What it has seen of the premium, and what it wants."""

    premium_bps: float = 0.0
    since_ns: int = 0
    """From when on it was seen; 0 = never."""
    at_ns: int = 0
    units: float = 0.0
    """How much of the base it wants in each leg; 0 = none."""
    apart_ns: int = 0
    """Since when the legs are not what it wants; 0 = they are."""


class HedgeLegs(NamedTuple):
    """The two books, each with both sides, and the mark."""

    spot: BookView
    perpetual: BookView


class FundingArbitrage:
    """Buys spot and shorts its perpetual while the funding is expected to pay for both legs."""

    name: ClassVar[str] = "funding_arbitrage"
    category: ClassVar[str] = "several instruments"
    tags: ClassVar[tuple[str, ...]] = ("funding", "long and short")
    parameters_type: ClassVar[type[Parameters]] = FundingArbitrageParameters
    gates: ClassVar[Mapping[str, GateWords]] = {
        "legs": GateWords(
            "the bot has a spot pair and a perpetual",
            "the bot had one spot pair and one perpetual of it",
            "{value} of {limit} legs are open",
            sign="≥",
            needed=True,
        ),
        "marked": GateWords(
            "both books have both sides and the venue says its mark",
            "both books had both sides and the mark came",
            needed=True,
        ),
        "warm": GateWords(
            "the premium was watched long enough",
            "the premium was watched longer",
            "watched for {value} s of {limit}",
            sign="≥",
        ),
        "edge": GateWords(
            "the funding pays for both legs",
            "the funding paid more than both legs cost",
            "{value} basis points would be left, at least {limit}",
            sign="≥",
        ),
    }
    values: ClassVar[Mapping[str, ValueWords]] = {
        "premium_bps": ValueWords("Mean premium over the mark, basis points"),
        "hour_bps": ValueWords("Funding expected an hour, basis points"),
        "edge_bps": ValueWords("Left after fees over the hours, basis points"),
    }
    references: tuple[str, ...] = ()
    touch_alone = False
    mid2_moved_min = 1 << 60
    """No book wakes it: it looks by its timer."""
    replan_ns_min = 0
    timer_ns = 5 * S

    def __init__(self, parameters: FundingArbitrageParameters, bot: BotId) -> None:
        self._p = parameters
        self._bot = bot
        self._seen = _Seen()

    def receive(self, event: Event, now_ns: int) -> bool:
        """Wake by the timer alone."""
        del event, now_ns
        return False

    def filled(self, instrument: InstrumentId, event: OrderFilled, now_ns: int) -> None:
        """Learn nothing: what is held comes with each evaluation."""

    def evaluate(self, context: Context, now_ns: int) -> Evaluation:
        """Look at both books; from the perpetual's side say what both legs should be."""
        legs = _legs(context)
        gates: tuple[Gate, ...] = (Gate("legs", legs is not None, 2.0 if legs else 1.0, 2.0),)
        if legs is None:
            return self._decided(context, now_ns, gates)
        marked = all(map(_two_sided, legs)) and legs.perpetual.mark_e8 is not None
        gates = (*gates, Gate("marked", marked, 0.0, 0.0))
        if not marked or context.view is not legs.perpetual:
            return self._decided(context, now_ns, gates)
        hour = self._hour_bps(legs.perpetual, now_ns)
        edge = self._p.hours * hour + _basis_bps(legs) - _costs_bps(legs)
        seen = self._seen
        values = ("premium_bps", seen.premium_bps), ("hour_bps", hour), ("edge_bps", edge)
        if not seen.units:
            watched = (now_ns - seen.since_ns) / S
            gates = (
                *gates,
                Gate("warm", watched >= self._p.warm_s, watched, self._p.warm_s),
                Gate("edge", edge >= self._p.edge_min_bps, edge, self._p.edge_min_bps),
            )
            may = context.healthy and not context.reducing
            if may and all(gate.passed for gate in gates):
                seen.units = self._units(context, legs)
        elif context.reducing or hour < self._p.leave_bps:
            seen.units = 0.0
        return self._decided(context, now_ns, gates, values, self._basket(context, legs, now_ns))

    def _hour_bps(self, perpetual: BookView, now_ns: int) -> float:
        """Take the premium of now into its mean; return what an hour is expected to pay."""
        seen, p, product = self._seen, self._p, perpetual.instrument
        mark = (perpetual.mark_e8 or 0) / MARK_UNIT * product.price_unit
        now = (_mid(perpetual) / mark - 1.0) * BPS
        if not seen.since_ns:
            seen.since_ns, seen.premium_bps = now_ns, now
        part = 1.0 - exp(-(now_ns - seen.at_ns) / S / p.memory_s) if seen.at_ns else 0.0
        seen.premium_bps += part * (now - seen.premium_bps)
        seen.at_ns = now_ns
        drawn = p.interest_bps - seen.premium_bps
        return seen.premium_bps + max(-p.damper_bps, min(p.damper_bps, drawn))

    def _units(self, context: Context, legs: HedgeLegs) -> float:
        """Return how much of the base each leg may be: both together are within the capital."""
        spot, perpetual = legs.spot.instrument, legs.perpetual.instrument
        money = min(context.capital_micro, context.inventory.cash_free_micro)
        price = (legs.spot.best_ask or 0) / spot.price_unit * (1.0 + self._p.slippage_bps_max / BPS)
        units = max(0, money) / 1e6 * self._p.share / (2.0 * price)
        step = max(_whole(one, one.lot) for one in (spot, perpetual))
        units = units // step * step
        least = max(_least(view) for view in legs)
        return units if units >= least else 0.0

    def _basket(self, context: Context, legs: HedgeLegs, now_ns: int) -> Basket | None:
        """Return what makes both legs what is wanted; None = they are, or are on their way."""
        seen = self._seen
        stand = [context.others.inventory(view.instrument.id) for view in legs]
        sizes = [
            _whole(view.instrument, abs(one.position))
            for view, one in zip(legs, stand, strict=True)
        ]
        least = [_whole(view.instrument, view.instrument.smallest) for view in legs]
        off = [abs(size - seen.units) >= step for size, step in zip(sizes, least, strict=True)]
        if not any(off):
            seen.apart_ns = 0
            return None
        seen.apart_ns = seen.apart_ns or now_ns
        if seen.units and now_ns - seen.apart_ns >= APART_NS:
            seen.units = min(sizes) if min(sizes) >= max(least) else 0.0
        if any(one.working_bid or one.working_ask for one in stand):
            return None
        wanted = [
            round(seen.units * 10**view.instrument.size_decimals) * sign
            for view, sign in zip(legs, (1, -1), strict=True)
        ]
        targets = [
            self._target(view, position, one.position, context, now_ns)
            for view, position, one in zip(legs, wanted, stand, strict=True)
            if position != one.position
        ]
        return Basket(
            bot=self._bot,
            targets=tuple(targets),
            valid_until_ns=now_ns + VALID_NS,
            decision=context.decision,
        )

    def _target(
        self, view: BookView, position: int, have: int, context: Context, now_ns: int
    ) -> Target:
        """Return the target of a leg, no worse than the touch and the slippage."""
        buys = position > have
        touch = (view.best_ask if buys else view.best_bid) or 0
        slip = touch * self._p.slippage_bps_max / BPS
        limit = round(touch + slip if buys else touch - slip)
        return Target(
            bot=self._bot,
            instrument=view.instrument.id,
            position=position,
            limit_price=max(view.instrument.tick, limit),
            urgency=Urgency.CROSS,
            valid_until_ns=now_ns + VALID_NS,
            decision=context.decision,
        )

    def _decided(
        self,
        context: Context,
        now_ns: int,
        gates: tuple[Gate, ...],
        values: tuple[tuple[str, float], ...] = (),
        basket: Basket | None = None,
    ) -> Evaluation:
        regime = "hedged" if self._seen.units else "flat"
        decision = decided(
            context, now_ns, regime=regime, gates=gates, inputs=values, intent=basket
        )
        return Evaluation(decision=decision, intents=(basket,) if basket else ())

    def forget(self, instrument: InstrumentId) -> None:
        """Want nothing more: what stands of the other leg is a person's to close."""
        del instrument
        self._seen.units = 0.0

    def state(self) -> bytes:
        """Return the mean premium, and what it wants."""
        return msgspec.json.encode(self._seen)

    def restore(self, state: bytes) -> None:
        """Take back what `state` gave. Raises BadInput where it cannot be read."""
        try:
            self._seen = msgspec.json.decode(state, type=_Seen) if state else _Seen()
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise BadInput(f"its state cannot be read: {error}") from None


def _legs(context: Context) -> HedgeLegs | None:
    """Return the one spot pair and the one perpetual of the bot; None = it has not just these."""
    views = context.others.views()
    spot = [view for view in views if view.instrument.kind is Kind.SPOT]
    perpetual = [view for view in views if view.instrument.kind is Kind.PERPETUAL]
    if len(spot) != 1 or len(perpetual) != 1 or len(views) != 2:
        return None
    return HedgeLegs(spot[0], perpetual[0])


def _two_sided(view: BookView) -> bool:
    return view.trusted and view.best_bid is not None and view.best_ask is not None


def _mid(view: BookView) -> float:
    return ((view.best_bid or 0) + (view.best_ask or 0)) / 2.0


def _whole(instrument: Instrument, size: int) -> float:
    """Return a size in units of the base: the two legs may count in different increments."""
    return float(size / 10**instrument.size_decimals)


def _least(view: BookView) -> float:
    """Return the least a leg's order may be, in units of the base."""
    one = view.instrument
    worth = one.notional_min_micro / 1e6 * one.price_unit / (view.best_bid or 1)
    return max(_whole(one, one.smallest), worth)


def _basis_bps(legs: HedgeLegs) -> float:
    """Return what selling the perpetual brings above what the spot costs: it comes back to 0."""
    spot, perpetual = legs
    bought = (spot.best_ask or 0) / spot.instrument.price_unit
    sold = (perpetual.best_bid or 0) / perpetual.instrument.price_unit
    return (sold / bought - 1.0) * BPS


def _costs_bps(legs: HedgeLegs) -> float:
    """Return what both legs cost in fees, in and out."""
    return sum(2 * view.instrument.fees.taker_rate_ppm / 100 for view in legs)
