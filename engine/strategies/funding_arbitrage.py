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
from typing import Annotated, ClassVar

from pydantic import Field

from engine.caches.views import BookView
from engine.domain.catalog import GateWords, ValueWords
from engine.domain.decisions import Gate
from engine.domain.instruments import BotId
from engine.domain.perpetual_events import MARK_DECIMALS
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
    middle_of,
    premium_bps,
)
from engine.strategies.taking import BPS

MARK_UNIT: int = 10**MARK_DECIMALS


class FundingArbitrageParameters(HedgeParameters):
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


class FundingSeen(HedgeSeen):
    """What it has seen of the premium, and what it wants."""

    premium_bps: float = 0.0
    since_ns: int = 0
    """From when on it was seen; 0 = never."""
    at_ns: int = 0


class FundingArbitrage(SpotAndPerpetual):
    """Buys spot and shorts its perpetual while the funding is expected to pay for both legs."""

    name: ClassVar[str] = "funding_arbitrage"
    category: ClassVar[str] = "several instruments"
    tags: ClassVar[tuple[str, ...]] = ("funding", "long and short")
    parameters_type: ClassVar[type[Parameters]] = FundingArbitrageParameters
    ready_gate: ClassVar[str] = "marked"
    gates: ClassVar[Mapping[str, GateWords]] = {
        "legs": LEGS_GATE,
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

    _seen: FundingSeen

    def __init__(self, parameters: FundingArbitrageParameters, bot: BotId) -> None:
        super().__init__(parameters, bot, FundingSeen())
        self._p = parameters

    def ready(self, legs: HedgeLegs) -> bool:
        """Say whether both books have both sides and the venue's mark is known."""
        return super().ready(legs) and legs.perpetual.mark_e8 is not None

    def judge(self, context: Context, legs: HedgeLegs, now_ns: int) -> HedgeJudged:
        """Open where the funding of the hours pays for both legs; close where an hour does not."""
        del context
        hour = self._hour_bps(legs.perpetual, now_ns)
        edge = self._p.hours * hour + premium_bps(legs) - costs_bps(legs)
        seen = self._seen
        watched = (now_ns - seen.since_ns) / S
        return HedgeJudged(
            gates=(
                Gate("warm", watched >= self._p.warm_s, watched, self._p.warm_s),
                Gate("edge", edge >= self._p.edge_min_bps, edge, self._p.edge_min_bps),
            ),
            leaves=hour < self._p.leave_bps,
            values=(("premium_bps", seen.premium_bps), ("hour_bps", hour), ("edge_bps", edge)),
        )

    def _hour_bps(self, perpetual: BookView, now_ns: int) -> float:
        """Take the premium of now into its mean; return what an hour is expected to pay."""
        seen, p, product = self._seen, self._p, perpetual.instrument
        mark = (perpetual.mark_e8 or 0) / MARK_UNIT * product.price_unit
        now = (middle_of(perpetual) / mark - 1.0) * BPS
        if not seen.since_ns:
            seen.since_ns, seen.premium_bps = now_ns, now
        part = 1.0 - exp(-(now_ns - seen.at_ns) / S / p.memory_s) if seen.at_ns else 0.0
        seen.premium_bps += part * (now - seen.premium_bps)
        seen.at_ns = now_ns
        drawn = p.interest_bps - seen.premium_bps
        return seen.premium_bps + max(-p.damper_bps, min(p.damper_bps, drawn))
