"""Strategies that decide once a bar: long, flat, in parts, or as before. All but the rule.

A rule says what it reads, and at each closed bar which part of its capital should stand in the
instrument. A larger part buys what is missing, a smaller one sells in proportion. The position is
taken at the market, at a price no worse than a stated slippage; a part
that was not filled is tried again until the next bar decides otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, NamedTuple

import msgspec
from pydantic import Field, field_validator

from engine.caches.views import InventoryView
from engine.domain.bars import bar_spec
from engine.domain.catalog import GateWords, ValueUnit, ValueWords
from engine.domain.decisions import Decision, Gate
from engine.domain.events import BarClosed, Event, OrderFilled
from engine.domain.instruments import BotId, Instrument, InstrumentId
from engine.domain.intents import Target, Urgency
from engine.errors import BadInput
from engine.indicators.columns import FloatColumn
from engine.indicators.door import PriceBar
from engine.strategies.door import (
    ColumnReadings,
    Context,
    Evaluation,
    Parameters,
    Readings,
    Reads,
)

S = 1_000_000_000
HOUR_NS = 3_600 * S
NO_MOVE = 1 << 60
"""Twice a mid never moves so far: no book and no trade wakes it."""
BPS = 10_000


class BarParameters(Parameters):
    """Which bars, and how a position is taken."""

    bars: str = "5m"
    """Bars it decides on: 1s to 1d, for example 5m; `ticks:500`, `volume:1000`; `/mids` of mids.

    Five minutes: shorter bars trade more often, and every trade costs the spread and a fee."""
    share: Annotated[float, Field(gt=0.0, le=1.0)] = 0.95
    """Part of the capital a whole position takes, 0 to 1.

    A little is left for fees and for a price that moves on the way."""
    slippage_bps_max: Annotated[float, Field(ge=0.0, le=1_000.0)] = 100.0
    """Basis points: how much worse than the last close a fill may be.

    One percent; what is dearer waits for the next bar."""

    @field_validator("bars")
    @classmethod
    def _known(cls, text: str) -> str:
        try:
            return bar_spec(text).text
        except BadInput as error:
            raise ValueError(str(error)) from None


class Wish(NamedTuple):
    """What a rule wants at the close of a bar."""

    part: float | None
    """Part of a whole position, 0 to 1; None = as before."""
    values: tuple[tuple[str, float], ...] = ()
    """What it looked at, for the decision's record."""


class _Held(msgspec.Struct):
    """What it wants in one instrument."""

    position: int = 0
    """Size increments; 0 = flat."""
    part: float | None = None
    """Part of a whole position this is; None = it was kept before there were parts."""
    turned_at: float = 0.0
    """The close, in the currency, at which that was last changed; 0 = it never was."""
    bars_since: int = 0
    """Bars closed since then."""
    stated: bool = False
    """True = it has an intent of ours that may still be worked."""
    bar_end_ns: int = 0
    """End of the last bar that was decided on."""
    members: dict[str, _Held] = {}
    """What each rule it is composed of wants for itself."""

    def __post_init__(self) -> None:
        if self.part is None:
            self.part = 1.0 if self.position else 0.0


class Seen:
    """What a rule looks at, at the close of a bar. Prices are in the instrument's currency."""

    __slots__ = (
        "_bars",
        "_held",
        "_prefix",
        "_readings",
        "_unit",
        "bars_since",
        "part",
        "turned_at",
    )

    def __init__(
        self, readings: Readings, bars: str, unit: float, held: _Held, prefix: str = ""
    ) -> None:
        self._readings = readings
        self._bars = bars
        self._unit = unit
        self._held = held
        self._prefix = prefix
        self.part = held.part or 0.0
        """The part of a whole position that is wanted so far, 0 to 1."""
        self.turned_at = held.turned_at
        """The close at which that was last changed; 0 = it never was."""
        self.bars_since = held.bars_since
        """How many bars closed since."""

    def indicator(self, name: str) -> float | None:
        """Return the number of a declared variant; None = it is not known yet."""
        return self._readings.indicator(self._prefix + name)

    def last(self, count: int) -> list[PriceBar]:
        """Return the last closed bars, the oldest first; fewer where there are not so many."""
        unit = self._unit
        return [
            PriceBar(bar.open / unit, bar.high / unit, bar.low / unit, bar.close / unit)
            for bar in self._readings.bars(self._bars, count)
        ]

    def member(self, name: str) -> Seen:
        """Return this close as a rule that this one is composed of sees it, once a bar.

        Its indicators are declared as `name.indicator`; what it wants is its own and is kept.
        """
        held = self._held.members.setdefault(name, _Held())
        held.bars_since += 1
        return Seen(self._readings, self._bars, self._unit, held, f"{name}.")

    def turn(self, part: float) -> None:
        """Keep what a member wants from this close on, a part from 0 to 1."""
        if part != self.part:
            held = self._held
            held.part = self.part = part
            held.turned_at = self.turned_at = self.last(1)[-1].close
            held.bars_since = self.bars_since = 0


class SeenColumns:
    """What a rule looks at, at the close of each of many bars. Prices as `Seen` has them."""

    __slots__ = ("_columns", "_unit")

    def __init__(self, columns: ColumnReadings, unit: float) -> None:
        self._columns = columns
        self._unit = unit

    def indicator(self, name: str) -> FloatColumn:
        """Return the numbers of a declared variant; not a number = it is not known yet."""
        return self._columns.indicator(name)

    def prices(self, field: str, back: int = 0) -> FloatColumn:
        """Return `open`, `high`, `low` or `close` of the bar so many bars before each."""
        return self._columns.bars(field, back) / self._unit


class BarRule:
    """Base of a strategy of this kind. A subclass has a name, parameters, `reads_of` and `wish`."""

    name: ClassVar[str]
    parameters_type: ClassVar[type[BarParameters]]
    gates: ClassVar[Mapping[str, GateWords]] = {
        "warm": GateWords(
            "enough bars have closed",
            "enough bars had closed",
            "{value} of {limit} closed",
            sign="≥",
            needed=True,
        )
    }
    values: ClassVar[Mapping[str, ValueWords]] = {"close": ValueWords("Close", ValueUnit.PRICE)}
    asked_from_first: ClassVar[bool] = False
    """True = `wish` is asked at every bar from the first on; False = once all it reads closed."""
    references: tuple[str, ...] = ()
    touch_alone = False
    mid2_moved_min = NO_MOVE

    def __init__(self, parameters: Any, bot: BotId) -> None:
        self.parameters = parameters
        self._bot = bot
        self._bars: str = parameters.bars
        self._per_increment = bar_spec(self._bars).per_increment
        self.reads: Reads = self.reads_of(parameters)
        self._needed = max(self.reads.bars.values())
        """Bars that must have closed."""
        self._held: dict[InstrumentId, _Held] = {}
        self._looked: dict[InstrumentId, tuple[int, Wish | None]] = {}
        """What `stays` found and when, for the evaluation of the same moment."""
        self.replan_ns_min = 0
        self.timer_ns = HOUR_NS

    def __init_subclass__(cls) -> None:
        """Ask a rule that evaluates or wakes in its own way at each bar, and never `stays`.

        What another one said of many bars is not what a rule with a `wish` of its own says.
        """
        own = set(vars(cls))
        if {"evaluate", "receive"} & own:
            cls.stays = cls.repeats = None  # type: ignore[assignment, method-assign]
        if "wish" in own and "parts" not in own:
            cls.parts = BarRule.parts  # type: ignore[method-assign]

    def reads_of(self, parameters: Any) -> Reads:
        """Return what the rule reads: its bars at least, and as many of them as it needs."""
        raise NotImplementedError

    def wish(self, seen: Seen) -> Wish | None:
        """Return what is wanted now that a bar closed; None = a number it needs is not known yet.

        It is asked once as many bars have closed as it reads.
        """
        raise NotImplementedError

    def parts(self, seen: SeenColumns) -> FloatColumn | None:
        """Return the part that `wish` wants at each of many bars; not a number = as before.

        None = the rule must be asked bar by bar. A rule whose wish rests on what it reads alone,
        and not on what it wanted before, may say so much faster; each must be what `wish` says.
        """
        del seen
        return None

    # -- Strategy ----------------------------------------------------------------------------------

    def receive(self, event: Event, now_ns: int) -> bool:
        """Wake at the close of its bars."""
        del now_ns
        return type(event) is BarClosed and event.bars == self._bars

    def filled(self, instrument: InstrumentId, event: OrderFilled, now_ns: int) -> None:
        """Learn nothing: what is held comes with each evaluation."""

    def evaluate(self, context: Context, now_ns: int) -> Evaluation:
        """Decide at the close of a bar; in between state again what still stands."""
        key = context.view.instrument.id
        held = self._held.setdefault(key, _Held())
        needed = self._needed
        bars = context.readings.bars(self._bars, needed)
        closed = len(bars)
        last = bars[-1] if closed else None
        wish = None
        if last is not None and last.end_ns > held.bar_end_ns:
            wish = self._look(held, last.end_ns, closed, context.readings, context.view.instrument)
        elif key in self._looked:
            looked_ns, looked = self._looked.pop(key)
            wish = looked if looked_ns == now_ns else None
        warm = Gate("warm", closed >= needed, float(closed), float(needed))
        if last is None or not warm.passed:
            return self._decided(context, now_ns, outcome="warm", gates=(warm,))
        close = last.close / self._per_increment
        changed = (
            wish is not None and wish.part is not None and self._want(context, held, wish, close)
        )
        if not changed and not held.stated:
            return self._decided(context, now_ns, wish, gates=(warm,))
        return self._stated(context, now_ns, wish, held, close, gates=(warm,))

    def _look(
        self, held: _Held, end_ns: int, closed: int, readings: Readings, instrument: Instrument
    ) -> Wish | None:
        """Count a closed bar and ask the rule; None also while too few bars have closed."""
        before = held.bar_end_ns, held.bars_since
        held.bar_end_ns = end_ns
        held.bars_since += 1
        if closed < self._needed and not self.asked_from_first:
            return None
        unit = float(self._per_increment * instrument.price_unit)
        try:
            return self.wish(Seen(readings, self._bars, unit, held))
        except BaseException:
            held.bar_end_ns, held.bars_since = before  # whoever asks again gets the same error
            raise

    def stays(self, readings: Readings, instrument: Instrument, position: int, now_ns: int) -> bool:
        """Take a closed bar; True = an evaluation would ask for nothing and change nothing more.

        False while too few bars have closed: that is said each time.
        `position` = what the bot holds. After False `evaluate` must follow at the same time.
        """
        key = instrument.id
        held = self._held.setdefault(key, _Held())
        closed = readings.bars(self._bars, self._needed)
        if not closed or closed[-1].end_ns <= held.bar_end_ns:
            return False
        wish = self._look(held, closed[-1].end_ns, len(closed), readings, instrument)
        self._looked[key] = now_ns, wish
        if len(closed) < self._needed or (held.stated and position != held.position):
            return False
        part = wish.part if wish is not None else None
        return part is None or part == ((held.part or 0.0) if held.position else 0.0)

    def repeats(
        self, readings: Readings, instrument: Instrument, position: int, number: int, now_ns: int
    ) -> Decision | None:
        """Return the decision of an evaluation between two bars at which all is as it is wanted.

        `position` = what the bot holds, `number` = the decision's. None = `evaluate` must be asked.
        """
        key, needed = instrument.id, self._needed
        held = self._held.get(key)
        if held is None or key in self._looked or (held.stated and position != held.position):
            return None
        closed = readings.bars(self._bars, needed)
        if len(closed) < needed or closed[-1].end_ns > held.bar_end_ns:
            return None
        gates = (Gate("warm", True, float(needed), float(needed)),)
        return self._decision(key, number, now_ns, None, gates=gates, outcome="hold")

    def standing(
        self, readings: Readings, instrument: InstrumentId, position: int | None
    ) -> float | None:
        """Return the part at which `stays` is true of the next bar; None = it must be asked.

        `position` = what the bot holds; None = the same whatever it holds: see `restates`.
        """
        held = self._held.get(instrument)
        if held is None or len(readings.bars(self._bars, self._needed)) < self._needed:
            return None
        if held.stated and position is not None and position != held.position:
            return None
        return (held.part or 0.0) if held.position else 0.0

    def restates(
        self, inventory: InventoryView, instrument: Instrument, capital_micro: int, close: float
    ) -> bool | None:
        """Say whether what is wanted and not held is stated again at bars that change nothing else.

        `close` = the highest of theirs, in the bars' units. None = at some of them it may not be.
        """
        held, have = self._held.get(instrument.id), inventory.position
        if held is None or not held.stated or have == held.position:
            return False
        if held.position < have:
            return True
        limit = self._limit(instrument, close / self._per_increment, buying=True)
        # What the capital pays for falls with the price: at a lower close it is no less.
        return True if _affordable(inventory, instrument, capital_micro, limit) > have else None

    def parts_over(self, columns: ColumnReadings, instrument: Instrument) -> FloatColumn | None:
        """Return what is wanted at each of many bars; see `parts`."""
        unit = float(self._per_increment * instrument.price_unit)
        return self.parts(SeenColumns(columns, unit))

    def went_on(self, instrument: InstrumentId, bars: int, end_ns: int) -> None:
        """Count so many bars, the last one ending at `end_ns`, at which `standing` was wanted."""
        held = self._held[instrument]
        held.bar_end_ns = end_ns
        held.bars_since += bars

    def passed(self, instrument: InstrumentId, until_ns: int) -> None:
        """Forget what `stays` found up to this time: no evaluation of those moments follows."""
        if instrument in self._looked and self._looked[instrument][0] <= until_ns:
            del self._looked[instrument]

    def stayed(self, instrument: InstrumentId, number: int, now_ns: int) -> Decision:
        """Return the decision of the evaluation that `stays` spared at this moment."""
        _, wish = self._looked[instrument]
        enough = float(self._needed)
        gates = (Gate("warm", True, enough, enough),)
        return self._decision(instrument, number, now_ns, wish, gates=gates, outcome="hold")

    def _want(self, context: Context, held: _Held, wish: Wish, close: float) -> bool:
        """Change the position that is wanted; True = another one than before."""
        part, instrument = wish.part or 0.0, context.view.instrument
        before = (held.part or 0.0) if held.position else 0.0
        if part == before:
            return False
        if part > before:
            # What was lost cannot be spent: what is asked for, or the cash that is left.
            funds = min(
                context.capital_micro * (part - before), float(context.inventory.cash_free_micro)
            )
            size = int(funds * self.parameters.share * instrument.value_divisor / close)
            held.position += size // instrument.lot * instrument.lot
        else:
            held.position = int(held.position * part / before) // instrument.lot * instrument.lot
        held.part, held.stated = part, True
        held.turned_at = close / instrument.price_unit
        held.bars_since = 0
        return True

    def _stated(
        self,
        context: Context,
        now_ns: int,
        wish: Wish | None,
        held: _Held,
        close: float,
        *,
        gates: tuple[Gate, ...],
    ) -> Evaluation:
        """State the position that is wanted, unless it is held already."""
        have, instrument = context.inventory.position, context.view.instrument
        if have == held.position:
            return self._decided(context, now_ns, wish, gates=gates)
        buying = held.position > have
        limit = self._limit(instrument, close, buying=buying)
        wanted = held.position
        if buying:
            most = _affordable(context.inventory, instrument, context.capital_micro, limit)
            wanted = min(wanted, most)
        if wanted == have:
            return self._decided(context, now_ns, wish, gates=gates)
        intent = Target(
            bot=self._bot,
            instrument=instrument.id,
            position=wanted,
            limit_price=limit,
            urgency=Urgency.CROSS,
            valid_until_ns=now_ns + 2 * HOUR_NS,
            decision=context.decision,
        )
        return self._decided(context, now_ns, wish, gates=gates, intent=intent)

    def _limit(self, instrument: Instrument, close: float, *, buying: bool) -> int:
        """Return the worst price an order may have at a close."""
        slip: float = close * self.parameters.slippage_bps_max / BPS
        return max(instrument.tick, round(close + slip if buying else close - slip))

    def _decided(
        self,
        context: Context,
        now_ns: int,
        wish: Wish | None = None,
        *,
        gates: tuple[Gate, ...],
        intent: Target | None = None,
        outcome: str = "",
    ) -> Evaluation:
        key, number = context.view.instrument.id, context.decision
        said = outcome or ("quote" if intent else "hold")
        made = self._decision(key, number, now_ns, wish, gates=gates, outcome=said, intent=intent)
        return Evaluation(decision=made, intents=(intent,) if intent else ())

    def _decision(
        self,
        key: InstrumentId,
        number: int,
        now_ns: int,
        wish: Wish | None,
        *,
        gates: tuple[Gate, ...],
        outcome: str,
        intent: Target | None = None,
    ) -> Decision:
        return Decision(
            number=number,
            bot=self._bot,
            instrument=key,
            at_ns=now_ns,
            regime="long" if self._held[key].position > 0 else "flat",
            inputs=() if wish is None else wish.values,
            build_up=(),
            gates=gates,
            outcome=outcome,
            intent=intent,
        )

    def forget(self, instrument: InstrumentId) -> None:
        """Drop an instrument."""
        self._held.pop(instrument, None)

    def state(self) -> bytes:
        """Return what is wanted where."""
        return msgspec.json.encode(self._held)

    def restore(self, state: bytes) -> None:
        """Take back what `state` gave. Raises BadInput where it cannot be read."""
        try:
            self._held = msgspec.json.decode(state, type=dict[InstrumentId, _Held]) if state else {}
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise BadInput(f"its state cannot be read: {error}") from None


def _affordable(
    inventory: InventoryView, instrument: Instrument, capital_micro: int, limit: int
) -> int:
    """Return the position the capital pays for at this price, and never less than is held.

    What was not filled is tried again at later prices, where the same size costs more.
    """
    have, divisor = inventory.position, instrument.value_divisor
    paid = have * (inventory.average_price or 0) / divisor
    more = int(max(0.0, capital_micro - paid) * divisor / limit)
    return have + more // instrument.lot * instrument.lot
