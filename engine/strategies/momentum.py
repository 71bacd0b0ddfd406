"""Time-series momentum: long after a rise over the last bars, flat after a fall.

Idea: what gained over the last months goes on gaining for a while (Moskowitz, Ooi and Pedersen,
2012, "Time series momentum"). It loses at each turn of the market, and where prices go sideways it
pays the spread and a fee for every change of the sign. No edge is claimed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import Field

from engine.domain.catalog import ValueWords
from engine.indicators.columns import FloatColumn, parts_where
from engine.strategies.bar_rule import BarParameters, BarRule, Seen, SeenColumns, Wish
from engine.strategies.door import Reads


class MomentumParameters(BarParameters):
    """How far it looks back, what counts as a move, and how a position is taken."""

    lookback: Annotated[int, Field(ge=1, le=1_000)] = 48
    """Bars the change is taken over.

    Four hours of five-minute bars: shorter ones are mostly noise. Nothing here was fitted."""
    enter_above: Annotated[float, Field(ge=0.0, le=10.0)] = 0.01
    """Change over those bars, as a part of the price, above which it buys.

    One percent: several times what a round trip costs."""
    leave_below: Annotated[float, Field(ge=-1.0, le=0.0)] = 0.0
    """Change below which it sells.

    Zero: the rise is gone."""


class Momentum(BarRule):
    """Long once the price rose enough over the last bars, flat once it stands lower than then."""

    name: ClassVar[str] = "momentum"
    parameters_type: ClassVar[type[BarParameters]] = MomentumParameters
    values: ClassVar[Mapping[str, ValueWords]] = {"change": ValueWords("Change, part of the price")}

    def reads_of(self, parameters: MomentumParameters) -> Reads:
        """Read the bars the change is taken over."""
        return Reads(bars={parameters.bars: parameters.lookback + 1})

    def wish(self, seen: Seen) -> Wish | None:
        """Want all above the one change, nothing below the other, and as before between them."""
        p = self.parameters
        bars = seen.last(p.lookback + 1)
        if len(bars) <= p.lookback:
            return None
        change = bars[-1].close / bars[0].close - 1.0
        part = 1.0 if change > p.enter_above else 0.0 if change < p.leave_below else None
        return Wish(part, (("change", change),))

    def parts(self, seen: SeenColumns) -> FloatColumn:
        """Want the same at each of many bars."""
        p = self.parameters
        change = seen.prices("close") / seen.prices("close", p.lookback) - 1.0
        return parts_where(change > p.enter_above, change < p.leave_below)
