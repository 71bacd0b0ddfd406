"""Trend following by the Supertrend: long while its stop lies below the price, else flat.

Idea: a stop a few ranges away follows a trend and is passed when it ends (Seban, 2007). It loses in
a market without a trend: the stop is passed on either side, each time a few ranges too late. No
edge is claimed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import Field

from engine.domain.catalog import ValueUnit, ValueWords
from engine.indicators.columns import FloatColumn, known, parts_where
from engine.indicators.door import Variant
from engine.indicators.supertrend import Supertrend
from engine.strategies.bar_rule import BarParameters, BarRule, Seen, SeenColumns, Wish
from engine.strategies.door import Reads


class SupertrendFollowParameters(BarParameters):
    """The stop, and how a position is taken."""

    period: Annotated[int, Field(ge=1, le=500)] = 10
    """Bars of the average true range.

    Ten is Seban's own; nothing here was fitted."""
    ranges: Annotated[float, Field(gt=0.0, le=50.0)] = 3.0
    """Average true ranges from the middle of a bar to the stop.

    Three is Seban's: a nearer stop is passed by noise."""


class SupertrendFollow(BarRule):
    """Long while the Supertrend points up, flat while it points down."""

    name: ClassVar[str] = "supertrend"
    parameters_type: ClassVar[type[BarParameters]] = SupertrendFollowParameters
    values: ClassVar[Mapping[str, ValueWords]] = {"stop": ValueWords("Stop", ValueUnit.PRICE)}

    def reads_of(self, parameters: SupertrendFollowParameters) -> Reads:
        """Read the direction and the stop."""
        bars, period, factor = parameters.bars, parameters.period, parameters.ranges
        return Reads(
            bars={bars: period + 1},
            indicators={
                line: Variant.of(Supertrend, bars=bars, period=period, factor=factor, line=line)
                for line in ("direction", "stop")
            },
        )

    def wish(self, seen: Seen) -> Wish | None:
        """Want all where it points up, nothing where it points down."""
        direction, stop = seen.indicator("direction"), seen.indicator("stop")
        if direction is None or stop is None:
            return None
        return Wish(1.0 if direction > 0.0 else 0.0, (("stop", stop),))

    def parts(self, seen: SeenColumns) -> FloatColumn:
        """Want the same at each of many bars."""
        direction, stop = seen.indicator("direction"), seen.indicator("stop")
        return parts_where(known(stop) & (direction > 0.0), known(stop) & (direction <= 0.0))
