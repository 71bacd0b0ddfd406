"""Volatility breakout: long after a bar that rose by more than bars usually reach, flat likewise.

Idea: a move of more than the usual range is news, and news is not priced in one bar (Williams,
1999, "Long-term secrets to short-term trading"; the range is Wilder's, 1978). It loses where large
moves are given back, which is most of the time in a market without news, and it buys dear: after
the move. No edge is claimed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import Field

from engine.domain.catalog import ValueUnit, ValueWords
from engine.indicators.atr import Atr
from engine.indicators.columns import FloatColumn, parts_where
from engine.indicators.door import Variant
from engine.strategies.bar_rule import BarParameters, BarRule, Seen, SeenColumns, Wish
from engine.strategies.door import Reads


class VolatilityBreakoutParameters(BarParameters):
    """What a usual range is, how much more counts, and how a position is taken."""

    period: Annotated[int, Field(ge=2, le=500)] = 14
    """Bars of the average true range.

    Fourteen is Wilder's own; nothing here was fitted."""
    enter_ranges: Annotated[float, Field(gt=0.0, le=50.0)] = 1.5
    """Average ranges a close must rise above the one before to be bought.

    One and a half: the largest of some twenty bars."""
    leave_ranges: Annotated[float, Field(gt=0.0, le=50.0)] = 1.0
    """Average ranges a close must fall below the one before to be sold.

    Less than the other: what fell as far as a bar usually reaches is no breakout any more."""


class VolatilityBreakout(BarRule):
    """Long after a close that leaps by more than bars reach, flat after one that falls so."""

    name: ClassVar[str] = "volatility_breakout"
    parameters_type: ClassVar[type[BarParameters]] = VolatilityBreakoutParameters
    values: ClassVar[Mapping[str, ValueWords]] = {
        "move": ValueWords("Move of the close", ValueUnit.PRICE_PART),
        "range": ValueWords("Average range", ValueUnit.PRICE_PART),
    }

    def reads_of(self, parameters: VolatilityBreakoutParameters) -> Reads:
        """Read the range, and the last two closes."""
        bars, period = parameters.bars, parameters.period
        return Reads(
            bars={bars: period + 1}, indicators={"range": Variant.of(Atr, bars=bars, period=period)}
        )

    def wish(self, seen: Seen) -> Wish | None:
        """Want all above the one move, nothing below the other, and as before between them."""
        reach, last, p = seen.indicator("range"), seen.last(2), self.parameters
        if reach is None or len(last) < 2:
            return None
        move = last[1].close - last[0].close
        rises, falls = move > p.enter_ranges * reach, move < -p.leave_ranges * reach
        return Wish(1.0 if rises else 0.0 if falls else None, (("move", move), ("range", reach)))

    def parts(self, seen: SeenColumns) -> FloatColumn:
        """Want the same at each of many bars."""
        reach, p = seen.indicator("range"), self.parameters
        move = seen.prices("close") - seen.prices("close", 1)
        return parts_where(move > p.enter_ranges * reach, move < -p.leave_ranges * reach)
