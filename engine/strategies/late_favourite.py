"""Late favourite: buys the side that is nearly sure shortly before the close, and holds it.

Idea: what will happen in a minute is nearly known, and some sell at 96 cents what pays a dollar, to
have their money now. It sells insurance: many small gains, and now and then all of the stake; a
sample of a few dozen markets does not hold the loss that decides. Whether favourites are dear or
cheap changes with market and time (Thaler and Ziemba, 1988, "Parimutuel betting markets"). No edge
is claimed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import Field, model_validator

from engine.domain.catalog import GateWords, ValueWords
from engine.strategies.binary_bet import (
    DAY_NS,
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

DAY_S = DAY_NS / 1e9


class LateFavouriteParameters(BetParameters):
    """How late, and how sure."""

    price_min: Annotated[float, Field(gt=0.5, lt=1.0)] = 0.9
    """Least price of the favoured side, in the currency.

    Ninety cents: below it is no favourite."""
    price_max: Annotated[float, Field(gt=0.5, lt=1.0)] = 0.97
    """Highest price it pays, in the currency.

    Ninety-seven cents: above, one loss takes more than thirty gains."""
    seconds_left_max: Annotated[float, Field(gt=0.0, le=31_536_000.0)] = 60.0
    """Seconds before the announced close from which on it buys.

    A minute: of a five-minute market the last fifth."""
    seconds_left_min: Annotated[float, Field(ge=0.0, le=31_536_000.0)] = 5.0
    """Seconds before the announced close at which it stops buying.

    Five: later an order may meet a market that is over."""

    @model_validator(mode="after")
    def _fits(self) -> LateFavouriteParameters:
        if self.price_min >= self.price_max:
            raise ValueError(f"price_min={self.price_min:g} must be less than price_max")
        if self.seconds_left_min >= self.seconds_left_max:
            raise ValueError("seconds_left_min must be less than seconds_left_max")
        return self


class LateFavourite(BinaryBet):
    """Buys the side that is nearly sure shortly before the announced close, and holds it."""

    name: ClassVar[str] = "late_favourite"
    parameters_type: ClassVar[type[BetParameters]] = LateFavouriteParameters
    gates: ClassVar[Mapping[str, GateWords]] = {
        **GATES,
        "late": GateWords(
            "it is late enough",
            "it were closer to the close",
            "{value} s to the close, limit {limit}",
            needed=True,
        ),
        "favourite": GateWords(
            "one side is nearly sure",
            "one side were nearly sure",
            "its price {value}, limit {limit}",
        ),
    }
    values: ClassVar[Mapping[str, ValueWords]] = {
        **VALUES,
        "seconds_left": ValueWords("Seconds to the announced close"),
    }

    def judge(self, context: Context, touch: BetTouch, now_ns: int) -> Bet:
        """Buy the dearer side within its bounds of time and price; never leave."""
        p, days = self.parameters, days_to_close(context.view.instrument, now_ns)
        left = -1.0 if days is None else days * DAY_S
        side = 1 if touch.mid >= 0.5 else -1
        price = touch.ask if side > 0 else 1.0 - touch.bid
        return Bet(
            side=side,
            part=1.0,
            gates=(
                gate_between("late", left, p.seconds_left_min, p.seconds_left_max),
                gate_between("favourite", price, p.price_min, p.price_max),
            ),
            values=(("mid", touch.mid), ("seconds_left", left)),
        )
