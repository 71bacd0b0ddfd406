"""A grid: one more part of the capital at each step down, one less at each step up.

Idea: in a range every swing of a step is bought low and sold high; the rule is folklore of traders,
no paper is its source. It loses when the range is left downwards: all is bought by then, above the
price, and it waits. It decides at closes and takes at the market, so a swing inside a bar is missed
and every step pays the spread. No edge is claimed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import Field

from engine.domain.catalog import ValueUnit, ValueWords
from engine.strategies.bar_rule import BarParameters, BarRule, Seen, Wish
from engine.strategies.door import Reads


class GridParameters(BarParameters):
    """How many steps, how far apart, and how each is taken."""

    steps: Annotated[int, Field(ge=1, le=100)] = 10
    """Into how many equal parts the capital is divided.

    Ten: together with the distance it covers a fall of a tenth."""
    distance: Annotated[float, Field(gt=0.0, le=0.5)] = 0.01
    """From one step to the next, as a part of the price of the last one.

    One percent: a round trip must pay two spreads and two fees."""


class Grid(BarRule):
    """Buys a part at each step below its last trade, sells one at each step above it."""

    name: ClassVar[str] = "grid"
    parameters_type: ClassVar[type[BarParameters]] = GridParameters
    values: ClassVar[Mapping[str, ValueWords]] = {
        "close": ValueWords("Close", ValueUnit.PRICE),
        "last_step": ValueWords("Last step at", ValueUnit.PRICE),
    }

    def reads_of(self, parameters: GridParameters) -> Reads:
        """Read the bar that decides."""
        return Reads(bars={parameters.bars: 1})

    def wish(self, seen: Seen) -> Wish | None:
        """Want one part more a step below the last trade, one less a step above it."""
        p, close, held = self.parameters, seen.last(1)[-1].close, seen.part
        taken = round(held * p.steps)
        if not seen.turned_at or close <= seen.turned_at * (1.0 - p.distance):
            taken += 1
        elif close >= seen.turned_at * (1.0 + p.distance):
            taken -= 1
        part = min(p.steps, max(0, taken)) / p.steps
        return Wish(part, (("close", close), ("last_step", seen.turned_at or close)))
