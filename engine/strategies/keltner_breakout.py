"""Volatility breakout by the Keltner channel: long above the upper band, flat below the middle.

Idea: a move of several average ranges is more than noise and goes on (Keltner, 1960, "How to make
money in commodities", with Raschke's ranges). It loses where wide bars are the end of a move rather
than its beginning, as after news. No edge is claimed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import Field

from engine.domain.catalog import ValueUnit, ValueWords
from engine.indicators.columns import FloatColumn, known, parts_where
from engine.indicators.door import Variant
from engine.indicators.keltner import Keltner
from engine.strategies.bar_rule import BarParameters, BarRule, Seen, SeenColumns, Wish
from engine.strategies.door import Reads


class KeltnerBreakoutParameters(BarParameters):
    """The channel, and how a position is taken."""

    period: Annotated[int, Field(ge=1, le=500)] = 20
    """Bars of the exponential average in the middle.

    Twenty is Raschke's; nothing here was fitted."""
    atr_period: Annotated[int, Field(ge=1, le=500)] = 10
    """Bars of the average true range.

    Ten is Raschke's: the range adapts sooner than the average."""
    ranges: Annotated[float, Field(gt=0.0, le=50.0)] = 2.0
    """Average true ranges from the middle to a band.

    Two is Raschke's: a nearer band is passed by every second swing."""


class KeltnerBreakout(BarRule):
    """Long at a close above the upper Keltner band, flat at one below the middle."""

    name: ClassVar[str] = "keltner_breakout"
    parameters_type: ClassVar[type[BarParameters]] = KeltnerBreakoutParameters
    values: ClassVar[Mapping[str, ValueWords]] = {
        "upper": ValueWords("Upper band", ValueUnit.PRICE),
        "middle": ValueWords("Middle", ValueUnit.PRICE),
    }

    def reads_of(self, parameters: KeltnerBreakoutParameters) -> Reads:
        """Read the upper band and the middle."""
        p, bars = parameters, parameters.bars
        return Reads(
            bars={bars: max(p.period, p.atr_period + 1)},
            indicators={
                line: Variant.of(
                    Keltner,
                    bars=bars,
                    period=p.period,
                    atr_period=p.atr_period,
                    factor=p.ranges,
                    line=line,
                )
                for line in ("upper", "middle")
            },
        )

    def wish(self, seen: Seen) -> Wish | None:
        """Want all above the band, nothing below the middle, and as before between them."""
        upper, middle = seen.indicator("upper"), seen.indicator("middle")
        if upper is None or middle is None:
            return None
        close = seen.last(1)[-1].close
        part = 1.0 if close > upper else 0.0 if close < middle else None
        return Wish(part, (("upper", upper), ("middle", middle)))

    def parts(self, seen: SeenColumns) -> FloatColumn:
        """Want the same at each of many bars."""
        upper, middle = seen.indicator("upper"), seen.indicator("middle")
        close = seen.prices("close")
        return parts_where(known(middle) & (close > upper), known(upper) & (close < middle))
