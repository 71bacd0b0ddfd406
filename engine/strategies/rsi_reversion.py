"""Mean reversion by the relative strength index: bought when oversold, sold when it recovered.

Idea: after a run of falling closes some of the move is given back (Wilder, 1978, "New concepts in
technical trading systems", with 30 as oversold). It loses in a falling market: the index stays low
for weeks, and each recovery to the exit is bought higher than it is sold. No edge is claimed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from engine.domain.catalog import ValueWords
from engine.indicators.columns import FloatColumn, parts_where
from engine.indicators.door import Variant
from engine.indicators.rsi import Rsi
from engine.strategies.bar_rule import BarParameters, BarRule, Seen, SeenColumns, Wish
from engine.strategies.door import Reads


class RsiReversionParameters(BarParameters):
    """When it is oversold, when it has recovered, and how a position is taken."""

    period: Annotated[int, Field(ge=2, le=500)] = 14
    """Bars of the index.

    Fourteen is Wilder's own; nothing here was fitted."""
    oversold: Annotated[float, Field(ge=0.0, le=100.0)] = 30.0
    """Index, 0 to 100, below which it buys.

    Thirty is Wilder's; a lower one trades seldom."""
    recovered: Annotated[float, Field(ge=0.0, le=100.0)] = 55.0
    """Index, 0 to 100, above which it sells; more than the other.

    A little above the middle: what it waits for is a return to normal, not a boom."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.oversold >= self.recovered:
            raise ValueError(
                f"oversold={self.oversold:g} must be less than recovered={self.recovered:g}"
            )
        return self


class RsiReversion(BarRule):
    """Bought where the relative strength index is oversold, sold where it has recovered."""

    name: ClassVar[str] = "rsi_reversion"
    parameters_type: ClassVar[type[BarParameters]] = RsiReversionParameters
    values: ClassVar[Mapping[str, ValueWords]] = {"rsi": ValueWords("Relative strength index")}

    def reads_of(self, parameters: RsiReversionParameters) -> Reads:
        """Read the index."""
        bars, period = parameters.bars, parameters.period
        return Reads(
            bars={bars: period + 1}, indicators={"rsi": Variant.of(Rsi, bars=bars, period=period)}
        )

    def wish(self, seen: Seen) -> Wish | None:
        """Want all below `oversold`, nothing above `recovered`, and as before between them."""
        rsi, p = seen.indicator("rsi"), self.parameters
        if rsi is None:
            return None
        part = 1.0 if rsi < p.oversold else 0.0 if rsi > p.recovered else None
        return Wish(part, (("rsi", rsi),))

    def parts(self, seen: SeenColumns) -> FloatColumn:
        """Want the same at each of many bars."""
        rsi, p = seen.indicator("rsi"), self.parameters
        return parts_where(rsi < p.oversold, rsi > p.recovered)
