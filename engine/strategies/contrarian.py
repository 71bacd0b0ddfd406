"""Contrarian: some days before the close it buys what is unlikely, and NO of what is likely.

Idea: where people pay too much for what seems sure, the other side is cheap: the reverse of the
favourite-longshot bias (Snowberg and Wolfers, 2010, "Explaining the favorite-long shot bias"). It
loses a whole stake most of the time, and the direction of the bias is another one in other venues
and years. What daily last prices show is no quote that could be taken, and counting days back from
the resolution, which is known only afterwards, flatters it. Accounts of real money refuse it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import Field, model_validator

from engine.domain.catalog import GateWords, ValueWords
from engine.strategies.binary_bet import (
    GATES,
    VALUES,
    Bet,
    BetParameters,
    BetTouch,
    BinaryBet,
    days_to_close,
    gate_between,
)
from engine.strategies.door import Context


class ContrarianParameters(BetParameters):
    """Which prices, and how long before the close."""

    days_min: Annotated[float, Field(ge=0.0, le=366.0)] = 3.0
    """Least days to the announced close.

    Three: nearer to it prices know."""
    days_max: Annotated[float, Field(gt=0.0, le=366.0)] = 30.0
    """Most days to the announced close.

    Thirty: money is bound until then."""
    unlikely_min: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.1
    """YES is bought from this price on, in the currency.

    Ten cents: the range the hypothesis was stated for, not fitted here."""
    unlikely_max: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.35
    """YES is bought up to this price, in the currency.

    Thirty-five cents: as above."""
    likely_min: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.65
    """NO is bought where YES is bid this or more, in the currency.

    Sixty-five cents: as above."""
    likely_max: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.97
    """NO is bought where YES is bid this or less, in the currency.

    Ninety-seven cents: as above."""

    @model_validator(mode="after")
    def _fits(self) -> ContrarianParameters:
        bounds = (self.unlikely_min, self.unlikely_max, self.likely_min, self.likely_max)
        if list(bounds) != sorted(set(bounds)):
            raise ValueError("the four prices must rise: unlikely_min … likely_max")
        if self.days_min >= self.days_max:
            raise ValueError(f"days_min={self.days_min:g} must be less than days_max")
        return self


class Contrarian(BinaryBet):
    """Buys the unlikely side some days before the announced close, and holds it. Paper only."""

    name: ClassVar[str] = "contrarian"
    paper_only: ClassVar[bool] = True
    parameters_type: ClassVar[type[BetParameters]] = ContrarianParameters
    gates: ClassVar[Mapping[str, GateWords]] = {
        **GATES,
        "days": GateWords(
            "the close is some days away",
            "the close were some days away",
            "{value} days to the close, limit {limit}",
            needed=True,
        ),
        "extreme": GateWords(
            "one side is unlikely",
            "the price were further from a half",
            "price {value}, limit {limit}",
        ),
    }
    values: ClassVar[Mapping[str, ValueWords]] = VALUES

    def judge(self, context: Context, touch: BetTouch, now_ns: int) -> Bet:
        """Buy the side that costs little, within the bounds of price and time; never leave."""
        p, days = self.parameters, days_to_close(context.view.instrument, now_ns)
        left = -1.0 if days is None else days
        unlikely = touch.mid < 0.5
        extreme = (
            gate_between("extreme", touch.ask, p.unlikely_min, p.unlikely_max)
            if unlikely
            else gate_between("extreme", touch.bid, p.likely_min, p.likely_max)
        )
        return Bet(
            side=1 if unlikely else -1,
            part=1.0,
            gates=(gate_between("days", left, p.days_min, p.days_max), extreme),
            values=(("mid", touch.mid), ("days_to_close", left)),
        )
