"""Ensemble: several rules of bars vote at each close, and the weighted majority decides.

Idea: rules that err at different moments err less together than alone (Bates and Granger, 1969,
"The combination of forecasts"). Each member follows its own wishes from its first bar on, with its
defaults, as if it traded alone; the whole is long while the weighted part they want is at least the
majority. It loses where its members lose together: rules made of the same closes are no
independent witnesses, and a vote that swings at the threshold pays the spread each time. No edge is
claimed; of its members alone none has one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import Field, field_validator

from engine.domain.catalog import ValueWords
from engine.strategies.bar_rule import BarParameters, Seen, Wish
from engine.strategies.composed import ComposedRule, check_member
from engine.strategies.door import Reads

WEIGHT_MAX = 1_000.0


def weights_of(text: str) -> dict[str, float]:
    """Return rule → weight of `momentum 2, grid`; no number is 1. Raises ValueError."""
    weights: dict[str, float] = {}
    for part in text.split(","):
        words = part.split()
        if not 1 <= len(words) <= 2:
            raise ValueError(f"{part.strip()!r} is no vote: write a rule and its weight, `grid 2`")
        name = check_member(words[0])
        if name in weights:
            raise ValueError(f"{name} votes twice: give it one larger weight")
        weights[name] = _weight(words[1]) if len(words) == 2 else 1.0
    return weights


def _weight(text: str) -> float:
    """Return a weight. Raises ValueError where it is none."""
    try:
        weight = float(text)
    except ValueError:
        weight = 0.0
    if not 0.0 < weight <= WEIGHT_MAX:
        raise ValueError(f"weight {text}: a number above 0 and at most {WEIGHT_MAX:g}")
    return weight


class EnsembleParameters(BarParameters):
    """Who votes with which weight, and how many votes it takes."""

    votes: str = "momentum, ma_trend, rsi_reversion"
    """Rules of the library that vote, each with its weight: `momentum 2, grid`; no number is 1.

    Two that follow a trend and one that buys a fall: rules that err at different moments."""
    majority: Annotated[float, Field(gt=0.0, le=1.0)] = 0.5
    """Least part of the votes for which all is held, 0 to 1; below it nothing is.

    Half: one of three alone moves nothing. Nothing here was fitted."""

    @field_validator("votes")
    @classmethod
    def _votes(cls, text: str) -> str:
        weights_of(text)
        return text


class Ensemble(ComposedRule):
    """Long while a weighted majority of other rules wants to hold, flat otherwise."""

    name: ClassVar[str] = "ensemble"
    parameters_type: ClassVar[type[BarParameters]] = EnsembleParameters
    values: ClassVar[Mapping[str, ValueWords]] = {
        "votes": ValueWords("Part of the votes for holding"),
        "holders": ValueWords("Rules that want to hold"),
    }

    def reads_of(self, parameters: EnsembleParameters) -> Reads:
        """Read what its members read."""
        self._weights = weights_of(parameters.votes)
        return self.joined(self._weights, parameters.bars, 1)

    def wish(self, seen: Seen) -> Wish | None:
        """Want all where the votes reach the majority, else nothing."""
        parts, weights = self.asked(seen), self._weights
        votes = sum(weights[name] * part for name, part in parts.items()) / sum(weights.values())
        holders = float(sum(part > 0.0 for part in parts.values()))
        # A vote of exactly the majority passes, whatever the rounding of its sum.
        part = 1.0 if votes >= self.parameters.majority - 1e-9 else 0.0
        return Wish(part, (("votes", votes), ("holders", holders)))
