"""Mean reversion by z-score: bought far below the mean of the last closes, sold back at it.

Idea: a price that left its recent mean by several deviations comes back to it more often than not
where no news moved it (Poterba and Summers, 1988, "Mean reversion in stock prices"). It loses where
news did: it buys what goes on falling, and holds it until the mean has come down to the price. A
stop in deviations bounds that. No edge is claimed.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt
from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from engine.domain.catalog import ValueWords
from engine.strategies.bar_rule import BarParameters, BarRule, Seen, Wish
from engine.strategies.door import Reads


class ZScoreReversionParameters(BarParameters):
    """What the mean is, how far is far, and how a position is taken."""

    period: Annotated[int, Field(ge=3, le=2_000)] = 60
    """Closes of mean and deviation.

    Five hours of five-minute bars; nothing here was fitted."""
    enter: Annotated[float, Field(gt=0.0, le=20.0)] = 2.0
    """Deviations below the mean at which it buys.

    Two: one bar in forty where closes are normal, and they are not."""
    leave: Annotated[float, Field(ge=-20.0, le=20.0)] = 0.0
    """Deviations from the mean at or above which it sells; more than minus `enter`.

    Zero: it came back."""
    stop: Annotated[float, Field(gt=0.0, le=50.0)] = 4.0
    """Deviations below the mean at which it gives up; more than `enter`.

    Twice the entry: what fell so far has a reason."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not -self.enter < self.leave:
            raise ValueError(f"leave={self.leave:g} must be more than -enter={-self.enter:g}")
        if self.stop <= self.enter:
            raise ValueError(f"stop={self.stop:g} must be more than enter={self.enter:g}")
        return self


class ZScoreReversion(BarRule):
    """Bought some deviations below the mean of closes, sold back at it or at a stop."""

    name: ClassVar[str] = "z_score_reversion"
    parameters_type: ClassVar[type[BarParameters]] = ZScoreReversionParameters
    values: ClassVar[Mapping[str, ValueWords]] = {"z": ValueWords("Deviations from the mean")}

    def reads_of(self, parameters: ZScoreReversionParameters) -> Reads:
        """Read the closes."""
        return Reads(bars={parameters.bars: parameters.period})

    def wish(self, seen: Seen) -> Wish | None:
        """Want all between stop and entry, nothing at the mean or below the stop."""
        p = self.parameters
        closes = [bar.close for bar in seen.last(p.period)]
        if len(closes) < p.period:
            return None
        mean = sum(closes) / p.period
        deviation = sqrt(sum((close - mean) ** 2 for close in closes) / (p.period - 1))
        if deviation <= 0.0:
            return Wish(None)
        z = (closes[-1] - mean) / deviation
        bought = -p.stop < z <= -p.enter
        return Wish(1.0 if bought else 0.0 if z >= p.leave or z <= -p.stop else None, (("z", z),))
