"""Mean reversion by Bollinger bands: bought below the lower band, sold back at the middle.

Idea: a close far from its own mean, in deviations, tends back towards it (Bollinger, 2001,
"Bollinger on Bollinger bands"). It loses where the mean itself moves away: in a trend the bands
follow the price down, and it holds all the way. No edge is claimed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from engine.domain.catalog import ValueWords
from engine.indicators.bollinger import Bollinger
from engine.indicators.columns import FloatColumn, parts_where
from engine.indicators.door import Variant
from engine.strategies.bar_rule import BarParameters, BarRule, Seen, SeenColumns, Wish
from engine.strategies.door import Reads


class BollingerReversionParameters(BarParameters):
    """The bands, where it enters and leaves, and how a position is taken."""

    period: Annotated[int, Field(ge=2, le=500)] = 20
    """Bars of the mean and of its deviation.

    Twenty is Bollinger's own; nothing here was fitted."""
    deviations: Annotated[float, Field(gt=0.0, le=10.0)] = 2.0
    """Standard deviations from the mean to a band.

    Two is Bollinger's: some one close in twenty lies outside."""
    enter_below: Annotated[float, Field(ge=-5.0, le=5.0)] = 0.0
    """Place between the bands (0 = the lower one, 1 = the upper one) below which it buys.

    Zero: a close below the lower band."""
    leave_above: Annotated[float, Field(ge=-5.0, le=5.0)] = 0.5
    """Place between the bands above which it sells; more than the other.

    The middle is the mean: what it waits for has happened there."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.enter_below >= self.leave_above:
            raise ValueError(
                f"enter_below={self.enter_below:g} must be less than "
                f"leave_above={self.leave_above:g}"
            )
        return self


class BollingerReversion(BarRule):
    """Bought at a close below the lower Bollinger band, sold at one above the middle."""

    name: ClassVar[str] = "bollinger_reversion"
    parameters_type: ClassVar[type[BarParameters]] = BollingerReversionParameters
    values: ClassVar[Mapping[str, ValueWords]] = {"place": ValueWords("Place between the bands")}

    def reads_of(self, parameters: BollingerReversionParameters) -> Reads:
        """Read where the close lies between the bands."""
        bars, period = parameters.bars, parameters.period
        place = Variant.of(Bollinger, bars=bars, period=period, factor=parameters.deviations)
        return Reads(bars={bars: period}, indicators={"place": place})

    def wish(self, seen: Seen) -> Wish | None:
        """Want all below the one place, nothing above the other, and as before between them."""
        place, p = seen.indicator("place"), self.parameters
        if place is None:
            return None
        part = 1.0 if place < p.enter_below else 0.0 if place > p.leave_above else None
        return Wish(part, (("place", place),))

    def parts(self, seen: SeenColumns) -> FloatColumn:
        """Want the same at each of many bars."""
        place, p = seen.indicator("place"), self.parameters
        return parts_where(place < p.enter_below, place > p.leave_above)
