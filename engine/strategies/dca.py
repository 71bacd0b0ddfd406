"""Dollar-cost averaging: an equal part of the capital every so many bars, and never a sale.

Idea: buying at many times takes their average price and needs no view of any of them (Graham, 1949,
"The intelligent investor"). It loses what the instrument loses, and against buying all at once it
gives up the gains of the time it waits (Constantinides, 1979). No edge is claimed; on an instrument
that ends, as a prediction market does, there may be no time to average over.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import Field

from engine.domain.catalog import ValueWords
from engine.strategies.bar_rule import BarParameters, BarRule, Seen, Wish
from engine.strategies.door import Reads


class DcaParameters(BarParameters):
    """How many purchases, how far apart, and how each is taken."""

    purchases: Annotated[int, Field(ge=1, le=500)] = 20
    """Into how many equal purchases the capital is divided.

    Twenty: each is small beside the whole, and large beside the smallest order of a venue."""
    every: Annotated[int, Field(ge=1, le=1_000)] = 288
    """Bars from one purchase to the next.

    A day of five-minute bars: the most common plan."""


class Dca(BarRule):
    """Buys an equal part of its capital every so many bars until all is bought; never sells."""

    name: ClassVar[str] = "dca"
    parameters_type: ClassVar[type[BarParameters]] = DcaParameters
    values: ClassVar[Mapping[str, ValueWords]] = {
        "bought": ValueWords("Purchases so far"),
        "waited": ValueWords("Bars since the last one"),
    }

    def reads_of(self, parameters: DcaParameters) -> Reads:
        """Read nothing but the bars that count the time."""
        return Reads(bars={parameters.bars: 1})

    def wish(self, seen: Seen) -> Wish | None:
        """Want one more part once so many bars have passed."""
        p = self.parameters
        bought, waited = round(seen.part * p.purchases), seen.bars_since
        due = not bought or waited >= p.every
        part = min(p.purchases, bought + 1) / p.purchases if due else None
        return Wish(part, (("bought", float(bought)), ("waited", float(waited))))
