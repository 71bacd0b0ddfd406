"""Breakout of the Donchian channel: long at a new high, flat at a new low of fewer bars.

Idea: a close above everything of the last weeks begins a trend often enough that a few long ones
pay for many that fail (Donchian, 1960; the turtles' rules in Faith, 2007, "Way of the turtle"). It
loses most of its trades, and in a range it buys each top. No edge is claimed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import Field

from engine.domain.catalog import ValueUnit, ValueWords
from engine.indicators.columns import FloatColumn, highest, known, lowest, parts_where
from engine.strategies.bar_rule import BarParameters, BarRule, Seen, SeenColumns, Wish
from engine.strategies.door import Reads


class DonchianBreakoutParameters(BarParameters):
    """The two channels, and how a position is taken."""

    enter: Annotated[int, Field(ge=1, le=1_000)] = 20
    """Bars before this one whose highest high it must close above to buy.

    Twenty is the turtles' first system; nothing here was fitted."""
    leave: Annotated[int, Field(ge=1, le=1_000)] = 10
    """Bars before this one whose lowest low it must close below to sell.

    Half of the other, as theirs: a trend is left sooner than it is believed."""


class DonchianBreakout(BarRule):
    """Long at a close above the highest high of the bars before, flat below the lowest low."""

    name: ClassVar[str] = "donchian_breakout"
    parameters_type: ClassVar[type[BarParameters]] = DonchianBreakoutParameters
    values: ClassVar[Mapping[str, ValueWords]] = {
        "high": ValueWords("Highest high before", ValueUnit.PRICE),
        "low": ValueWords("Lowest low before", ValueUnit.PRICE),
    }

    def reads_of(self, parameters: DonchianBreakoutParameters) -> Reads:
        """Read the bars of the longer channel, and the one that decides."""
        return Reads(bars={parameters.bars: max(parameters.enter, parameters.leave) + 1})

    def wish(self, seen: Seen) -> Wish | None:
        """Want all above the channel, nothing below the other one, and as before inside."""
        p = self.parameters
        needed = max(p.enter, p.leave) + 1
        *before, last = seen.last(needed)
        if len(before) + 1 < needed:
            return None
        high = max(bar.high for bar in before[-p.enter :])
        low = min(bar.low for bar in before[-p.leave :])
        part = 1.0 if last.close > high else 0.0 if last.close < low else None
        return Wish(part, (("high", high), ("low", low)))

    def parts(self, seen: SeenColumns) -> FloatColumn:
        """Want the same at each of many bars."""
        p, close = self.parameters, seen.prices("close")
        highs = highest(seen.prices("high", back) for back in range(1, p.enter + 1))
        lows = lowest(seen.prices("low", back) for back in range(1, p.leave + 1))
        return parts_where(known(lows) & (close > highs), known(highs) & (close < lows))
