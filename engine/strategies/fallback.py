"""Fallback: one rule of bars while the market trends, another one while it does not.

Idea: rules that follow a trend lose in a range and those that buy a fall lose in a trend, so the
regime chooses. The regime is Kaufman's efficiency ratio (1995, "Smarter Trading"): how far the
close came over a window, divided by the way it took; 1 is a straight line, a random walk of n bars
is near 1 / √n. It loses where the ratio turns late: it says what was, the other rule enters when
its regime is over, and each change pays the spread. No edge is claimed. Rules of bars give no
confidence, so the regime alone switches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Annotated, ClassVar

from pydantic import Field, field_validator, model_validator

from engine.domain.catalog import ValueWords
from engine.strategies.bar_rule import BarParameters, Seen, Wish
from engine.strategies.composed import ComposedRule, check_member
from engine.strategies.door import Reads


class FallbackParameters(BarParameters):
    """Which two rules, and what counts as a trend."""

    trending: str = "momentum"
    """Rule of the library that decides while the market trends.

    Momentum: the plainest that needs a trend."""
    ranging: str = "rsi_reversion"
    """Rule of the library that decides while it does not.

    RSI reversion: it buys what fell and needs no trend."""
    window: Annotated[int, Field(ge=5, le=1_000)] = 50
    """Bars over which the efficiency ratio is taken.

    Fifty: long enough that a random walk stays near 0.14. Nothing here was fitted."""
    efficiency_min: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.3
    """Least efficiency ratio of a trend, 0 to 1.

    Twice that of a random walk over fifty bars."""
    stay_bars_min: Annotated[int, Field(ge=1, le=1_000)] = 10
    """Bars a regime lasts at least, before the other rule may take over.

    Ten: a ratio at its threshold would change the rule at every bar."""

    @field_validator("trending", "ranging")
    @classmethod
    def _rule(cls, name: str) -> str:
        return check_member(name)

    @model_validator(mode="after")
    def _two(self) -> FallbackParameters:
        if self.trending == self.ranging:
            raise ValueError(f"trending and ranging are both {self.trending}: name two rules")
        return self


def efficiency_ratio(closes: Sequence[float]) -> float:
    """Return Kaufman's ratio of closes, 0 to 1: the net move by the sum of all moves."""
    way = sum(abs(after - before) for before, after in pairwise(closes))
    return abs(closes[-1] - closes[0]) / way if way else 0.0


class Fallback(ComposedRule):
    """Does what one rule says while the market trends, and what another says in a range."""

    name: ClassVar[str] = "fallback"
    parameters_type: ClassVar[type[BarParameters]] = FallbackParameters
    values: ClassVar[Mapping[str, ValueWords]] = {
        "efficiency": ValueWords("Efficiency ratio, 1 = a straight line"),
        "trending": ValueWords("Regime, 1 = trend, 0 = range"),
    }

    def reads_of(self, parameters: FallbackParameters) -> Reads:
        """Read the window of the ratio and what both rules read."""
        names = parameters.trending, parameters.ranging
        return self.joined(names, parameters.bars, parameters.window + 1)

    def wish(self, seen: Seen) -> Wish | None:
        """Want what the rule of the regime wants; both follow the market all the time."""
        p, parts = self.parameters, self.asked(seen)
        closes = [bar.close for bar in seen.last(p.window + 1)]
        if len(closes) <= p.window:
            return None
        regime, ratio = seen.member("regime"), efficiency_ratio(closes)
        if not regime.turned_at or regime.bars_since >= p.stay_bars_min:
            regime.turn(1.0 if ratio >= p.efficiency_min else 0.0)
        part = parts[p.trending if regime.part else p.ranging]
        return Wish(part, (("efficiency", ratio), ("trending", regime.part)))
