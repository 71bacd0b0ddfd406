"""Basis: spot bought and its perpetual sold short while that is dearer, until both cost the same.

Idea: a perpetual is held near its spot by the funding its longs pay while it is dearer, so a wide
premium comes back (He, Manela, Ross and von Wachter, 2022, "Fundamentals of perpetual futures"; of
dated futures, which end at the spot's price, Cornell and French, 1983, "The pricing of stock index
futures"). Both legs cancel each other's moves, and what is left is the premium. It opens where what
the short brings above what the spot costs pays for the fees of both legs, in and out, and closes
where buying back costs no more than selling the spot brings.

A perpetual has no day on which it must come back: it loses where the premium widens and stays, so a
stop and a longest time end it. Funding earned meanwhile is not counted in. A rise that takes all
cash before the spot is sold liquidates the short: both legs together take no more than the capital.
A leg that stands alone is completed for a minute, then closed. It is never short of spot, so a
perpetual that is cheaper is left alone. No product here has a date at which it ends at its spot's
price: a dated future is none of its legs. No edge is claimed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from engine.domain.catalog import GateWords, ValueWords
from engine.domain.decisions import Gate
from engine.domain.instruments import BotId
from engine.strategies.door import Context, Parameters
from engine.strategies.hedged import (
    LEGS_GATE,
    HedgeJudged,
    HedgeLegs,
    HedgeParameters,
    HedgeSeen,
    S,
    SpotAndPerpetual,
    costs_bps,
    premium_bps,
)
from engine.strategies.taking import BPS

HOUR_NS = 3_600 * S


class BasisParameters(HedgeParameters):
    """When the premium is wide enough, and when it has come back."""

    edge_min_bps: Annotated[float, Field(ge=0.0, le=1_000.0)] = 5.0
    """Basis points the premium must be above the fees of both legs, in and out.

    Five: what may be lost to the spread of two books when it is closed."""
    leave_bps: Annotated[float, Field(ge=-1_000.0, le=1_000.0)] = 0.0
    """Basis points of premium, paid when it is closed now, at which it has come back.

    Zero: both cost the same."""
    stop_bps: Annotated[float, Field(gt=0.0, le=10_000.0)] = 200.0
    """Basis points of premium at which it gives up; more than `leave_bps`.

    Two percent: a premium that wide says that something is wrong with a leg."""
    hours_max: Annotated[float, Field(gt=0.0, le=8_760.0)] = 240.0
    """Hours after which it closes whatever the premium is.

    Ten days: what has not come back by then ties up capital."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.stop_bps <= self.leave_bps:
            raise ValueError(f"stop_bps={self.stop_bps:g} must be more than leave_bps")
        return self


class BasisSeen(HedgeSeen):
    """What it wants, and since when."""

    opened_ns: int = 0


class BasisTrade(SpotAndPerpetual):
    """Buys spot and shorts its perpetual while that is dearer by more than costs."""

    name: ClassVar[str] = "basis"
    category: ClassVar[str] = "several instruments"
    tags: ClassVar[tuple[str, ...]] = ("premium", "long and short")
    parameters_type: ClassVar[type[Parameters]] = BasisParameters
    ready_gate: ClassVar[str] = "two_sided"
    gates: ClassVar[Mapping[str, GateWords]] = {
        "legs": LEGS_GATE,
        "two_sided": GateWords(
            "both books have both sides", "both books had both sides", needed=True
        ),
        "edge": GateWords(
            "the premium pays for both legs",
            "the premium were wider",
            "{value} basis points are left after fees, at least {limit}",
            sign="≥",
        ),
        "stop": GateWords(
            "the premium is no wider than where it gives up",
            "the premium were narrower",
            "a premium of {value} basis points, {limit} are the most",
            sign="<",
        ),
    }
    values: ClassVar[Mapping[str, ValueWords]] = {
        "premium_bps": ValueWords("Premium when it is opened now, basis points"),
        "close_bps": ValueWords("Premium when it is closed now, basis points"),
        "edge_bps": ValueWords("Left of it after fees, basis points"),
    }
    _seen: BasisSeen

    def __init__(self, parameters: BasisParameters, bot: BotId) -> None:
        super().__init__(parameters, bot, BasisSeen())
        self._p = parameters

    def opened(self, now_ns: int) -> None:
        """Note when both legs were asked for."""
        self._seen.opened_ns = now_ns

    def judge(self, context: Context, legs: HedgeLegs, now_ns: int) -> HedgeJudged:
        """Open on a wide premium; close where it came back, widened, or took too long."""
        del context
        p, premium, back = self._p, premium_bps(legs), _back_bps(legs)
        edge = premium - costs_bps(legs)
        held_ns = now_ns - self._seen.opened_ns
        late = held_ns >= p.hours_max * HOUR_NS
        return HedgeJudged(
            gates=(
                Gate("edge", edge >= p.edge_min_bps, edge, p.edge_min_bps),
                Gate("stop", back < p.stop_bps, back, p.stop_bps),
            ),
            leaves=back <= p.leave_bps or back >= p.stop_bps or late,
            values=(("premium_bps", premium), ("close_bps", back), ("edge_bps", edge)),
        )


def _back_bps(legs: HedgeLegs) -> float:
    """Return what buying the perpetual back costs above what the spot brings, in basis points."""
    spot, perpetual = legs
    sold = (spot.best_bid or 1) / spot.instrument.price_unit
    bought = (perpetual.best_ask or 0) / perpetual.instrument.price_unit
    return (bought / sold - 1.0) * BPS
