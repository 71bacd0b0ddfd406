"""Pairs (statistical arbitrage): of two instruments that move together, the one that is cheap.

Idea: where two prices are cointegrated, their spread comes back to its mean (Gatev, Goetzmann and
Rouwenhorst, 2006, "Pairs trading"; Vidyamurthy, 2004, "Pairs Trading", chapters 5 to 8). At each
close: log y = a + b · log x + e by least squares over the last bars (b is the hedge ratio), y the
instrument whose name comes first; z = e / s, s² = Σe² / (n - 2); Δe = r · e₋₁ + u gives
the Dickey-Fuller t of r without lags (Engle and Granger, 1987) and the half-life
ln ½ / ln (1 + r) in bars. It enters only where t lies below the critical value of two series with
a constant (MacKinnon, 2010, "Critical values for cointegration tests", table 2).

Long only: nothing is sold short here. It holds y where z is low and x where z is high, and cash
else. What is lost by that: the other half of the spread's gain, and the hedge: while it holds a
leg it carries that leg's whole move, so it loses where both fall, though the spread came back.

It loses, too, where the link breaks: the spread goes on and the stop takes the loss. A test at each
bar finds links by chance: of two walks that have none, the stated level at every single look, more
over many. Returns that depend on their past need lags that this test has not. No edge is claimed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log, sqrt
from typing import Annotated, ClassVar, Literal, NamedTuple, Self

import msgspec
from pydantic import Field, model_validator

from engine.domain.bars import Bar, bar_spec
from engine.domain.catalog import GateWords, ValueWords
from engine.domain.decisions import Gate
from engine.domain.events import BarClosed, Event, OrderFilled
from engine.domain.instruments import BotId, InstrumentId
from engine.errors import BadInput
from engine.strategies.bar_rule import BPS, HOUR_NS, NO_MOVE, BarParameters, S
from engine.strategies.door import Context, Evaluation, Needs, Reads, decided
from engine.strategies.taking import crossing_target

CRITICAL = {
    "1%": (-3.89644, -10.9519, -22.527),
    "5%": (-3.33613, -6.1101, -6.823),
    "10%": (-3.04445, -4.2412, -2.720),
}
"""MacKinnon (2010), table 2, N = 2, constant: c + c₁ / T + c₂ / T², T changes of the residual."""
NEVER = 1e6
"""Bars of half-life that are said where the spread does not come back at all."""
SPREAD_MIN = 1e-12
"""A deviation of the log spread below this is rounding, no spread."""


def critical_value(level: str, changes: int) -> float:
    """Return the t below which two series are cointegrated at this level of chance."""
    limit, first, second = CRITICAL[level]
    return limit + first / changes + second / changes**2


class PairSpread(NamedTuple):
    """What two series of closes say of each other."""

    z: float
    """Deviations of the last residual from its mean; below zero = y is cheap against x."""
    hedge: float
    """Percent that y moves where x moves by one."""
    half_life: float
    """Bars in which half of a deviation is gone; `NEVER` at most."""
    t: float
    """Dickey-Fuller t of the residual; 0 where it does not change."""


def spread_of(y: Sequence[float], x: Sequence[float]) -> PairSpread | None:
    """Return the spread of two series of log closes; None = one does not move, or both as one."""
    count = len(y)
    mean_y, mean_x = sum(y) / count, sum(x) / count
    far_y, far_x = [one - mean_y for one in y], [one - mean_x for one in x]
    square = sum(one * one for one in far_x)
    if square <= SPREAD_MIN**2:
        return None
    hedge = sum(a * b for a, b in zip(far_y, far_x, strict=True)) / square
    rest = [a - hedge * b for a, b in zip(far_y, far_x, strict=True)]
    deviation = sqrt(sum(one * one for one in rest) / (count - 2))
    before = sum(one * one for one in rest[:-1])
    if deviation <= SPREAD_MIN or before <= 0.0:
        return None
    changes = [rest[i] - rest[i - 1] for i in range(1, count)]
    rate = sum(a * b for a, b in zip(changes, rest, strict=False)) / before
    left = sum((a - rate * b) ** 2 for a, b in zip(changes, rest, strict=False))
    error = sqrt(left / (count - 2) / before)
    stays = 1.0 + rate
    half_life = 0.0 if stays <= 0.0 else NEVER if stays >= 1.0 else log(0.5) / log(stays)
    t = rate / error if error > 0.0 else 0.0
    return PairSpread(rest[-1] / deviation, hedge, min(NEVER, half_life), t)


class PairsParameters(BarParameters):
    """Which closes are compared, when they count as linked, and how a leg is held."""

    bars: str = "1h"
    """Bars at whose close it looks, for example 1h.

    An hour: a spread of a few deviations must be larger than the fees of two trades."""
    period: Annotated[int, Field(ge=30, le=2_000)] = 240
    """Closes of both that hedge ratio, spread and test are of.

    Ten days of hours; nothing here was fitted."""
    level: Literal["1%", "5%", "10%"] = "1%"
    """Level of the cointegration test: how often a pair without a link passes a single look.

    The strictest of the table: it looks at every bar, and chance adds up."""
    half_life_max: Annotated[float, Field(gt=0.0, le=NEVER)] = 48.0
    """Most bars in which half of a deviation is gone.

    A fifth of the period: what takes longer was hardly seen to come back in it."""
    enter: Annotated[float, Field(gt=0.0, le=20.0)] = 2.0
    """Deviations from the mean of the spread at which it buys the cheap leg.

    Two, as Gatev and others (2006) did."""
    leave: Annotated[float, Field(ge=-20.0, le=20.0)] = 0.0
    """Deviations from the mean, on the cheap side, at which it sells; less than `enter`.

    Zero: the spread came back."""
    stop: Annotated[float, Field(gt=0.0, le=50.0)] = 4.0
    """Deviations from the mean at which it gives up; more than `enter`.

    Twice the entry: a spread that goes so far is no longer the one that was measured."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.leave < self.enter:
            raise ValueError(f"leave={self.leave:g} must be less than enter={self.enter:g}")
        if self.stop <= self.enter:
            raise ValueError(f"stop={self.stop:g} must be more than enter={self.enter:g}")
        return self


class _HeldLeg(msgspec.Struct):
    """What it wants, and what it saw at the last bar both legs closed."""

    leg: str = ""
    """The instrument it wants to hold; empty = none."""
    position: int = 0
    """How much of it, in size increments."""
    bar_end_ns: int = 0
    """End of the last bar that was decided on."""
    spread: PairSpread | None = None
    failed: Gate | None = None
    """Why it did not enter at that bar; None = it holds a leg, or the spread was not wide."""


class Pairs:
    """Holds of two linked instruments the one that is cheap against the other; never short."""

    name: ClassVar[str] = "pairs"
    needs: ClassVar[Needs] = Needs(instruments=2)
    parameters_type: ClassVar[type[BarParameters]] = PairsParameters
    gates: ClassVar[Mapping[str, GateWords]] = {
        "two": GateWords(
            "the bot has two instruments",
            "the bot had two open instruments",
            "{value} instruments are open, a pair is {limit}",
            sign="=",
            needed=True,
        ),
        "warm": GateWords(
            "enough bars of both have closed",
            "enough bars of both had closed",
            "{value} of {limit} closed in both",
            sign="≥",
            needed=True,
        ),
        "cointegrated": GateWords(
            "the spread comes back",
            "the test found the two linked",
            "the Dickey-Fuller t is {value}, linked is {limit} or less",
            sign="≤",
        ),
        "half_life": GateWords(
            "the spread comes back soon",
            "the spread came back sooner",
            "half of a deviation takes {value} bars, {limit} are the most",
            sign="≤",
        ),
        "hedge": GateWords(
            "both move the same way",
            "both moved the same way",
            "the hedge ratio is {value}, it must be more than {limit}",
            sign=">",
        ),
    }
    values: ClassVar[Mapping[str, ValueWords]] = {
        "z": ValueWords("Deviations of the spread from its mean"),
        "hedge": ValueWords("Hedge ratio"),
        "half_life": ValueWords("Bars in which half of a deviation is gone"),
        "t": ValueWords("Dickey-Fuller t"),
    }
    references: tuple[str, ...] = ()
    touch_alone = False
    mid2_moved_min = NO_MOVE
    replan_ns_min = 0
    timer_ns = 5 * S
    """The bar of one leg may come after the other's: the first looks again so soon."""

    def __init__(self, parameters: PairsParameters, bot: BotId) -> None:
        self._p = parameters
        del bot
        self._per_increment = bar_spec(parameters.bars).per_increment
        self.reads = Reads(bars={parameters.bars: parameters.period + 1})
        self._held = _HeldLeg()

    def receive(self, event: Event, now_ns: int) -> bool:
        """Wake at the close of its bars."""
        del now_ns
        return type(event) is BarClosed and event.bars == self._p.bars

    def filled(self, instrument: InstrumentId, event: OrderFilled, now_ns: int) -> None:
        """Learn nothing: what is held comes with each evaluation."""

    def evaluate(self, context: Context, now_ns: int) -> Evaluation:
        """Decide once per bar that both legs closed; state what is wanted in this one."""
        legs = sorted(view.instrument.id for view in context.others.views())
        two = Gate("two", len(legs) == 2, float(len(legs)), 2.0)
        held = self._held
        if not two.passed:
            held.leg, held.position = "", 0  # nothing to compare with: what it holds is sold
            return self._stated(context, now_ns, (two,))
        newest = [self._bars(context, leg, now_ns, 1) for leg in legs]
        end_ns = min(bars[-1].end_ns if bars else 0 for bars in newest)
        if end_ns > held.bar_end_ns:
            series = [self._bars(context, leg, now_ns, self._p.period + 1) for leg in legs]
            pairs = _together(*series)[-self._p.period :]
            warm = Gate(
                "warm", len(pairs) >= self._p.period, float(len(pairs)), float(self._p.period)
            )
            held.failed = None if warm.passed else warm
            if warm.passed:
                held.bar_end_ns = end_ns
                held.spread = spread_of(*zip(*pairs, strict=True))
                self._decide(context, legs, now_ns)
        gates = (two,) if held.failed is None else (two, held.failed)
        return self._stated(context, now_ns, gates)

    def _bars(self, context: Context, leg: InstrumentId, now_ns: int, count: int) -> Sequence[Bar]:
        return context.others.readings(leg, now_ns).bars(self._p.bars, count)

    def _decide(self, context: Context, legs: list[InstrumentId], now_ns: int) -> None:
        """Change the leg that is wanted, by the spread of this bar."""
        held, spread, p = self._held, self._held.spread, self._p
        if spread is None:
            return
        if held.leg:
            cheap = -spread.z if held.leg == legs[0] else spread.z
            if cheap <= p.leave or cheap >= p.stop or held.leg not in legs:
                held.leg, held.position = "", 0
            return
        held.failed = next((gate for gate in self._entry(spread) if not gate.passed), None)
        if held.failed or context.reducing or not p.enter <= abs(spread.z) < p.stop:
            return
        leg = legs[0] if spread.z < 0.0 else legs[1]
        view = next(one for one in context.others.views() if one.instrument.id == leg)
        close = self._bars(context, leg, now_ns, 1)[-1].close / self._per_increment
        free = min(context.capital_micro, context.others.inventory(leg).cash_free_micro)
        size = int(max(0, free) * p.share * view.instrument.value_divisor / close)
        held.position = size // view.instrument.lot * view.instrument.lot
        held.leg = leg if held.position else ""

    def _entry(self, spread: PairSpread) -> tuple[Gate, ...]:
        limit = critical_value(self._p.level, self._p.period - 1)
        longest = self._p.half_life_max
        return (
            Gate("cointegrated", spread.t <= limit, spread.t, limit),
            Gate("half_life", spread.half_life <= longest, spread.half_life, longest),
            Gate("hedge", spread.hedge > 0.0, spread.hedge, 0.0),
        )

    def _stated(self, context: Context, now_ns: int, gates: tuple[Gate, ...]) -> Evaluation:
        """State the position that is wanted in this leg, unless it is held already."""
        instrument, have = context.view.instrument, context.inventory.position
        wanted = self._held.position if self._held.leg == instrument.id else 0
        intent = None
        last = context.readings.bars(self._p.bars, 1)
        if last and abs(wanted - have) >= instrument.lot:
            close = last[-1].close / self._per_increment
            slip = close * self._p.slippage_bps_max / BPS
            limit = max(instrument.tick, round(close + slip if wanted > have else close - slip))
            if wanted > have:
                paid = have * (context.inventory.average_price or 0)
                room = int(context.capital_micro * instrument.value_divisor - paid) // limit
                wanted = min(wanted, have + max(0, room) // instrument.lot * instrument.lot)
            if wanted != have:
                intent = crossing_target(context, context.view, wanted, limit, now_ns + HOUR_NS)
        spread = self._held.spread
        decision = decided(
            context,
            now_ns,
            regime="long" if wanted else "flat",
            gates=gates,
            inputs=() if spread is None else tuple(spread._asdict().items()),
            intent=intent,
        )
        return Evaluation(decision=decision, intents=(intent,) if intent else ())

    def forget(self, instrument: InstrumentId) -> None:
        """Want nothing more of an instrument."""
        if self._held.leg == instrument:
            self._held.leg, self._held.position = "", 0

    def state(self) -> bytes:
        """Return which leg is wanted, and what was seen at the last bar."""
        return msgspec.json.encode(self._held)

    def restore(self, state: bytes) -> None:
        """Take back what `state` gave. Raises BadInput where it cannot be read."""
        try:
            self._held = msgspec.json.decode(state, type=_HeldLeg) if state else _HeldLeg()
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise BadInput(f"its state cannot be read: {error}") from None


def _together(first: Sequence[Bar], second: Sequence[Bar]) -> list[tuple[float, float]]:
    """Return the log closes of bars that end at the same moment, the oldest first."""
    ends = {bar.end_ns: bar.close for bar in second if bar.close > 0}
    return [
        (log(bar.close), log(ends[bar.end_ns]))
        for bar in first
        if bar.close > 0 and bar.end_ns in ends
    ]
