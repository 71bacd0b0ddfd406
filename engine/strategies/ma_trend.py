"""Trend following by one average: long while the close stands above a rising average, else flat.

Idea: what rose for weeks goes on rising for a while; an average that itself rises keeps out of
markets that only bounce (Faber, 2007, "A quantitative approach to tactical asset allocation"). It
loses where prices go sideways: each crossing costs a spread and two fees, and the average lags at
every turn. No edge is claimed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import Field

from engine.domain.catalog import ValueUnit, ValueWords
from engine.strategies.bar_rule import BarParameters, BarRule, Seen, Wish
from engine.strategies.door import Reads


class MaTrendParameters(BarParameters):
    """How long the average is, over how much of it must rise, and how a position is taken."""

    period: Annotated[int, Field(ge=2, le=2_000)] = 200
    """Bars of the average.

    Two hundred is the field's habit for days; of five minutes it is most of a day."""
    rising: Annotated[int, Field(ge=1, le=1_000)] = 10
    """Bars over which the average must have risen.

    Ten: one bar's rise says nothing. Nothing here was fitted."""


class MaTrend(BarRule):
    """Long while the close stands above an average that rises, flat once it is below."""

    name: ClassVar[str] = "ma_trend"
    parameters_type: ClassVar[type[BarParameters]] = MaTrendParameters
    values: ClassVar[Mapping[str, ValueWords]] = {
        "average": ValueWords("Average of closes", ValueUnit.PRICE),
        "rise": ValueWords("Rise of the average", ValueUnit.PRICE_PART),
    }

    def reads_of(self, parameters: MaTrendParameters) -> Reads:
        """Read the closes of both averages."""
        return Reads(bars={parameters.bars: parameters.period + parameters.rising})

    def wish(self, seen: Seen) -> Wish | None:
        """Want all above a rising average, nothing below it, and as before otherwise."""
        p = self.parameters
        closes = [bar.close for bar in seen.last(p.period + p.rising)]
        if len(closes) < p.period + p.rising:
            return None
        average = sum(closes[-p.period :]) / p.period
        rise = average - sum(closes[: p.period]) / p.period
        above = closes[-1] > average
        part = 0.0 if not above else 1.0 if rise > 0 else None
        return Wish(part, (("average", average), ("rise", rise)))
