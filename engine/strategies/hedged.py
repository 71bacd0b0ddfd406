"""Spot bought and its perpetual sold short: what strategies that hold both share.

A subclass says when both are opened and when they are closed. This sizes them within the capital,
states both as a basket, and leaves no leg alone for long: it is completed for a minute, then
closed. Not a strategy itself: it has no name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, NamedTuple

import msgspec
from pydantic import Field

from engine.caches.views import BookView
from engine.domain.catalog import GateWords
from engine.domain.decisions import Gate
from engine.domain.events import Event, OrderFilled
from engine.domain.instruments import BotId, InstrumentId, Kind
from engine.domain.intents import Basket, Target
from engine.errors import BadInput
from engine.strategies.door import Context, Evaluation, Needs, Parameters
from engine.strategies.taking import (
    BPS,
    basket_of,
    crossing_target,
    stated,
    units_min,
    units_of,
    worst_price,
)

S = 1_000_000_000
VALID_NS = 2 * S
APART_NS = 60 * S
"""How long a leg may stand alone before it is closed."""


class HedgeParameters(Parameters):
    """How much of the capital stands in both legs, and how much worse a leg may be filled."""

    share: Annotated[float, Field(gt=0.0, le=1.0)] = 0.95
    """Part of the capital the values of both legs take together, 0 to 1.

    A little is left for fees. Risk counts a short like a long: half of it is each leg's."""
    slippage_bps_max: Annotated[float, Field(ge=0.0, le=1_000.0)] = 5.0
    """Basis points beyond the touch that a leg may cost.

    Five: more would cost more than a day of the usual funding pays."""


class HedgeSeen(msgspec.Struct):
    """What it wants of both legs."""

    units: float = 0.0
    """How much of the base it wants in each leg; 0 = none."""
    apart_ns: int = 0
    """Since when the legs are not what it wants; 0 = they are."""


class HedgeLegs(NamedTuple):
    """The two books."""

    spot: BookView
    perpetual: BookView


class HedgeJudged(NamedTuple):
    """What a subclass makes of two books with both sides."""

    gates: tuple[Gate, ...]
    """Of an entry: it opens where all of them pass."""
    leaves: bool
    """True = what is open is closed."""
    values: tuple[tuple[str, float], ...]


LEGS_GATE = GateWords(
    "the bot has a spot pair and a perpetual",
    "the bot had one spot pair and one perpetual of it",
    "{value} of {limit} legs are open",
    sign="≥",
    needed=True,
)


class SpotAndPerpetual:
    """Holds spot and as much short of its perpetual. A subclass says when."""

    gates: ClassVar[Mapping[str, GateWords]]
    ready_gate: ClassVar[str]
    """Name of the gate of `ready`."""
    needs: ClassVar[Needs] = Needs(instruments=2, kinds=frozenset({Kind.SPOT, Kind.PERPETUAL}))
    references: tuple[str, ...] = ()
    touch_alone = False
    mid2_moved_min = 1 << 60
    """No book wakes it: it looks by its timer."""
    replan_ns_min = 0
    timer_ns = 5 * S

    def __init__(self, parameters: HedgeParameters, bot: BotId, seen: HedgeSeen) -> None:
        self._shares = parameters
        del bot
        self._seen = seen

    def ready(self, legs: HedgeLegs) -> bool:
        """Say whether both books can be judged."""
        return all(map(_two_sided, legs))

    def judge(self, context: Context, legs: HedgeLegs, now_ns: int) -> HedgeJudged:
        """Say whether both legs are opened or closed, and why."""
        raise NotImplementedError

    def opened(self, now_ns: int) -> None:
        """Note that both legs were asked for."""

    # -- Strategy ----------------------------------------------------------------------------------

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
        ready = self.ready(legs)
        gates = (*gates, Gate(self.ready_gate, ready, 0.0, 0.0))
        if not ready or context.view is not legs.perpetual:
            return self._decided(context, now_ns, gates)
        found, seen = self.judge(context, legs, now_ns), self._seen
        if not seen.units:
            gates = (*gates, *found.gates)
            may = context.healthy and not context.reducing
            if may and all(gate.passed for gate in gates):
                seen.units = self._units(context, legs)
                self.opened(now_ns)
        elif context.reducing or found.leaves:
            seen.units = 0.0
        basket = self._basket(context, legs, now_ns)
        return self._decided(context, now_ns, gates, found.values, basket)

    def _units(self, context: Context, legs: HedgeLegs) -> float:
        """Return how much of the base each leg may be: both together are within the capital."""
        spot, perpetual = legs.spot.instrument, legs.perpetual.instrument
        money = min(context.capital_micro, context.inventory.cash_free_micro)
        price = (
            (legs.spot.best_ask or 0)
            / spot.price_unit
            * (1.0 + self._shares.slippage_bps_max / BPS)
        )
        units = max(0, money) / 1e6 * self._shares.share / (2.0 * price)
        step = max(units_of(one, one.lot) for one in (spot, perpetual))
        units = units // step * step
        least = max(units_min(view) for view in legs)
        return units if units >= least else 0.0

    def _basket(self, context: Context, legs: HedgeLegs, now_ns: int) -> Basket | None:
        """Return what makes both legs what is wanted; None = they are, or are on their way."""
        seen = self._seen
        stand = [context.others.inventory(view.instrument.id) for view in legs]
        sizes = [
            units_of(view.instrument, abs(one.position))
            for view, one in zip(legs, stand, strict=True)
        ]
        least = [units_of(view.instrument, view.instrument.smallest) for view in legs]
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
        return basket_of(context, targets, now_ns + VALID_NS)

    def _target(
        self, view: BookView, position: int, have: int, context: Context, now_ns: int
    ) -> Target:
        """Return the target of a leg, no worse than the touch and the slippage."""
        buys = position > have
        limit = worst_price(view, self._shares.slippage_bps_max, buying=buys)
        tick = view.instrument.tick
        return crossing_target(context, view, position, limit or tick, now_ns + VALID_NS)

    def _decided(
        self,
        context: Context,
        now_ns: int,
        gates: tuple[Gate, ...],
        values: tuple[tuple[str, float], ...] = (),
        basket: Basket | None = None,
    ) -> Evaluation:
        regime = "hedged" if self._seen.units else "flat"
        intents = (basket,) if basket else ()
        return stated(context, now_ns, regime=regime, gates=gates, inputs=values, intents=intents)

    def forget(self, instrument: InstrumentId) -> None:
        """Want nothing more: what stands of the other leg is a person's to close."""
        del instrument
        self._seen.units = 0.0

    def state(self) -> bytes:
        """Return what it saw, and what it wants."""
        return msgspec.json.encode(self._seen)

    def restore(self, state: bytes) -> None:
        """Take back what `state` gave. Raises BadInput where it cannot be read."""
        kind = type(self._seen)
        try:
            self._seen = msgspec.json.decode(state, type=kind) if state else kind()
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


def middle_of(view: BookView) -> float:
    return ((view.best_bid or 0) + (view.best_ask or 0)) / 2.0


def premium_bps(legs: HedgeLegs) -> float:
    """Return what selling the perpetual brings above what the spot costs, in basis points."""
    spot, perpetual = legs
    bought = (spot.best_ask or 0) / spot.instrument.price_unit
    sold = (perpetual.best_bid or 0) / perpetual.instrument.price_unit
    return (sold / bought - 1.0) * BPS


def costs_bps(legs: HedgeLegs) -> float:
    """Return what both legs cost in fees, in and out, in basis points."""
    return sum(2 * view.instrument.fees.taker_rate_ppm / 100 for view in legs)
