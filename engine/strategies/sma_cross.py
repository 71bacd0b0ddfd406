"""Trend following by two moving averages: long while the fast one stands above the slow one.

Idea: what has risen for a while goes on rising (Brock, Lakonishok and LeBaron, 1992, "Simple
technical trading rules"). It loses in a market that goes sideways: each cross comes late, and pays
the spread and a fee for a move that is already over.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from engine.domain.catalog import ValueUnit, ValueWords
from engine.indicators.columns import FloatColumn, parts_where
from engine.indicators.door import PERIOD_MAX, Variant
from engine.indicators.sma import Sma
from engine.strategies.bar_rule import BarParameters, BarRule, Seen, SeenColumns, Wish
from engine.strategies.door import Reads

Bars = Annotated[int, Field(ge=1, le=PERIOD_MAX)]


class SmaCrossParameters(BarParameters):
    """The two averages, and how a position is taken."""

    fast: Bars = 10
    """Bars of the fast average.

    Ten and thirty are the textbook's; nothing here was fitted."""
    slow: Bars = 30
    """Bars of the slow average; more than the fast one's.

    Three times the fast one: a nearer one crosses at every wobble."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.fast >= self.slow:
            raise ValueError(f"fast={self.fast} must be less than slow={self.slow}")
        return self


class SmaCross(BarRule):
    """Long while the fast average of closes stands above the slow one, else flat."""

    name: ClassVar[str] = "sma_cross"
    parameters_type: ClassVar[type[BarParameters]] = SmaCrossParameters
    values: ClassVar[Mapping[str, ValueWords]] = {
        "fast": ValueWords("Fast average", ValueUnit.PRICE),
        "slow": ValueWords("Slow average", ValueUnit.PRICE),
    }

    def reads_of(self, parameters: SmaCrossParameters) -> Reads:
        """Read the two averages."""
        bars = parameters.bars
        return Reads(
            bars={bars: parameters.slow},
            indicators={
                "fast": Variant.of(Sma, bars=bars, period=parameters.fast),
                "slow": Variant.of(Sma, bars=bars, period=parameters.slow),
            },
        )

    def wish(self, seen: Seen) -> Wish | None:
        """Want all while fast > slow, nothing while fast < slow, and as before where equal."""
        fast, slow = seen.indicator("fast"), seen.indicator("slow")
        if fast is None or slow is None:
            return None
        part = None if fast == slow else 1.0 if fast > slow else 0.0
        return Wish(part, (("fast", fast), ("slow", slow)))

    def parts(self, seen: SeenColumns) -> FloatColumn:
        """Want the same at each of many bars."""
        fast, slow = seen.indicator("fast"), seen.indicator("slow")
        return parts_where(fast > slow, fast < slow)
