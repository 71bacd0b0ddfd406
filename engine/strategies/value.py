"""Value: buys a side that costs less than its probability, by fractional Kelly.

Idea: a share of a binary is worth its probability; who knows that better than the price earns the
difference (Kelly, 1956, "A new interpretation of information rate"; Thorp, 2006, "The Kelly
criterion in blackjack, sports betting, and the stock market"). The probability is one of three: the
price itself, corrected by how often such prices paid on resolved history; the chance that a
reference price ends at or above the market's strike; or one a person typed, with its date. It loses
where the market knows more than its source, which is the usual case, and a table fitted on one time
need not hold in the next. Without a source it rests. No edge is claimed.
"""

from __future__ import annotations

import datetime as dt
from bisect import bisect_right
from collections.abc import Mapping
from enum import StrEnum
from math import log, sqrt
from typing import Annotated, ClassVar

from pydantic import Field, field_validator, model_validator

from engine.domain.catalog import GateWords, ValueUnit, ValueWords
from engine.domain.decisions import Gate
from engine.domain.events import Event, ReferencePriced
from engine.domain.instruments import BotId
from engine.strategies.binary_bet import (
    DAY_NS,
    GATES,
    VALUES,
    Bet,
    BetParameters,
    BetTouch,
    BinaryBet,
    gate_between,
)
from engine.strategies.door import Context
from engine.strategies.fair_value import normal_cdf

YEAR_S = 365.25 * 86_400.0
E8 = 1e8
REFERENCE_AGE_S_MAX = 10.0
PricePoint = tuple[float, float]


class ValueSource(StrEnum):
    """Where the fair probability comes from."""

    CALIBRATION = "calibration"
    REFERENCE = "reference"
    TYPED = "typed"


def points_of(text: str) -> tuple[PricePoint, ...]:
    """Return (price, how often it paid) of `0.1:0.08 0.3:0.27`, by price. Raises ValueError."""
    found = []
    for one in text.replace(",", " ").split():
        price, colon, paid = one.partition(":")
        try:
            point = float(price), float(paid)
        except ValueError:
            point = -1.0, -1.0
        if not colon or not (0.0 < point[0] < 1.0 and 0.0 <= point[1] <= 1.0):
            raise ValueError(f"{one!r} is no price:probability, both between 0 and 1")
        found.append(point)
    if [price for price, _ in found] != sorted({price for price, _ in found}):
        raise ValueError("prices of a table rise, and none stands there twice")
    return tuple(found)


def calibrated(points: tuple[PricePoint, ...], price: float) -> float | None:
    """Return how often such a price paid, on straight lines between points; None beyond them."""
    place = bisect_right(points, (price, 2.0))
    if not place or (place == len(points) and price > points[-1][0]):
        return None
    low, high = points[place - 1], points[min(place, len(points) - 1)]
    width = high[0] - low[0]
    return low[1] if not width else low[1] + (high[1] - low[1]) * (price - low[0]) / width


class ValueParameters(BetParameters):
    """Where the probability comes from, which edge is taken, and how much is put on it."""

    source: ValueSource = ValueSource.CALIBRATION
    """Where the fair probability comes from: calibration, reference or typed.

    Calibration: it needs no number of a person. Without a table it rests."""
    table: str = ""
    """Calibration: price:probability, rising, as `python -m studies.history` prints it.

    Empty: a table is of the venue and the time it was fitted on, so none is built in."""
    probability: Annotated[float, Field(ge=0.0, le=1.0)] = 0.5
    """Typed: probability of YES, 0 to 1.

    One half: whoever types one says it."""
    typed_on: str = ""
    """Typed: the day it was thought so, YYYY-MM-DD (UTC).

    Empty: a probability without a date is not used."""
    valid_days: Annotated[float, Field(gt=0.0, le=366.0)] = 7.0
    """Typed: days after that day in which it is used.

    A week: what was thought longer ago is thought over."""
    reference: str = ""
    """Reference: key of the price, for example `chainlink:btc/usd`; the market needs a strike.

    Empty: it is another one for every market."""
    volatility: Annotated[float, Field(gt=0.0, le=10.0)] = 0.6
    """Reference: volatility of its log returns, a year (0.6 = 60 %).

    Sixty percent: about what bitcoin did over its last years."""
    edge_min: Annotated[float, Field(ge=0.0, le=1.0)] = 0.03
    """Least edge after fees, a share, in the currency.

    Three cents: less is within the error of any source."""
    edge_max: Annotated[float, Field(gt=0.0, le=1.0)] = 0.2
    """Largest edge it believes in, a share, in the currency.

    Twenty cents: where so much seems to be free, the source is wrong."""
    edge_leave: Annotated[float, Field(ge=0.0, le=1.0)] = 0.02
    """How far above its fair value, after fees, what is held is sold, in the currency.

    Two cents: it pays the sale."""
    kelly: Annotated[float, Field(gt=0.0, le=1.0)] = 0.25
    """Part of what Kelly would put on it, 0 to 1.

    A quarter: Kelly's own bet is too large as soon as the probability is a guess."""

    @field_validator("table")
    @classmethod
    def _a_table(cls, text: str) -> str:
        points_of(text)
        return text

    @field_validator("typed_on")
    @classmethod
    def _a_day(cls, text: str) -> str:
        if text:
            dt.date.fromisoformat(text)
        return text

    @model_validator(mode="after")
    def _fits(self) -> ValueParameters:
        if self.edge_min >= self.edge_max:
            raise ValueError(f"edge_min={self.edge_min:g} must be less than edge_max")
        return self


class ValueBet(BinaryBet):
    """Buys a side below its probability: from resolved history, a reference, or typed."""

    name: ClassVar[str] = "value"
    parameters_type: ClassVar[type[BetParameters]] = ValueParameters
    gates: ClassVar[Mapping[str, GateWords]] = {
        **GATES,
        "source": GateWords(
            "there is a fair probability",
            "there were one",
            "the source gives no probability here",
            needed=True,
        ),
        "edge": GateWords(
            "the edge is worth it and believable",
            "its edge lay between its bounds",
            "edge {value}, taken from or up to {limit}",
        ),
    }
    values: ClassVar[Mapping[str, ValueWords]] = {
        **VALUES,
        "kelly": ValueWords("Part of the capital by Kelly"),
        "spot": ValueWords("Reference price", ValueUnit.PRICE),
    }

    def __init__(self, parameters: ValueParameters, bot: BotId) -> None:
        super().__init__(parameters, bot)
        self._points = points_of(parameters.table)
        by_reference = parameters.source is ValueSource.REFERENCE and parameters.reference
        self.references = (parameters.reference,) if by_reference else ()
        day = dt.date.fromisoformat(parameters.typed_on) if parameters.typed_on else None
        self._typed_ns = None if day is None else _day_ns(day)

    def receive(self, event: Event, now_ns: int) -> bool:
        """Wake where the reference moves, too."""
        del now_ns
        return type(event) is ReferencePriced

    def judge(self, context: Context, touch: BetTouch, now_ns: int) -> Bet:
        """Take the side with the larger edge, where it lies between the two bounds."""
        p, fair = self.parameters, self._fair(context, touch, now_ns)
        if fair is None:
            return Bet(gates=(Gate("source", False, 0.0, 0.0),), values=(("mid", touch.mid),))
        yes = fair - touch.ask - touch.ask_fee + p.limit_offset
        no = touch.bid - fair - touch.bid_fee + p.limit_offset
        side, edge = (1, yes) if yes >= no else (-1, no)
        cost = (touch.ask + touch.ask_fee) if side > 0 else 1.0 - touch.bid + touch.bid_fee
        cost -= p.limit_offset
        part = p.kelly * max(0.0, edge) / (1.0 - cost) if 0.0 < cost < 1.0 else 0.0
        have = context.inventory.position
        over = (touch.bid - touch.bid_fee - fair) if have > 0 else fair - touch.ask - touch.ask_fee
        return Bet(
            side=side,
            part=part,
            leaves=bool(have) and over >= p.edge_leave,
            fair=fair,
            gates=(
                Gate("source", True, fair, 0.0),
                gate_between("edge", edge, p.edge_min, p.edge_max),
            ),
            values=(("mid", touch.mid), ("fair", fair), ("edge", edge), ("kelly", part)),
        )

    def _fair(self, context: Context, touch: BetTouch, now_ns: int) -> float | None:
        p = self.parameters
        if p.source is ValueSource.CALIBRATION:
            return calibrated(self._points, touch.mid)
        if p.source is ValueSource.TYPED:
            since = self._typed_ns
            fresh = since is not None and 0 <= now_ns - since <= p.valid_days * DAY_NS
            return p.probability if fresh else None
        return self._by_reference(context, now_ns)

    def _by_reference(self, context: Context, now_ns: int) -> float | None:
        """Return Φ(ln(S/K) / (volatility·√τ)), the chance of a price without drift.

        Black and Scholes, 1973, "The pricing of options and corporate liabilities".
        """
        instrument = context.view.instrument
        seen = context.references.get(self.parameters.reference)
        strike, closes_ns = instrument.strike_e8, instrument.closes_ns
        if seen is None or strike is None or closes_ns is None or closes_ns <= now_ns:
            return None
        if now_ns - seen.at_ns > REFERENCE_AGE_S_MAX * 1e9 or min(seen.price_e8, strike) <= 0:
            return None
        years = (closes_ns - now_ns) / 1e9 / YEAR_S
        return normal_cdf(log(seen.price_e8 / strike) / (self.parameters.volatility * sqrt(years)))


def _day_ns(day: dt.date) -> int:
    return (day.toordinal() - dt.date(1970, 1, 1).toordinal()) * DAY_NS
